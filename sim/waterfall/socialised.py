"""Losses shared in cash; positions stay."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import F8, I8
from sim.waterfall.allocation import allocate_capped
from sim.waterfall.layer_results import NO_FILLS


class SocialisedLoss(Component):
    """What is left of a deficit, paid by the eligible in proportion to their gains or to their equity.

    Nobody pays more than the base it is asked on, nor more than its equity; whoever's share exceeds that
    pays all of it, and the others more. On gains this is wealth pro rata, a haircut of variation margin; put a
    second layer on equity behind it if gains may not suffice.
    """

    kind: Literal["socialised"] = "socialised"
    base: Literal["profit", "equity"] = Field(
        default="profit",
        description="what is asked: positive unrealised profit or positive equity (name)",
    )

    def absorb(self, loss: Shortfall, floor: LayerContext) -> LayerResult:
        """Pays as much of the whole deficit as there is to be had; takes no lots."""
        means = _round_down_positive(np.where(floor.is_eligible, floor.assessment.equity, 0))
        base = (
            _round_down_positive(_sum_unrealised_profit(floor)) if self.base == "profit" else means
        )
        dues = allocate_capped(int(loss.deficit.sum()), base, np.minimum(base, means))
        payers = np.flatnonzero(dues)
        return LayerResult(NO_FILLS, payers, dues[payers])


def _round_down_positive(money: F8) -> I8:
    """Whole units of what is positive."""
    return np.maximum(money, 0).astype(np.int64)


def _sum_unrealised_profit(floor: LayerContext) -> F8:
    """Unrealised profit over all legs, (A,) minor units of the numeraire."""
    book = floor.accounts
    value = book.position_value()
    paid = np.copysign(book.entry, value) * book.market.price[book.market.contracts.settle]
    profit: F8 = (value - paid).sum(axis=1)
    return profit
