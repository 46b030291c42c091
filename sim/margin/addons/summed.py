"""Sum of requirements: a base and its add-ons."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.base import AnyRequirement, RequirementComponent
from sim.margin.breakdown import ItemisedRequirement, break_down_margins, join_breakdowns
from sim.margin.compiled import (
    LearningArrays,
    LearningStep,
    MarginArrays,
    bind_leg_shares,
    is_compiled,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import F8, I8, Contracts, Exposure, Margins, MarketView


class RequirementSum(RequirementComponent):
    """Sum of several requirements, for initial and maintenance alike."""

    kind: Literal["sum"] = Field(default="sum", description="sum of requirements (name)")
    parts: tuple[AnyRequirement, ...] = Field(
        min_length=1, description="requirements that are added up (components)"
    )

    def mentioned_names(self) -> frozenset[str]:
        """Return the instruments that any part mentions."""
        return frozenset[str]().union(*(part.mentioned_names() for part in self.parts))

    def look_back(self) -> float:
        """Return the longest look-back of any part (s)."""
        return max(part.look_back() for part in self.parts)

    def spacing(self) -> float:
        """Return the shortest spacing of any part (s)."""
        return min(part.spacing() for part in self.parts)

    def bind(self, contracts: Contracts, unit: int) -> "RequirementSumMargin":
        """See :class:`RequirementComponent`."""
        return RequirementSumMargin([part.bind(contracts, unit) for part in self.parts])


class RequirementSumMargin(ItemisedRequirement, AdditiveRequirement):
    """Sum of requirements for one pool's instruments."""

    def __init__(self, parts: Sequence[Requirement]) -> None:
        self.parts = parts

    def observe(self, market: MarketView) -> None:
        """Update every part."""
        for part in self.parts:
            part.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over parts, (A,)."""
        margins = [part.compute_margins(accounts) for part in self.parts]
        return Margins(
            initial=sum(each.initial for each in margins),  # type: ignore[arg-type]
            maintenance=sum(each.maintenance for each in margins),  # type: ignore[arg-type]
        )

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        clear = bind_kernel(clear_margins, arrays.n_accounts, arrays.initial, arrays.maintenance)
        kernels, size = [clear], arrays.initial.size
        for part in self.parts:
            own = arrays._replace(initial=np.empty(size), maintenance=np.empty(size))
            inner = part.bind_margins(own) if is_compiled(part) else None
            if inner is None:
                return None
            results = (own.initial, own.maintenance, arrays.initial, arrays.maintenance)
            kernels += [*inner, bind_kernel(add_margins, arrays.n_accounts, *results)]
        return tuple(kernels)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`; margins are overwritten."""
        clear = bind_kernel(clear_shares, arrays.n_accounts, shares)
        kernels, columns = [clear], (arrays.n_accounts, arrays.position, arrays.lot_value)
        for part in self.parts:
            own = np.zeros(shares.shape)
            inner = bind_leg_shares(part, arrays, own)
            margins = part.bind_margins(arrays) if is_compiled(part) else None
            if inner is None or margins is None:
                return None
            added = bind_kernel(add_shares, arrays.n_accounts, own, arrays.maintenance, shares)
            kernels += [*inner, *margins, added]
        return (*kernels, bind_kernel(leg_values.normalise_all_shares, *columns, shares))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the steps by which the parts learn."""
        steps: list[LearningStep] = []
        for part in self.parts:
            inner = part.bind_learning(arrays) if is_compiled(part) else None
            if inner is None:
                return None
            steps += inner
        return tuple(steps)

    @property
    def is_additive(self) -> bool:
        """True if all parts are additive."""
        return all(is_additive(part) for part in self.parts)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        required = np.zeros(accounts.position.shape)
        for part in self.parts:
            required += compute_initial_by_leg(part, accounts)
        return required

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the breakdowns of all parts, joined."""
        return join_breakdowns(*(break_down_margins(part, accounts) for part in self.parts))

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the shares of the parts, weighted by their maintenance."""
        mixed = np.zeros(accounts.position.shape)
        for part in self.parts:
            mixed += (
                part.compute_leg_shares(accounts)
                * part.compute_margins(accounts).maintenance[:, None]
            )
        return leg_values.normalise_shares(mixed, leg_values.compute_gross_notional(accounts))


@kernel
def clear_margins(tick: int, count: I8, initial: F8, maintenance: F8) -> int:
    """Set the margins of the accounts in use to zero."""
    initial[: count[0]] = 0.0
    maintenance[: count[0]] = 0.0
    return 0


@kernel
def add_margins(
    tick: int, count: I8, own_initial: F8, own_maintenance: F8, initial: F8, maintenance: F8
) -> int:
    """Add the margins of one part to the sums."""
    for a in range(count[0]):
        initial[a] += own_initial[a]
        maintenance[a] += own_maintenance[a]
    return 0


@kernel
def clear_shares(tick: int, count: I8, shares: F8) -> int:
    """Set the shares of the accounts in use to zero."""
    shares[:, : count[0]] = 0.0
    return 0


@kernel
def add_shares(tick: int, count: I8, own: F8, maintenance: F8, shares: F8) -> int:
    """Add the shares of one part, weighted by its maintenance."""
    for k in range(len(shares)):
        for a in range(count[0]):
            shares[k, a] += own[k, a] * maintenance[a]
    return 0
