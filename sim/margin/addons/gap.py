"""Gap add-on: a jump of each underlying that nobody can trade through."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.types import F8, Exposure


class GapAddOn(AddOn):
    """The worse of a jump up and one down on each underlying, underlyings added up: no credit for jumps that cancel.

    Derivatives and spot owed lose or gain with the jump; spot held gains what a short loses, but its own fall is the
    valuation's matter (LED-3). Sub-additive over derivatives. An underlying's amount is shared by its legs by their
    size.
    """

    kind: Literal["gap"] = Field(default="gap", description="add-on for jumps (name)")
    jump: float = Field(default=0.05, ge=0, description="size of the jump, either way (share)")
    jumps: dict[str, float] = Field(
        default={}, description="jumps of their own, by underlying (name: share)"
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
            down, up = (
                margined[:, same].sum(axis=1),
                -accounts.position_value()[:, same].sum(axis=1),
            )
            loss = np.maximum(np.maximum(down, up), 0.0) * self._jump_size(
                contracts.underlyings, int(underlying)
            )
            required[:, same] = loss[:, None] * leg_values.normalise_shares(
                size[:, same], size[:, same]
            )
        return required

    def _jump_size(self, names: tuple[str, ...], underlying: int) -> float:
        return self.jumps.get(names[underlying], self.jump) if names else self.jump
