"""Liquidity add-on: the cost of closing a position, by the square root of its size."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.types import F8, Exposure


class LiquidityAddOn(AddOn):
    """Charge on each leg for its square-root impact: N x impact x sqrt(lots / depth).

    N is the notional, and depth is the quantity within 1% of the mark. The charge is convex in
    size. Depth counts as at least ``least``, so that an emptied order book requires much but not
    everything. Before an order book is quoted for the first time, nothing is required.
    """

    is_additive: ClassVar[bool] = True

    kind: Literal["liquidity"] = Field(
        default="liquidity", description="add-on for the cost of closing (name)"
    )
    impact: float = Field(
        default=0.01, ge=0, description="impact of a position as large as the depth (share)"
    )
    least: float = Field(
        default=100.0, gt=0, description="lower bound on the depth that counts (lots)"
    )

    def charge_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AddOn`."""
        depth = np.where(
            np.isnan(accounts.market.depth), np.inf, np.maximum(accounts.market.depth, self.least)
        )
        return (
            leg_values.compute_margined_notional(accounts)
            * self.impact
            * np.sqrt(np.abs(accounts.position) / depth)
        )
