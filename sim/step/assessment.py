"""Assessment of every account, and attribution of what pushed accounts below maintenance."""

from sim.attribution import AssessmentMoment
from sim.state import MarketState
from sim.step.rescue import find_rescued, rescue_accounts
from sim.types import MISSING


def assess_accounts(market: MarketState, number: int = MISSING) -> None:
    """Assess every account at every venue, and trace what changed its excess (MAR-1, LIQ-6).

    Args:
        market: in place.
        number: the liquidation round just made; NOBODY = none yet, the index and the market have moved.
    """
    saved = find_rescued(market) if market.config.rescues else None
    for venue in market.venues:
        moment = AssessmentMoment(
            market.tick, number, venue.mark_stages if number == MISSING else dict
        )
        for state in venue.pool_states.values():
            book = venue.pool_accounts(state.pool)
            risk = state.engine.assess(book)
            for column in risk:
                column[market.external_owner :] = (
                    0.0  # rows of venues and the outside are not judged
                )
            if saved is not None:
                rescue_accounts(market, venue, state, risk, saved)
            state.assessment = risk
            if (
                not market.config.suppress_closeouts
            ):  # accounts then stay below maintenance, and nothing is traced
                market.cause_logs[state.pool.number].record_assessment(
                    book, risk.excess, moment, market.ledger.journal
                )
    market.ledger.journal.clear()
