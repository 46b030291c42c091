"""Concentration add-on: a charge on accounts that hold a large part of the open interest."""

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

    def bind_charges(self, arrays: MarginArrays, history: QuoteHistory, charges: F8) -> BoundKernel:
        """See :class:`AddOn`."""
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        seen = (arrays.market.open_interest, history.interest)
        rule = (float(self.rate), float(np.sqrt(self.threshold)), float(self.least))
        return bind_kernel(charge_concentration, *columns, *seen, *rule, charges)


@kernel
def charge_concentration(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    open_interest: I8,
    was_held: B1,
    rate: float,
    free: float,
    least: float,
    charges: F8,
) -> int:
    """Write the charge on each leg of the accounts in use for its share of open interest.

    ``free`` is the root of the share that is free of charge.
    """
    accounts = count[0]
    for k in range(len(position)):
        is_known = was_held[k] or open_interest[k] > 0
        counted = np.maximum(float(open_interest[k]), least) if is_known else np.inf
        for a in range(accounts):
            lots = position[k, a]
            beyond = np.maximum(np.sqrt(np.divide(float(abs(lots)), counted)) - free, 0.0)
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            charges[k, a] = notional * rate * beyond
    return 0
