"""Bases of wrappers that multiply an inner requirement leg by leg."""

from typing import Protocol

import numpy as np

from sim.margin import leg_values
from sim.margin.breakdown import (
    ItemisedRequirement,
    break_down_margins,
    join_breakdowns,
    subtract_parts,
)
from sim.margin.compiled import (
    LearningArrays,
    LearningStep,
    MarginArrays,
    bind_leg_shares,
    is_compiled,
)
from sim.margin.past import PastView, learn_past, list_opening_values
from sim.margin.probe_portfolio import compute_margin_rates
from sim.margin.tail.models.history import count_rows
from sim.margin.wrappers.rescaled import scale_leverage
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import B1, F8, I8, Exposure, Margins, MarketView


class FactorMargin(ItemisedRequirement):
    """Inner requirement times a factor of each instrument and side.

    An account's inner margin is multiplied by the mean factor of its legs, weighted by their
    standalone margins. For a single leg, that is exactly the leg's factor. For a portfolio, the
    netting of the inner requirement is kept.

    Args:
        inner: the inner requirement.
        count: instruments of the pool.
    """

    part_name = "by volatility"
    """Name of the factor's part in a breakdown."""

    def __init__(self, inner: Requirement, count: int) -> None:
        self.inner = inner
        self.factor = np.ones((2, count))  # of longs and shorts
        self.rate = np.ones((2, count))  # inner margin rates when the factor was set
        self.is_set = np.zeros(1, dtype=np.bool_)  # False while no factor has been set

    def account_factor(self, accounts: Exposure) -> F8:
        """Return the factor of each account, (A,)."""
        if not self.is_set[0]:
            return np.ones(len(accounts.position))
        lot_value = leg_values.compute_lot_values(accounts.market)[0]
        return compute_mean_factor(accounts.position, lot_value, self.rate, self.factor)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the inner margins times the factor, (A,)."""
        scale = self.account_factor(accounts)
        initial, maintenance = self.inner.compute_margins(scale_leverage(accounts, scale[:, None]))
        return Margins(scale * initial, scale * maintenance)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        scale, scaled = np.empty(arrays.initial.size), np.empty(arrays.leverage.shape)
        inner = self._bind_inner(arrays._replace(leverage=scaled))
        accounts = (arrays.n_accounts, arrays.position, arrays.lot_value)
        before = bind_kernel(find_factors, *accounts, self.rate, self.factor, scale)
        divided = bind_kernel(scale_chosen, arrays.n_accounts, arrays.leverage, scale, scaled)
        after = bind_kernel(
            apply_factors, arrays.n_accounts, scale, arrays.initial, arrays.maintenance
        )
        return inner and (before, divided, *inner, after)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        inner = bind_leg_shares(self.inner, arrays, shares)
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, self.factor, self.is_set)
        return inner and (*inner, bind_kernel(weigh_shares, *columns, shares))

    def _bind_inner(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        inner = self.inner
        return inner.bind_margins(arrays) if is_compiled(inner) else None

    def _bind_inner_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        inner = self.inner
        return inner.bind_learning(arrays) if is_compiled(inner) else None

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the inner parts, and the part that the factor adds."""
        inner = break_down_margins(self.inner, accounts)
        return join_breakdowns(
            inner, {self.part_name: subtract_parts(self.compute_margins(accounts), inner)}
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the inner shares, weighted by their factors."""
        shares = self.inner.compute_leg_shares(accounts)
        if not self.is_set[0]:
            return shares
        return leg_values.normalise_shares(
            shares * self._pick_side(accounts, self.factor),
            leg_values.compute_gross_notional(accounts),
        )

    @staticmethod
    def _pick_side(accounts: Exposure, table: F8) -> F8:
        """Return the table's entry of the position's side, (A, K)."""
        return np.where(accounts.position >= 0, table[0], table[1])


@kernel
def compute_mean_factor(position: I8, lot_value: F8, rate: F8, factor: F8) -> F8:
    """Return the mean of the factors (2, K) of each account's legs, (A,).

    Factors are weighted by gross value times rate (2, K). The mean of an account without legs is
    one.
    """
    accounts, instruments = position.shape
    mean = np.ones(accounts)
    for a in range(accounts):
        total, weighted = 0.0, 0.0
        for k in range(instruments):
            side = 0 if position[a, k] >= 0 else 1
            alone = abs(position[a, k]) * lot_value[k] * rate[side, k]
            total += alone
            weighted += alone * factor[side, k]
        if total > 0:
            mean[a] = weighted / total
    return mean


@kernel
def weigh_shares(
    tick: int, count: I8, position: I8, lot_value: F8, factor: F8, is_set: B1, shares: F8
) -> int:
    """Weight the shares of legs by the factors of their sides, if factors are set."""
    if not is_set[0]:
        return 0
    for k in range(len(position)):
        for a in range(count[0]):
            shares[k, a] *= factor[0 if position[k, a] >= 0 else 1, k]
    leg_values.normalise_leg_shares(count[0], position, lot_value, shares)
    return 0


@kernel
def find_factors(
    tick: int, count: I8, position: I8, lot_value: F8, rate: F8, factor: F8, scale: F8
) -> int:
    """Write the mean factor of each account in use, (A,)."""
    accounts = count[0]
    scale[:accounts] = compute_mean_factor(position[:, :accounts].T, lot_value, rate, factor)
    return 0


@kernel
def scale_chosen(tick: int, count: I8, leverage: F8, scale: F8, scaled: F8) -> int:
    """Multiply the leverage that was chosen by each account's factor."""
    for k in range(len(leverage)):
        for a in range(count[0]):
            scaled[k, a] = leverage[k, a] * scale[a]
    return 0


@kernel
def apply_factors(tick: int, count: I8, scale: F8, initial: F8, maintenance: F8) -> int:
    """Multiply both margins by each account's factor."""
    for a in range(count[0]):
        initial[a] = scale[a] * initial[a]
        maintenance[a] = scale[a] * maintenance[a]
    return 0


class AntiProcyclicalityTool(Protocol):
    """Anti-procyclicality tool: it maps the path of a margin to the margin that applies."""

    name: str
    """Kind of the wrapper that applies it."""

    acts: bool
    """Whether it has enough entries to change a rate by the past."""

    def adjust_rates(self, rate: F8) -> F8:
        """Record one more entry of the paths, (P,), and return the rates that apply, (P,)."""
        ...


class AntiProcyclicalityMargin(FactorMargin):
    """Anti-procyclicality tool applied to the rates of one lot, on a clock of its own.

    Args:
        inner: requirement that is smoothed.
        tool: the rule.
        count: instruments of the pool.
        every: seconds between entries of the path.
        since: seconds of past that the inner requirement needs; nothing is recorded before.
    """

    part_name = "steadying"

    def __init__(
        self,
        inner: Requirement,
        tool: AntiProcyclicalityTool,
        count: int,
        *,
        every: float,
        since: float,
    ) -> None:
        super().__init__(inner, count)
        self.tool, self.every, self.since = tool, every, since
        self._turn = np.zeros(1, dtype=np.int64)
        self._lived = 0.0  # seconds before the start that the inner requirement learned by steps

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement; on the clock, also update the tool."""
        self.inner.observe(market)
        if is_entry_due(len(market.returns), *self._clock(market.dt), self._turn):
            self._record_entry(market)

    def _clock(self, dt: float) -> tuple[int, float, float]:
        """Return rows between entries, seconds of a row, and seconds before the first entry."""
        return count_rows(self.every, dt), float(dt), self.since * (1 - 1e-12) - self._lived

    def learn_past(self, past: PastView) -> None:
        """Update the inner requirement, and the tool on its clock, before the start."""
        stride = count_rows(self.every, past.opening.dt)
        for part in past.split(stride):
            learn_past(self.inner, part)
            if part.steps == 1:
                self._lived += len(part.returns) * part.seconds
            if part.steps <= stride and part.ends_on(stride) and self._has_inner_learned(part):
                self._record_entry(part.market)

    def _has_inner_learned(self, past: PastView) -> bool:
        """Return whether the inner requirement has the past that it needs."""
        if past.steps > 1 and not list_opening_values(self.inner):
            self.since = 0.0
        return self._lived >= self.since * (1 - 1e-12)

    def describe_opening(self) -> str:
        """See :class:`sim.margin.past.HasOpeningValue`."""
        has_acted = self.is_set[0] and self.tool.acts
        return "" if has_acted else f"{self.tool.name} does not act: too few margins are recorded"

    def _record_entry(self, market: MarketView) -> None:
        """Record one more entry of the path, and set the factor that applies."""
        self._turn[0] = len(market.returns) // self._clock(market.dt)[0]
        self.rate[:] = compute_margin_rates(self.inner, market)
        required = self.tool.adjust_rates(self.rate.ravel()).reshape(self.rate.shape)
        self.factor[:] = np.divide(
            required, self.rate, out=np.ones_like(required), where=self.rate > 0
        )
        self.is_set[0] = True

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the inner steps, and one that leaves an entry that is due to the plain tool."""
        inner = self._bind_inner_learning(arrays)
        if inner is None:
            return None
        due = bind_kernel(is_entry_due, *self._clock(arrays.market.dt), self._turn)
        return (*inner, LearningStep(due, self._record_entry))


@kernel
def is_entry_due(rows: int, stride: int, dt: float, since: float, turn: I8) -> int:
    """Return one if an entry of a margin path is due after some rows of returns, else zero."""
    return int(rows // stride > turn[0] and rows * dt >= since)
