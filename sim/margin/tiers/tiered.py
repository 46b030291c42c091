"""Tiered brackets: the margin rate rises with the size of a position (MAR-1).

It rises by steps, or without a jump of the margin.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.numerics.account_sums import BLOCK
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView


class Tier(Component):
    """Bracket of a ladder."""

    floor: float = Field(
        ge=0, description="notional from which the tier applies (units of the numeraire)"
    )
    max_leverage: float = Field(
        gt=0, description="highest leverage; its inverse is the initial rate (ratio)"
    )
    maintenance: float | None = Field(
        default=None,
        ge=0,
        description="maintenance rate, none = maintenance_ratio times the initial rate (ratio)",
    )

    @property
    def initial_rate(self) -> float:
        """Initial margin rate, the inverse of the highest leverage."""
        return 1.0 / self.max_leverage


TierLadder = tuple[Tier, ...]

TierRule = Literal["step", "marginal"]
"""Application of brackets: ``step`` or ``marginal``.

Under ``step``, the rate of the bracket that holds a notional applies to all of it. Under
``marginal``, each rate applies to the part of the notional inside its bracket.
"""

EDGE_TOLERANCE = 1.0 + 1e-12
"""Float tolerance: a notional this little above a floor still lies in the bracket below."""

# Hyperliquid's ladder for BTC (docs, trading/margin-tiers)
_HYPERLIQUID_BTC = (Tier(floor=0.0, max_leverage=40.0), Tier(floor=150e6, max_leverage=20.0))


class TieredRequirement(RequirementComponent):
    """Margin of each position alone by the tier of its notional, |lots| x mark; positions add up.

    A tier holds notionals above its floor, up to and including the next floor. Under ``step`` the
    rate of the tier that holds a notional applies to all of it, so that margin jumps at a floor.
    Under ``marginal`` each tier's rate applies to the part of the notional inside the tier. Venues
    let the highest leverage fall by steps (initial = notional ÷ leverage). Most of them keep
    maintenance continuous by a deduction. Initial margin is that of the tier, or notional ÷ the
    leverage the account chose if that is more. A long spot position has no exposure beyond its
    value, which the valuation covers; a short one has.
    """

    kind: Literal["tiered"] = Field(default="tiered", description="brackets of notional (name)")
    tiers: TierLadder = Field(
        default=_HYPERLIQUID_BTC,
        min_length=1,
        description="ladder of every instrument without its own (tiers)",
    )
    instruments: dict[str, TierLadder] = Field(
        default={}, description="ladders by instrument, for those that differ (name: ladder)"
    )
    maintenance_ratio: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="maintenance over initial rate of tiers that give no maintenance rate (ratio)",
    )
    initial_rule: TierRule = Field(
        default="step",
        description="initial rate applies to all of a notional, or part by part (name)",
    )
    maintenance_rule: TierRule = Field(
        default="marginal",
        description="maintenance rate applies to all of a notional, or part by part (name)",
    )

    @model_validator(mode="after")
    def _check_ladders(self) -> Self:
        named = [(f"instruments.{name}", ladder) for name, ladder in self.instruments.items()]
        for where, ladder in [("tiers", self.tiers), *named]:
            problem = _find_ladder_error(ladder, self.maintenance_ratio)
            if problem:
                raise ValueError(f"{where}: {problem}")
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the instruments with a ladder of their own."""
        return frozenset(self.instruments)

    def bind(self, contracts: Contracts, unit: int) -> "TieredMargin":
        """See :class:`RequirementComponent`."""
        ladders = [self.instruments.get(name, self.tiers) for name in contracts.names]
        longest = max((len(ladder) for ladder in ladders), default=1)
        table = np.zeros((5, len(ladders), longest))
        for column, ladder in enumerate(ladders):
            table[:4, column, : len(ladder)] = tabulate_ladder(ladder, self.maintenance_ratio, unit)
            table[4, column, : len(ladder)] = [
                tier.floor * unit * EDGE_TOLERANCE for tier in ladder
            ]
        for row, rule in ((1, self.initial_rule), (3, self.maintenance_rule)):
            if rule == "step":
                table[row] = 0.0  # no deduction: the rate applies to all of the notional
        return TieredMargin(table)


def compute_cumulative_amounts(floors: Sequence[float] | F8, rates: Sequence[float] | F8) -> F8:
    """Return the amounts that keep rate x notional - amount continuous where tiers meet, (T,).

    cum_0 = 0, cum_k = cum_{k-1} + floor_k (rate_k - rate_{k-1}).
    """
    floors, rates = np.asarray(floors, dtype=float), np.asarray(rates, dtype=float)
    return np.concatenate([[0.0], np.cumsum(floors[1:] * np.diff(rates))])


