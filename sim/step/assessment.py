"""Assessment of every account, and attribution of what pushed accounts below maintenance."""

from sim.attribution import Moment
from sim.state import MarketState
from sim.step.rescue import rescue, rescued
from sim.types import NOBODY


def assess(market: MarketState, number: int = NOBODY) -> None:
    """Assess every account at every venue, and trace what changed its excess (MAR-1, LIQ-6).

    Args:
        market: in place.
        number: the liquidation round just made; NOBODY = none yet, the index and the market have moved.
    """
    saved = rescued(market) if market.config.rescues else None
    for venue in market.venues:
        moment = Moment(market.tick, number, venue.stages if number == NOBODY else dict)
        for state in venue.states.values():
            book = venue.book(state.pool)
            risk = state.engine.assess(book)
            for column in risk:
                column[market.outside :] = 0.0  # rows of venues and the outside are not judged
            if saved is not None:
                rescue(market, venue, state, risk, saved)
            state.risk = risk
            if not market.config.suppress_closeouts:  # accounts then stay below maintenance, and nothing is traced
                market.causes[state.pool.number].trace(book, risk.excess, moment, market.ledger.journal)
    market.ledger.journal.clear()
