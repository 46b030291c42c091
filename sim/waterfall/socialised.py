"""Losses shared in cash; positions stay."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import F8, I8
from sim.waterfall.allocation import capped
from sim.waterfall.layer_results import NO_FILLS


class Socialised(Component):
    """What is left of a deficit, paid by the eligible in proportion to their gains or to their equity.

    Nobody pays more than the base it is asked on, nor more than its equity; whoever's share exceeds that
    pays all of it, and the others more. On gains this is wealth pro rata, a haircut of variation margin; put a
    second layer on equity behind it if gains may not suffice.
    """

    kind: Literal["socialised"] = "socialised"
    base: Literal["profit", "equity"] = Field(
        default="profit", description="what is asked: positive unrealised profit or positive equity (name)"
    )

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """Pays as much of the whole deficit as there is to be had; takes no lots."""
        means = _whole(np.where(floor.eligible, floor.risk.equity, 0))
        base = _whole(_unrealised(floor)) if self.base == "profit" else means
        dues = capped(int(loss.deficit.sum()), base, np.minimum(base, means))
        payers = np.flatnonzero(dues)
        return LayerResult(NO_FILLS, payers, dues[payers])


def _whole(money: F8) -> I8:
    """Whole units of what is positive."""
    return np.maximum(money, 0).astype(np.int64)


def _unrealised(floor: LayerContext) -> F8:
    """Unrealised profit over all legs, (A,) minor units of the numeraire."""
    book = floor.book
    value = book.value()
    paid = np.copysign(book.entry, value) * book.market.price[book.market.contracts.settle]
    profit: F8 = (value - paid).sum(axis=1)
    return profit