def tabulate_ladder(ladder: TierLadder, ratio: float, unit: int) -> F8:
    """Return a ladder's initial rates and cumulative amounts, and those of maintenance, (4, T).

    Amounts are in minor units.
    """
    floors = np.array([tier.floor for tier in ladder]) * unit
    initial = np.array([tier.initial_rate for tier in ladder])
    maintenance = np.array(_maintenance_rates(ladder, ratio))
    return np.stack(
        [
            initial,
            compute_cumulative_amounts(floors, initial),
            maintenance,
            compute_cumulative_amounts(floors, maintenance),
        ]
    )


def _maintenance_rates(ladder: TierLadder, ratio: float) -> list[float]:
    return [
        ratio * tier.initial_rate if tier.maintenance is None else tier.maintenance
        for tier in ladder
    ]


def _find_ladder_error(ladder: TierLadder, ratio: float) -> str | None:
    """Return the first rule that a ladder breaks, or None."""
    if not ladder:
        return "has no tier: give one with floor 0"
    if ladder[0].floor != 0:
        return f"the first tier starts at {ladder[0].floor:g}, not at 0: give one with floor 0"
    if ladder[0].max_leverage < 1:
        return (
            f"max_leverage {ladder[0].max_leverage:g} at floor 0 requires more than the position "
            "is worth: raise it to 1 or more"
        )
    maintenance = _maintenance_rates(ladder, ratio)
    for tier, rate in zip(ladder, maintenance, strict=True):
        if rate > tier.initial_rate:
            return (
                f"maintenance {rate:g} exceeds the initial rate {tier.initial_rate:g} "
                f"at floor {tier.floor:g}, lower it"
            )
    steps = zip(itertools.pairwise(ladder), itertools.pairwise(maintenance), strict=True)
    errors = (_find_step_error(below, above, *rates) for (below, above), rates in steps)
    return next(filter(None, errors), None)


def _find_step_error(
    below: Tier, above: Tier, maintenance_below: float, maintenance_above: float
) -> str | None:
    """Return the first rule that two consecutive tiers break, or None."""
    if above.floor <= below.floor:
        return f"floor {above.floor:g} does not exceed the one before, sort the tiers by floor"
    if above.max_leverage > below.max_leverage:
        return (
            f"max_leverage {above.max_leverage:g} at floor {above.floor:g} is more than "
            f"the {below.max_leverage:g} before it: lower it"
        )
    if maintenance_above < maintenance_below:
        return (
            f"maintenance {maintenance_above:g} at floor {above.floor:g} is less than "
            f"the {maintenance_below:g} before it: raise it"
        )
    return None


class TieredMargin(AdditiveRequirement):
    """Tiered brackets of one pool's instruments.

    Args:
        table: for each tier, initial rate and deduction, maintenance rate and deduction, and floor,
            (5, K, T). Tiers that an instrument does not have are zero. Deductions are those of
            :func:`tabulate_ladder` for a marginal rule, zero for a step. Deductions and floors are
            in minor units of the numeraire.
    """

    def __init__(self, table: F8) -> None:
        self.table = table

    def observe(self, market: MarketView) -> None:
        """Do nothing: the rates are fixed."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, (A,)."""
        lot_value, spot = leg_values.compute_lot_values(accounts.market)
        initial, maintenance = compute_tiered_margins(
            accounts.position, accounts.leverage, lot_value, spot, self.table
        )
        return Margins(initial, maintenance)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        return (
            bind_kernel(charge_tiers, *columns, self.table, arrays.initial, arrays.maintenance),
        )

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return no kernel: the rates are fixed."""
        return ()

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        return (bind_kernel(share_tiers, *columns, self.table, shares),)

    def compute_charges(self, notional: F8, leverage: F8) -> tuple[F8, F8]:
        """Return initial and maintenance of legs with a notional (A, K), minor units."""
        return compute_tiered_charges(notional, leverage, self.table)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return self.compute_charges(
            leg_values.compute_margined_notional(accounts), accounts.leverage
        )[0]

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K).

        Shares are those of the notional where no maintenance is due.
        """
        _, maintenance = self.compute_charges(
            leg_values.compute_margined_notional(accounts), accounts.leverage
        )
        return leg_values.normalise_shares(maintenance, leg_values.compute_gross_notional(accounts))


