"""Factors of any engine: a multiplier of margins, and maintenance as a share of initial (MAR-2)."""

from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.breakdown import ItemisedRequirement, break_down_margins
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
from sim.types import F8, I8, Exposure, Margins, MarketView


def scale_leverage(accounts: Exposure, factor: float | F8) -> Exposure:
    """Return the accounts with their chosen leverage multiplied by a factor.

    After margins are multiplied by the same factor, the chosen leverage is again the one that was
    chosen.
    """
    return accounts._replace(leverage=accounts.leverage * factor)


class RescaledMargin(ItemisedRequirement, AdditiveRequirement):
    """Requirement times a factor, with maintenance of its own or as a share of its initial margin.

    Args:
        inner: the inner requirement.
        factor: multiplier of its margins (ratio).
        maintenance: share of initial; none = the inner maintenance times the factor (ratio).
    """

    def __init__(self, inner: Requirement, factor: float, maintenance: float | None) -> None:
        self.inner, self.factor, self.maintenance = inner, factor, maintenance

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement."""
        self.inner.observe(market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return both margins, (A,)."""
        return self._rescale(self.inner.compute_margins(accounts))

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        if not is_compiled(self.inner):
            return None
        inner = self.inner.bind_margins(arrays)
        own = -1.0 if self.maintenance is None else float(self.maintenance)
        results = (arrays.n_accounts, arrays.initial, arrays.maintenance)
        return inner and (*inner, bind_kernel(rescale_margins, float(self.factor), own, *results))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the kernels by which the inner requirement learns."""
        inner = self.inner
        return inner.bind_learning(arrays) if is_compiled(inner) else None

    @property
    def is_additive(self) -> bool:
        """True if the inner requirement is additive."""
        return is_additive(self.inner)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return self.factor * compute_initial_by_leg(self.inner, accounts)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the inner parts, each rescaled."""
        return {
            name: self._rescale(part)
            for name, part in break_down_margins(self.inner, accounts).items()
        }

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the inner shares, which the factors do not change."""
        return self.inner.compute_leg_shares(accounts)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """Return the kernels of the inner shares, which a factor does not change."""
        return bind_leg_shares(self.inner, arrays, shares)

    def _rescale(self, required: Margins) -> Margins:
        initial = self.factor * required.initial
        if self.maintenance is None:
            return Margins(initial, self.factor * required.maintenance)
        return Margins(initial, self.maintenance * initial)


@kernel
def rescale_margins(
    tick: int, factor: float, share: float, count: I8, initial: F8, maintenance: F8
) -> int:
    """Multiply margins; maintenance is a share of initial unless the share is negative."""
    for account in range(count[0]):
        initial[account] = factor * initial[account]
        own = factor * maintenance[account] if share < 0 else share * initial[account]
        maintenance[account] = own
    return 0
