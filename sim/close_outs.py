"""Close-outs that liquidation policies plan, and the past of accounts that policies can use."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.types import I8

ROUTE_BOOK, ROUTE_AUCTION = 0, 1
"""Routes of a close-out: at its bankruptcy price, or at an auction's price. Both trade with the
orders that rest in the book."""


class CloseOuts(NamedTuple):
    """Close-outs that a liquidation policy plans."""

    account: I8  # row of the pool = owner
    instrument: I8  # column of the pool when planned, global once collected
    quantity: I8  # lots to trade, signed: opposite to the position
    limit: I8  # ticks
    route: I8  # ROUTE_BOOK or ROUTE_AUCTION

    @classmethod
    def empty(cls) -> "CloseOuts":
        """Return a plan that closes nothing."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing, nothing)

    @classmethod
    def join(cls, parts: "Sequence[CloseOuts]") -> "CloseOuts":
        """Return several plans, one after another."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def take(self, rows: I8) -> "CloseOuts":
        """Return some of the close-outs."""
        return CloseOuts(*(column[rows] for column in self))


class DistressHistory(NamedTuple):
    """Past distress of accounts that policies can use, (A,) ticks, MISSING = never."""

    liquidatable_since: I8  # first tick of the present distress
    last_action: I8  # last tick on which a plan contained the account
    bankrupt_since: I8  # first tick at whose end the account was bankrupt, without a break since
