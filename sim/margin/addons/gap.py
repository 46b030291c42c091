"""Gap add-on: a price jump of each underlying during which no trade is possible."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.types import F8, Exposure


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
            down = margined[:, same].sum(axis=1)
            up = -accounts.position_value()[:, same].sum(axis=1)
            jump = self._jump_size(contracts.underlyings, int(underlying))
            loss = np.maximum(np.maximum(down, up), 0.0) * jump
            required[:, same] = loss[:, None] * leg_values.normalise_shares(
                size[:, same], size[:, same]
            )
        return required

    def _jump_size(self, names: tuple[str, ...], underlying: int) -> float:
        return self.jumps.get(names[underlying], self.jump) if names else self.jump
