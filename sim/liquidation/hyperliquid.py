"""Hyperliquid's stages of liquidation, and the size of its first order.

Source: documentation, "Liquidations", 2025.
"""

import numpy as np

from sim.types import B1, F8, I8, MarginAssessment

HEALTHY, ORDERS, VAULT, DELEVERAGED = 0, 1, 2, 3
"""Stages: not liquidatable, closed by orders in the book, taken over by the liquidator vault,
deleveraged.
"""

BACKSTOP_RATIO = 2 / 3
"""Share of maintenance below which the vault takes over."""

FIRST_SHARE = 0.2
"""Share of a large position that the first order closes."""


def classify_stages(assessment: MarginAssessment) -> I8:
    """Return the stage of each account, (A,).

    The stages begin below maintenance, below two thirds of it, and below zero.
    """
    orders, vault = (
        assessment.liquidatable,
        assessment.equity < BACKSTOP_RATIO * assessment.maintenance,
    )
    reached = np.select(
        [assessment.bankrupt, vault & orders, orders], [DELEVERAGED, VAULT, ORDERS], HEALTHY
    )
    return np.asarray(reached, dtype=np.int64)


def compute_first_share(notional: F8, cooling: B1, *, threshold: float) -> F8:
    """Return the share of each position that the next order closes.

    It is a fifth of a position above the threshold, 100,000 USDC there, and all of a smaller one.
    All of any position is closed while an account cools down, for 30 s after a partial order.

    Args:
        notional: sizes at the mark, minor units of the numeraire, any shape.
        cooling: whether a partial order was sent within the last 30 s, the same shape.
        threshold: minor units of the numeraire.
    """
    return np.where((notional > threshold) & ~cooling, FIRST_SHARE, 1.0)