@kernel
def compute_tiered_margins(
    position: I8, leverage: F8, lot_value: F8, spot: B1, table: F8
) -> tuple[F8, F8]:
    """Return initial and maintenance of each account, (A,)."""
    accounts, instruments = position.shape
    initial, maintenance = np.zeros(accounts), np.zeros(accounts)
    notional, leg_initial, leg_maintenance = (
        np.empty(accounts),
        np.empty(accounts),
        np.empty(accounts),
    )
    for k in range(instruments):
        for a in range(accounts):
            lots = position[a, k]
            notional[a] = (max(-lots, 0) if spot[k] else abs(lots)) * lot_value[k]
        write_charges(notional, leverage[:, k], table[:, k], leg_initial, leg_maintenance)
        for a in range(accounts):
            initial[a] += leg_initial[a]
            maintenance[a] += leg_maintenance[a]
    return initial, maintenance


@kernel
def charge_tiers(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    notional, leg_initial, leg_maintenance = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, accounts, BLOCK):
        size = min(BLOCK, accounts - start)
        here, parts = slice(start, start + size), (leg_initial[:size], leg_maintenance[:size])
        initial[here] = 0.0
        maintenance[here] = 0.0
        for k in range(len(position)):
            if not value_lots(position[k, here], lot_value[k], is_spot[k], notional):
                continue
            write_charges(notional[:size], leverage[k, here], table[:, k], *parts)
            for a in range(size):
                initial[start + a] += leg_initial[a]
                maintenance[start + a] += leg_maintenance[a]
    return 0


@kernel
def value_lots(lots: I8, lot_value: float, is_spot: bool, notional: F8) -> bool:
    """Write the notional of positions that require margin, and return whether there is one."""
    all_lots = 0
    for a in range(lots.size):
        margined = max(-lots[a], 0) if is_spot else abs(lots[a])
        all_lots |= margined
        notional[a] = margined * lot_value
    return all_lots != 0


@kernel
def share_tiers(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    accounts = count[0]
    notional, initial = np.empty(accounts), np.empty(accounts)
    for k in range(len(position)):
        for a in range(accounts):
            lots = position[k, a]
            notional[a] = (max(-lots, 0) if is_spot[k] else abs(lots)) * lot_value[k]
        write_charges(notional, leverage[k, :accounts], table[:, k], initial, shares[k, :accounts])
    leg_values.normalise_leg_shares(accounts, position, lot_value, shares)
    return 0


@kernel
def compute_tiered_charges(notional: F8, leverage: F8, table: F8) -> tuple[F8, F8]:
    """Return initial and maintenance of each leg, (A, K)."""
    accounts, instruments = notional.shape
    initial, maintenance = np.empty((instruments, accounts)), np.empty((instruments, accounts))
    for k in range(instruments):
        write_charges(notional[:, k], leverage[:, k], table[:, k], initial[k], maintenance[k])
    return initial.T, maintenance.T


@kernel
def write_charges(notional: F8, leverage: F8, table: F8, initial: F8, maintenance: F8) -> None:
    """Write the margins of one instrument's notionals, (A,), into ``initial`` and ``maintenance``.

    Rates rise from tier to tier. Therefore the tier that applies is the one with the largest margin
    among those whose floor is exceeded, and no search is needed. Every inner loop runs down one
    instrument's column, contiguous in a pool's view.
    """
    has_choice = False
    for a in range(notional.size):
        has_choice |= leverage[a] < np.inf
    initial[:] = 0.0
    if has_choice:  # divisions take long
        for a in range(notional.size):
            # unlike the operator, the ufunc has no check for zero, which prevents vectorisation
            initial[a] = np.divide(notional[a], leverage[a])
    maintenance[:] = 0.0
    for t in range(table.shape[1]):
        initial_rate, initial_deduction = table[0, t], table[1, t]
        maintenance_rate, maintenance_deduction = table[2, t], table[3, t]
        floor = table[4, t]
        for a in range(notional.size):
            held = notional[a] if notional[a] > floor else 0.0
            initial[a] = max(initial[a], held * initial_rate - initial_deduction)
            maintenance[a] = max(maintenance[a], held * maintenance_rate - maintenance_deduction)
    for a in range(notional.size):
        initial[a] = max(initial[a], maintenance[a])


@kernel
def compute_leg_initial(notional: float, leverage: float, table: F8, column: int) -> float:
    """Return the initial margin of one leg: the rule of :func:`_write_charges` for a number.

    Kernels that go from account to account use it; that function goes down a column, for speed.
    """
    initial = np.divide(notional, leverage)
    for t in range(table.shape[2]):
        held = notional if notional > table[4, column, t] else 0.0
        initial = max(initial, held * table[0, column, t] - table[1, column, t])
        initial = max(initial, held * table[2, column, t] - table[3, column, t])
    return max(initial, 0.0)
