"""Records of the events of a step: phases return them, and the recorder keeps them."""

from typing import NamedTuple

import numpy as np

from sim.attribution import Causes
from sim.types import F8, I8, MarginPool

NameArray = np.ndarray[tuple[int], np.dtype[np.object_]]

_NO_LOTS, _NO_CASH = np.empty(0, dtype=np.int64), np.empty(0)


class ExecutedLiquidations(NamedTuple):
    """Close-outs of one venue and round, one row each, in the order of matching."""

    number: I8  # id in the run
    action: I8  # id of the first close-out of the same account in the same round
    account: I8  # owner
    pool: I8  # number of the pool
    instrument: I8  # global
    planned: I8  # lots, signed
    filled: I8  # lots, >= 0
    limit: I8  # ticks
    route: I8  # ROUTE_BOOK or ROUTE_AUCTION
    notional: I8  # of filled lots, minor units of the numeraire
    mark_before: F8  # ticks
    mark_after: F8
    mid_before: F8
    mid_after: F8
    equity: F8  # minor units, as assessed when the close-out was planned
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
    causes: list[tuple[I8, Causes]]  # for each pool: ids of actions, causes of their deficits


class LossEvents(NamedTuple):
    """Effects of loss layers on bankrupt accounts of one pool, one row each, in order."""

    pool: MarginPool
    kinds: tuple[str, ...]  # names of the loss layers
    layer: I8  # (n,) place in ``kinds``
    account: I8  # (n,) owner
    shortfall: I8  # (n,) minor units, before this layer
    absorbed: I8  # (n,) minor units
    lots: I8  # (n, K of the pool) taken over
    notional: I8  # (n, K of the pool) minor units of the numeraire, at the mark

    @property
    def layer_names(self) -> NameArray:
        """Return the name of the layer of each row, (n,)."""
        return np.array(self.kinds, dtype=object)[self.layer]


class Losses(NamedTuple):
    """Shortfalls of a step, and the loss layers that absorbed them."""

    shortfalls: I8  # (V,) negative equity of bankrupt accounts before the waterfall, minor units
    events: list[LossEvents]


class StepRecord(NamedTuple):
    """Events of one step, as its phases returned them."""

    # (4, K) number of trades, lots, lots bought by takers net, their value in ticks x lots
    trades: I8
    depth_near: F8  # (K,) lots within 0.1% of each mark after trading, mean of both sides
    rounds: list[LiquidationRound]
    n_rounds: int  # rounds with at least one close-out
    losses: Losses


class StepFlows:
    """Counts of one step at one venue, zero at the start of each step."""

    def __init__(self) -> None:
        self.calls_opened = self.calls_met = self.calls_missed = 0
        # deposits from outside and withdrawals, minor units of the numeraire
        self.paid_in = self.paid_out = 0
        # from wallets into isolated accounts and back, by their owners' acts, in the same unit
        self.margin_added = self.margin_removed = 0
