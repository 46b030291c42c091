"""Sum of standalone margins: an inner requirement without its offsets between instruments."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.addons.summed import add_margins, clear_margins
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays, is_compiled
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import F8, I8, Contracts, Exposure, Margins, MarketView


class StandaloneSum(RequirementWrapper):
    """Sum of the margins that the inner requirement sets for each instrument held alone.

    Offsets, spread credits and correlations of the inner requirement play no part, and its
    charges that grow with a single position remain. It is the control for the effect of
    offsets: the same rule with and without them.
    """

    kind: Literal["standalone"] = Field(
        default="standalone", description="sum of standalone margins (name)"
    )
    inner: AnyRequirement = Field(
        description="requirement that each instrument meets alone (component)"
    )

    def bind(self, contracts: Contracts, unit: int) -> "StandaloneSumMargin":
        """See :class:`RequirementComponent`."""
        return StandaloneSumMargin(self.inner.bind(contracts, unit))


class StandaloneSumMargin(AdditiveRequirement):
    """Inner requirement of one instrument after another, added up."""

    def __init__(self, inner: Requirement) -> None:
        self.inner = inner

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement."""
        self.inner.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over instruments, (A,)."""
        initial, maintenance = np.zeros((2, len(accounts.position)))
        for each in self._list_standalone(accounts):
            initial += each.initial
            maintenance += each.maintenance
        return Margins(initial, maintenance)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return np.column_stack([each.initial for each in self._list_standalone(accounts)])

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's part of the sum of standalone maintenance, (A, K)."""
        legs = [each.maintenance for each in self._list_standalone(accounts)]
        gross = leg_values.compute_gross_notional(accounts)
        return leg_values.normalise_shares(np.column_stack(legs), gross)

    def _list_standalone(self, accounts: Exposure) -> Iterator[Margins]:
        """Yield the margins of each instrument's position alone, (A,) each."""
        columns = np.arange(accounts.position.shape[1])
        for k in columns:
            yield self.inner.compute_margins(leg_values.keep_legs(accounts, columns == k))

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        alone = self._bind_standalone(arrays)
        if alone is None:
            return None
        kernels = [bind_kernel(clear_margins, *_results(arrays))]
        for margins, own in alone:
            added = bind_kernel(add_margins, *_results(own), arrays.initial, arrays.maintenance)
            kernels += [*margins, added]
        return tuple(kernels)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        alone = self._bind_standalone(arrays)
        if alone is None:
            return None
        kernels: list[BoundKernel] = []
        for k, (margins, own) in enumerate(alone):
            written = bind_kernel(write_leg, arrays.n_accounts, k, own.maintenance, shares)
            kernels += [*margins, written]
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, shares)
        return (*kernels, bind_kernel(leg_values.normalise_all_shares, *columns))

    def _bind_standalone(
        self, arrays: MarginArrays
    ) -> list[tuple[tuple[BoundKernel, ...], MarginArrays]] | None:
        """Return the kernels of each instrument's margins, and the arrays of their results."""
        if not is_compiled(self.inner):
            return None
        alone = []
        for k in range(arrays.lot_value.size):
            own = arrays._replace(
                position=np.zeros_like(arrays.position),
                entry=np.zeros_like(arrays.entry),
                initial=np.empty(arrays.initial.size),
                maintenance=np.empty(arrays.maintenance.size),
            )
            margins = self.inner.bind_margins(own)
            if margins is None:
                return None
            held = (arrays.position, arrays.entry, own.position, own.entry)
            alone.append(((bind_kernel(keep_leg, arrays.n_accounts, k, *held), *margins), own))
        return alone

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the steps by which the inner requirement learns."""
        inner = self.inner
        return inner.bind_learning(arrays) if is_compiled(inner) else None


def _results(arrays: MarginArrays) -> tuple[I8, F8, F8]:
    """Return the accounts in use, and the margins that kernels write."""
    return arrays.n_accounts, arrays.initial, arrays.maintenance


@kernel
def keep_leg(
    tick: int, count: I8, leg: int, position: I8, entry: I8, own_position: I8, own_entry: I8
) -> int:
    """Copy the positions in one instrument; those in others stay zero."""
    own_position[leg, : count[0]] = position[leg, : count[0]]
    own_entry[leg, : count[0]] = entry[leg, : count[0]]
    return 0


@kernel
def write_leg(tick: int, count: I8, leg: int, maintenance: F8, shares: F8) -> int:
    """Write the maintenance of one instrument's positions as its share, not yet normalised."""
    shares[leg, : count[0]] = maintenance[: count[0]]
    return 0
