"""Depth and open interest that are not known yet, because nothing was quoted or held so far."""

import numpy as np

from sim.margin.compiled import LearningArrays, LearningStep
from sim.numerics.bound_kernels import bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Exposure, MarketView


class QuoteHistory:
    """Record of which order books have held orders, and which instruments have been held.

    An empty order book means that closing is expensive only if there was an order book before.
    Before the first quotes of a run, and along a series of returns outside a market, the cost of
    closing is unknown.

    Args:
        count: instruments.
    """

    def __init__(self, count: int) -> None:
        self.depth, self.interest = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)

    def observe(self, market: MarketView) -> None:
        """Record which order books hold orders and which instruments are held."""
        self.depth |= market.depth > 0
        self.interest |= market.open_interest > 0

    def bind_learning(self, arrays: LearningArrays) -> LearningStep:
        """Return the step that does what :meth:`observe` does."""
        now = (arrays.market.depth, arrays.market.open_interest)
        return LearningStep(bind_kernel(record_quotes, *now, self.depth, self.interest))

    def mask_unquoted(self, market: MarketView) -> MarketView:
        """Return the view with NaN for a depth or open interest that has never been above zero."""
        depth = np.where(self.depth | (market.depth > 0), market.depth, np.nan)
        interest = np.where(
            self.interest | (market.open_interest > 0), market.open_interest, np.nan
        )
        return market._replace(depth=depth, open_interest=interest)

    def mask_accounts(self, accounts: Exposure) -> Exposure:
        """Return the accounts with the masked view of the market."""
        return accounts._replace(market=self.mask_unquoted(accounts.market))


def mask_unquoted_depth(market: MarketView) -> F8:
    """Return the depth of one view, (K,), NaN where it is unknown.

    It is unknown if it is not given, or not yet quoted in the first step.
    """
    unquoted = (market.tick <= 1) & (market.depth == 0)
    return np.where(unquoted, np.nan, market.depth)


@kernel
def record_quotes(tick: int, depth: F8, open_interest: I8, was_quoted: B1, was_held: B1) -> int:
    """Record which order books hold orders and which instruments are held."""
    for k in range(depth.size):
        was_quoted[k] |= depth[k] > 0
        was_held[k] |= open_interest[k] > 0
    return 0
