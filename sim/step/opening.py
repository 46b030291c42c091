"""Opening prices of a run, and its first assessment."""

import numpy as np

from sim.accounts.opening import count_accounts
from sim.state import MarketState
from sim.step.assessment import assess_accounts


def open_market(market: MarketState) -> None:
    """Set last trades and marks at the index, and assess every account."""
    index = market.spot_index()
    for venue in market.venues:
        for column, price in enumerate(np.rint(venue.convert_to_ticks(index)).astype(np.int64)):
            market.order_books.set_last_price(venue.instrument_slice.start + column, int(price))
        venue.update_mark(market.order_books.top_of_book()[venue.instrument_slice])
    assess_accounts(market)
    if market.opening_book is not None:
        counts = count_accounts(market.opening_book, market.venues)
        market.opening_book = market.opening_book._replace(counts=counts)
