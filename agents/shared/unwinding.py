"""Working off what somebody else's distress left: slices bounded by depth and by a worst price (AGT-4, AGT-5)."""

from typing import NamedTuple

import numpy as np

from agents.base import TradingScope, compute_limit_prices
from sim.types import F8, I8, IOC, REDUCE_ONLY, Observation, Orders

UNWIND_SLOT = 2
"""Slot of such orders; IOC orders never rest, but sending one would cancel what rests in its slot."""


MINUTE = 60.0  # seconds


class UnwindPace(NamedTuple):
    """What is sent in a step at most."""

    share: float  # of the position, at least a lot
    participation: float  # of the depth within 1%

    @classmethod
    def from_time_constant(cls, dt: float, unwind: float, participation: float) -> "UnwindPace":
        """From a time constant (seconds) and a share of the depth in a minute, for steps of dt seconds."""
        return cls(min(dt / unwind, 1.0), min(participation * dt / MINUTE, 1.0))


def unwind_positions(
    outlook: Observation, stall: TradingScope, held: I8, pace: UnwindPace, slippage: float | F8
) -> Orders:
    """One reduce-only IOC order per position, if there is depth to trade against.

    Args:
        outlook: what agents see.
        stall: what is traded, m instruments.
        held: (n, m) lots of them.
        pace: what is sent in a step.
        slippage: worst price accepted, distance from the mark as a share of it; one number or (n, 1).
    """
    if not held.any():
        return Orders.join([])
    view, columns = stall.view(outlook)
    visible = pace.participation * np.nan_to_num(view.depth[columns])
    lots = np.minimum(np.ceil(np.abs(held) * pace.share), np.floor(visible)).astype(np.int64)
    quantity = -np.sign(held) * lots
    rows, at = np.nonzero(quantity)
    limit = compute_limit_prices(
        view.mark[columns], np.sign(quantity) * slippage, view.contracts.max_price[columns]
    )
    return Orders.from_columns(
        rows,
        stall.instruments[at],
        quantity[rows, at],
        limit[rows, at],
        IOC | REDUCE_ONLY,
        UNWIND_SLOT,
    )
