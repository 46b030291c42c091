"""Unwinding of acquired positions in slices bounded by depth and price (AGT-4, AGT-5)."""

from typing import NamedTuple

import numpy as np

from agents.base import TradingScope, compute_limit_prices
from sim.types import F8, I8, IOC, REDUCE_ONLY, Observation, Orders

UNWIND_SLOT = 2
"""Slot of unwinding orders. An IOC order never rests, but cancels an order resting in its slot."""


MINUTE = 60.0
"""Length of a minute, seconds."""


class UnwindPace(NamedTuple):
    """Largest slice of a position sent in one step."""

    share: float  # share of the position, at least one lot
    participation: float  # share of the depth within 1%

    @classmethod
    def from_time_constant(cls, dt: float, unwind: float, participation: float) -> "UnwindPace":
        """Return the pace for steps of dt seconds.

        Args:
            dt: seconds per step.
            unwind: time constant, seconds.
            participation: share of the depth sent per minute.
        """
        return cls(min(dt / unwind, 1.0), min(participation * dt / MINUTE, 1.0))


def unwind_positions(
    observation: Observation, scope: TradingScope, held: I8, pace: UnwindPace, slippage: float | F8
) -> Orders:
    """Return one reduce-only IOC order per position, where there is depth to trade against.

    Args:
        observation: market data that agents see.
        scope: m instruments to trade.
        held: (n, m) lots of them.
        pace: largest slice in a step.
        slippage: worst price, as a share of the mark away from it; one number or (n, 1).
    """
    if not held.any():
        return Orders.join([])
    view, columns = scope.view(observation)
    visible = pace.participation * np.nan_to_num(view.depth[columns])
    lots = np.minimum(np.ceil(np.abs(held) * pace.share), np.floor(visible)).astype(np.int64)
    quantity = -np.sign(held) * lots
    rows, at = np.nonzero(quantity)
    limit = compute_limit_prices(
        view.mark[columns], np.sign(quantity) * slippage, view.contracts.max_price[columns]
    )
    return Orders.from_columns(
        rows,
        scope.instruments[at],
        quantity[rows, at],
        limit[rows, at],
        IOC | REDUCE_ONLY,
        UNWIND_SLOT,
    )
