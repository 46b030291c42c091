"""Gap add-on: a price jump of each underlying during which no trade is possible."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.margin.compiled import MarginArrays
from sim.margin.quoted import QuoteHistory
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Exposure


class GapAddOn(AddOn):
    """Larger loss of a jump up and a jump down on each underlying, added up over underlyings.

    Jumps of different underlyings do not offset each other. Derivatives and spot owed lose or gain
    with the jump. Spot held gains what a short position loses, but a fall of its own value is
    covered by the valuation (LED-3). The charge is sub-additive over derivatives. The legs of an
    underlying share its charge in proportion to their size.
    """

    kind: Literal["gap"] = Field(default="gap", description="add-on for jumps (name)")
    jump: float = Field(default=0.05, ge=0, description="size of the jump, up or down (share)")
    jumps: dict[str, float] = Field(
        default={}, description="sizes by underlying, for those that differ (name: share)"
    )

    def charge_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AddOn`."""
        contracts, size = accounts.market.contracts, leg_values.compute_gross_notional(accounts)
        margined = np.where(
            leg_values.compute_margined_notional(accounts) > 0, accounts.position_value(), 0.0
        )
        required = np.zeros(accounts.position.shape)
        for underlying in np.unique(contracts.underlying):
            same = contracts.underlying == underlying
            down = leg_values.sum_legs(margined[:, same])
            up = -leg_values.sum_legs(accounts.position_value()[:, same])
            jump = self._jump_size(contracts.underlyings, int(underlying))
            loss = np.maximum(np.maximum(down, up), 0.0) * jump
            required[:, same] = loss[:, None] * leg_values.normalise_shares(
                size[:, same], size[:, same]
            )
        return required

    def _jump_size(self, names: tuple[str, ...], underlying: int) -> float:
        return self.jumps.get(names[underlying], self.jump) if names else self.jump

    def bind_charges(self, arrays: MarginArrays, history: QuoteHistory, charges: F8) -> BoundKernel:
        """See :class:`AddOn`."""
        contracts = arrays.market.contracts
        numbers = range(int(contracts.underlying.max(initial=-1)) + 1)
        jumps = np.array([self._jump_size(contracts.underlyings, each) for each in numbers])
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        rule = (contracts.underlying, jumps, charges)
        return bind_kernel(charge_jumps, *columns, *rule)


@kernel
def charge_jumps(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    underlying: I8,
    jumps: F8,
    charges: F8,
) -> int:
    """Write the charge on each leg of the accounts in use for jumps of its underlyings."""
    down, up, size = np.zeros(jumps.size), np.zeros(jumps.size), np.zeros(jumps.size)
    for a in range(count[0]):
        down[:], up[:], size[:] = 0.0, 0.0, 0.0
        for k in range(len(position)):
            lots, u = position[k, a], underlying[k]
            value = lots * lot_value[k]
            down[u] += 0.0 if is_spot[k] and lots > 0 else value
            up[u] += value
            size[u] += abs(value)
        for k in range(len(position)):
            u = underlying[k]
            loss = np.maximum(np.maximum(down[u], -up[u]), 0.0) * jumps[u]
            charges[k, a] = loss * (
                abs(position[k, a]) * lot_value[k] / (size[u] if size[u] > 0 else 1.0)
            )
    return 0
