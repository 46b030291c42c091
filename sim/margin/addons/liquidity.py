"""Liquidity add-on: the cost of closing a position, by the square root of its size."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.margin.compiled import MarginArrays
from sim.margin.quoted import QuoteHistory
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Exposure


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

    def bind_charges(self, arrays: MarginArrays, history: QuoteHistory, charges: F8) -> BoundKernel:
        """See :class:`AddOn`."""
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        rule = (arrays.market.depth, history.depth, float(self.impact), float(self.least))
        return bind_kernel(charge_impact, *columns, *rule, charges)


@kernel
def charge_impact(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    depth: F8,
    was_quoted: B1,
    impact: float,
    least: float,
    charges: F8,
) -> int:
    """Write the charge on each leg of the accounts in use for its impact."""
    accounts = count[0]
    for k in range(len(position)):
        is_known = was_quoted[k] or depth[k] > 0
        counted = np.maximum(depth[k], least) if is_known else np.inf
        for a in range(accounts):
            lots = position[k, a]
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            charges[k, a] = notional * impact * np.sqrt(np.divide(float(abs(lots)), counted))
    return 0
