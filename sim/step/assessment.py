"""Assessment of every account, and attribution of margin deficits to their causes."""

from sim.attribution import AssessmentMoment
from sim.state import MarketState
from sim.step.rescue import find_rescued, rescue_accounts
from sim.step.sides import share_equity
from sim.types import MISSING


def assess_accounts(market: MarketState, number: int = MISSING) -> None:
    """Assess every account at every venue, and record causes of changes in excess (MAR-1, LIQ-6).

    Args:
        market: in place.
        number: the liquidation round just made; MISSING = none yet, after index and market moved.
    """
    rescued = find_rescued(market) if market.config.rescues else None
    for venue in market.venues:
        moment = AssessmentMoment(
            market.tick, number, venue.mark_stages if number == MISSING else dict
        )
        for state in venue.pool_states.values():
            accounts = venue.pool_accounts(state.pool)
            assessment = state.engine.assess(accounts)
            for column in assessment:
                column[market.external_owner :] = 0.0  # system accounts have no margin
            if market.sides.pairs.size and venue.wallet_pool == state.pool.number:
                share_equity(market, state, assessment)
            if rescued is not None:
                rescue_accounts(market, venue, state, assessment, rescued)
            state.assessment = assessment
            # without close-outs accounts stay below maintenance, so causes are not recorded
            if not market.config.suppress_closeouts:
                market.cause_logs[state.pool.number].record_assessment(
                    accounts, assessment.excess, moment, market.ledger.journal
                )
    market.ledger.journal.clear()
