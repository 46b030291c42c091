"""Compression: a requirement cut by a share κ (MAR-2)."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.breakdown import ItemisedRequirement, break_down_margins
from sim.margin.compiled import (
    LearningArrays,
    LearningStep,
    MarginArrays,
    bind_leg_shares,
    is_compiled,
)
from sim.margin.wrappers.rescaled import rescale_margins, scale_leverage
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import F8, I8, Contracts, Exposure, Margins, MarketView


class Compression(RequirementWrapper):
    """Requirement cut by a share: M → (1 - κ) M, initial and maintenance alike.

    Haircuts are unchanged. A negative κ raises margins.
    """

    kind: Literal["compressed"] = Field(
        default="compressed", description="a requirement cut by a share (name)"
    )
    inner: AnyRequirement = Field(description="requirement that is cut (component)")
    compression: float = Field(
        lt=1, description="share by which margins are cut; negative = raised (ratio)"
    )

    def bind(self, contracts: Contracts, unit: int) -> "CompressionMargin":
        """See :class:`RequirementComponent`."""
        return CompressionMargin(self.inner.bind(contracts, unit), 1.0 - self.compression)


class CompressionMargin(ItemisedRequirement, AdditiveRequirement):
    """Inner requirement times a factor."""

    def __init__(self, inner: Requirement, factor: float) -> None:
        self.inner = inner
        self.factor = factor

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement."""
        self.inner.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the inner margins times the factor, (A,)."""
        initial, maintenance = self.inner.compute_margins(scale_leverage(accounts, self.factor))
        return Margins(self.factor * initial, self.factor * maintenance)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        if not is_compiled(self.inner):
            return None
        factor, scaled = float(self.factor), np.empty(arrays.leverage.shape)
        inner = self.inner.bind_margins(arrays._replace(leverage=scaled))
        before = bind_kernel(multiply_leverage, arrays.n_accounts, factor, arrays.leverage, scaled)
        results = (arrays.n_accounts, arrays.initial, arrays.maintenance)
        return inner and (before, *inner, bind_kernel(rescale_margins, factor, -1.0, *results))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the steps by which the inner requirement learns."""
        inner = self.inner
        return inner.bind_learning(arrays) if is_compiled(inner) else None

    @property
    def is_additive(self) -> bool:
        """True if the inner requirement is additive."""
        return is_additive(self.inner)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        scaled = scale_leverage(accounts, self.factor)
        return self.factor * compute_initial_by_leg(self.inner, scaled)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the inner parts, each times the factor."""
        inner = break_down_margins(self.inner, scale_leverage(accounts, self.factor))
        return {
            name: Margins(self.factor * part.initial, self.factor * part.maintenance)
            for name, part in inner.items()
        }

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the inner shares, which a factor does not change."""
        return self.inner.compute_leg_shares(accounts)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """Return the kernels of the inner shares, which a factor does not change."""
        return bind_leg_shares(self.inner, arrays, shares)


@kernel
def multiply_leverage(tick: int, count: I8, factor: float, leverage: F8, scaled: F8) -> int:
    """Multiply the leverage that the accounts in use chose by a factor."""
    for k in range(len(leverage)):
        for a in range(count[0]):
            scaled[k, a] = leverage[k, a] * factor
    return 0
