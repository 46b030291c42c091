"""First prices of a run, and its first assessment."""

import numpy as np

from sim.state import MarketState
from sim.step import assessment


def open_market(market: MarketState) -> None:
    """Set last trades and marks at the index, and assess every account."""
    index = market.spot()
    for venue in market.venues:
        for column, price in enumerate(np.rint(venue.in_ticks(index)).astype(np.int64)):
            market.order_books.set_last(venue.part.start + column, int(price))
        venue.remark(market.order_books.tops()[venue.part])
    assessment.assess(market)
