"""What a market is not known to have yet: depth and open interest before anything was quoted or held."""

import numpy as np

from sim.types import F8, Exposure, MarketView


class QuoteHistory:
    """Which of a pool's books have held orders, and which instruments have been held, by now.

    An empty book says that closing is dear only once there has been a book: before the first quotes of a run, and
    along a series of returns outside a market, nothing is known of it.

    Args:
        count: instruments.
    """

    def __init__(self, count: int) -> None:
        self.depth, self.interest = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)

    def observe(self, market: MarketView) -> None:
        """Note which books hold orders and which instruments are held."""
        self.depth |= market.depth > 0
        self.interest |= market.open_interest > 0

    def mask_unquoted(self, market: MarketView) -> MarketView:
        """The view with NaN for a depth, and for an open interest, that has never been above zero."""
        depth = np.where(self.depth | (market.depth > 0), market.depth, np.nan)
        interest = np.where(
            self.interest | (market.open_interest > 0), market.open_interest, np.nan
        )
        return market._replace(depth=depth, open_interest=interest)

    def mask_accounts(self, accounts: Exposure) -> Exposure:
        """The accounts at that view."""
        return accounts._replace(market=self.mask_unquoted(accounts.market))


def mask_unquoted_depth(market: MarketView) -> F8:
    """Depth as of a view alone, (K,): NaN where none is given, or none yet before the first step's quotes."""
    unquoted = (market.tick <= 1) & (market.depth == 0)
    return np.where(unquoted, np.nan, market.depth)
