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
from sim.margin.tiers.tier_kernels import (
    charge_tiers,
    compute_tiered_charges,
    compute_tiered_margins,
    share_tiers,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8, Contracts, Exposure, Margins, MarketView


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
