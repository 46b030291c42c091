"""Concentration add-on: a charge on accounts that hold a large part of the open interest."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.addons.addon import AddOn
from sim.types import F8, Exposure


class ConcentrationAddOn(AddOn):
    """Charge on each leg by its share of open interest: N x rate x (√share - √threshold)+.

    N is the notional, and share is lots / open interest. The charge is convex in size and zero
    below the threshold. Open interest counts as at least ``least``. Before there is open interest,
    nothing is required.
    """

    is_additive: ClassVar[bool] = True

    kind: Literal["concentration"] = Field(
        default="concentration", description="add-on for a large part of open interest (name)"
    )
    rate: float = Field(
        default=0.5,
        ge=0,
        description="charge on an account that holds all open interest, at threshold 0 (share)",
    )
    threshold: float = Field(
        default=0.01, ge=0, le=1, description="part of open interest that is free of charge (share)"
    )
    least: float = Field(
        default=10_000.0, gt=0, description="lower bound on the open interest that counts (lots)"
    )

    def charge_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AddOn`."""
        interest = np.asarray(accounts.market.open_interest, dtype=np.float64)
        part = np.abs(accounts.position) / np.where(
            np.isnan(interest), np.inf, np.maximum(interest, self.least)
        )
        beyond = np.maximum(np.sqrt(part) - np.sqrt(self.threshold), 0.0)
        return leg_values.compute_margined_notional(accounts) * self.rate * beyond
