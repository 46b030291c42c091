"""Socialised losses: shared in cash, while positions stay."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.types import F8, I8
from sim.waterfall.allocation import allocate_capped
from sim.waterfall.layer_results import NO_FILLS


class SocialisedLoss(Component):
    """Deficit that eligible accounts share in proportion to their gains or to their equity.

    No account pays more than its base or than its equity. An account whose share exceeds that pays
    all of it, and the others pay more. With gains as base this is wealth pro rata, a haircut of
    variation margin. Add a second layer on equity behind it if gains may not suffice.
    """

    kind: Literal["socialised"] = "socialised"
    base: Literal["profit", "equity"] = Field(
        default="profit",
        description="base of the shares: positive unrealised profit or positive equity (name)",
    )

    def absorb(self, loss: Shortfall, context: LayerContext) -> LayerResult:
        """Collect as much of the whole deficit as is available; take no lots."""
        means = _round_down_positive(np.where(context.is_eligible, context.assessment.equity, 0))
        base = (
            _round_down_positive(_sum_unrealised_profit(context))
            if self.base == "profit"
            else means
        )
        dues = allocate_capped(int(loss.deficit.sum()), base, np.minimum(base, means))
        payers = np.flatnonzero(dues)
        return LayerResult(NO_FILLS, payers, dues[payers])


def _round_down_positive(money: F8) -> I8:
    """Return positive amounts in whole units, rounded down, and zero for the others."""
    return np.maximum(money, 0).astype(np.int64)


def _sum_unrealised_profit(context: LayerContext) -> F8:
    """Return the unrealised profit over all legs, (A,) minor units of the numeraire."""
    accounts = context.accounts
    value = accounts.position_value()
    paid = (
        np.copysign(accounts.entry, value) * accounts.market.price[accounts.market.contracts.settle]
    )
    profit: F8 = (value - paid).sum(axis=1)
    return profit
