"""Hyperliquid's stages of liquidation, and how much its first order closes (documentation, "Liquidations", 2025)."""

import numpy as np

from sim.types import B1, F8, I8, MarginAssessment

HEALTHY, ORDERS, VAULT, DELEVERAGED = 0, 1, 2, 3
"""Not liquidatable; closed by orders in the book; taken by the liquidator vault; deleveraged."""

BACKSTOP_RATIO = 2 / 3
"""The vault takes over below this share of maintenance."""

FIRST_SHARE = 0.2
"""Part of a large position that the first order closes."""


def classify_stages(risk: MarginAssessment) -> I8:
    """What is done with each account, (A,): below maintenance, below two thirds of it, below nil."""
    orders, vault = risk.liquidatable, risk.equity < BACKSTOP_RATIO * risk.maintenance
    reached = np.select(
        [risk.bankrupt, vault & orders, orders], [DELEVERAGED, VAULT, ORDERS], HEALTHY
    )
    return np.asarray(reached, dtype=np.int64)


def compute_first_share(notional: F8, cooling: B1, *, threshold: float) -> F8:
    """Part of each position that the next order closes.

    A fifth of a position above the threshold, 100,000 USDC there; all of a smaller one, and all of any while an
    account cools down, for 30 seconds after a partial order.

    Args:
        notional: sizes at the mark, minor units of the numeraire, any shape.
        cooling: whether a partial order was sent within the last 30 seconds, the same shape.
        threshold: minor units of the numeraire.
    """
    return np.where((notional > threshold) & ~cooling, FIRST_SHARE, 1.0)
