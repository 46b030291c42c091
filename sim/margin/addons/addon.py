"""Base of add-ons: an amount per leg that counts for initial and maintenance alike."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from sim.component import has_own_rules
from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent
from sim.margin.breakdown import ItemisedRequirement
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.quoted import QuoteHistory
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8, Contracts, Exposure, Margins, MarketView


class AddOn(RequirementComponent):
    """Requirement to be added to another one by ``sum``; defined by this project, not by a venue.

    It learns only whether an instrument has been quoted and held. Before that, its depth and open
    interest require nothing.
    """

    is_additive: ClassVar[bool] = False
    """True if the charge of a leg depends on its own position alone."""

    @abstractmethod
    def charge_by_leg(self, accounts: Exposure) -> F8:
        """Return the charge of each leg, (A, K), minor units of the numeraire.

        Depth and open interest are NaN before there were any.
        """

    def bind_charges(
        self, arrays: MarginArrays, history: QuoteHistory, charges: F8
    ) -> BoundKernel | None:
        """Return the kernel that computes the charge of each leg, or None where there is none.

        Args:
            arrays: accounts and their market.
            history: what has been quoted and held.
            charges: (K, A) out, of the accounts in use.
        """
        return None

    def bind(self, contracts: Contracts, unit: int) -> "AddOnMargin":
        """See :class:`RequirementComponent`."""
        return AddOnMargin(self, len(contracts.names))


class AddOnMargin(ItemisedRequirement, AdditiveRequirement):
    """Add-on for one pool's instruments."""

    def __init__(self, rule: AddOn, count: int) -> None:
        self.rule, self.quote_history = rule, QuoteHistory(count)

    def observe(self, market: MarketView) -> None:
        """Record what has been quoted and held.

        Everything else is in the view that comes with accounts.
        """
        self.quote_history.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, (A,)."""
        total = leg_values.sum_legs(self._charge_by_leg(accounts))
        return Margins(total, total)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        charges = np.zeros(arrays.leverage.shape)
        by_leg = self._bind_charges(arrays, charges)
        results = (arrays.n_accounts, charges, arrays.initial, arrays.maintenance)
        return by_leg and (by_leg, bind_kernel(add_charges, *results))

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        by_leg = self._bind_charges(arrays, shares)
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value)
        return by_leg and (by_leg, bind_kernel(leg_values.normalise_all_shares, *columns, shares))

    def _bind_charges(self, arrays: MarginArrays, charges: F8) -> BoundKernel | None:
        if has_own_rules(self.rule, "bind_charges"):
            return None
        return self.rule.bind_charges(arrays, self.quote_history, charges)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return the step that records what has been quoted and held."""
        return (self.quote_history.bind_learning(arrays),)

    @property
    def is_additive(self) -> bool:
        """True if the rule is additive."""
        return self.rule.is_additive

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return self.rule.charge_by_leg(accounts)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return all of the charge as one part, named after the kind of the add-on."""
        return {str(type(self.rule).model_fields["kind"].default): self.compute_margins(accounts)}

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's part of the sum, (A, K)."""
        return leg_values.normalise_shares(
            self._charge_by_leg(accounts), leg_values.compute_gross_notional(accounts)
        )

    def _charge_by_leg(self, accounts: Exposure) -> F8:
        return self.rule.charge_by_leg(self.quote_history.mask_accounts(accounts))


@kernel
def add_charges(tick: int, count: I8, charges: F8, initial: F8, maintenance: F8) -> int:
    """Write the sums of charges (K, A) as both margins of the accounts in use."""
    initial[: count[0]] = 0.0
    for k in range(len(charges)):
        for a in range(count[0]):
            initial[a] += charges[k, a]
    maintenance[: count[0]] = initial[: count[0]]
    return 0
