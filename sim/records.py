"""Records of what happened in a step: phases return them, the recorder keeps them."""

from typing import NamedTuple

import numpy as np

from sim.attribution import Causes
from sim.types import F8, I8, MarginPool

_NO_LOTS, _NO_CASH = np.empty(0, dtype=np.int64), np.empty(0)


class ExecutedLiquidations(NamedTuple):
    """The close-outs of one venue and round, one row each, in the order they were matched."""

    number: I8  # id in the run
    action: I8  # id of the first close-out of the same account in the same round
    account: I8  # owner
    pool: I8  # number of the pool
    instrument: I8  # global
    planned: I8  # lots, signed
    filled: I8  # lots, >= 0
    limit: I8  # ticks
    route: I8  # BOOK or AUCTION
    notional: I8  # minor units of the numeraire, of what was filled
    mark_before: F8  # ticks
    mark_after: F8
    mid_before: F8
    mid_after: F8
    equity: F8  # minor units, as the engine saw them when it decided
    maintenance: F8

    @classmethod
    def empty(cls) -> "ExecutedLiquidations":
        """Return a record without rows."""
        return cls._make([*[_NO_LOTS] * 10, *[_NO_CASH] * 6])


class LiquidationRound(NamedTuple):
    """One liquidation round at one venue."""

    number: int  # in its step, from 0
    venue: int
    executed: ExecutedLiquidations
    causes: list[tuple[I8, Causes]]  # for each pool: id of the action, and what pushed its account


class LossEvent(NamedTuple):
    """What one loss layer did for one bankrupt account."""

    pool: MarginPool
    account: int
    layer: str
    shortfall: int  # minor units, when its turn came
    absorbed: int  # minor units
    lots: I8  # (K of the pool) taken over
    notional: I8  # (K of the pool) minor units of the numeraire, at the mark


class Losses(NamedTuple):
    """What the loss waterfalls of a step did."""

    shortfalls: I8  # (V,) negative equity of bankrupt accounts before the waterfall, minor units
    events: list[LossEvent]


class StepRecord(NamedTuple):
    """Everything that happened in one step, as its phases returned it."""

    trades: (
        I8  # (4, K) trades, lots, lots bought by takers net, and the value of these in ticks x lots
    )
    depth_near: F8  # (K,) lots within 0.1% of each mark after trading, mean of both sides
    rounds: list[LiquidationRound]
    n_rounds: int  # rounds that closed something out
    losses: Losses
