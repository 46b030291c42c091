"""Tiered brackets: the rate rises with the size of a position, by steps or without a jump (MAR-1)."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.jit import kernel
from sim.margin import legs
from sim.margin.additive import Additive
from sim.margin.base import RequirementComponent
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView


class Tier(Component):
    """One bracket of a ladder."""

    floor: float = Field(ge=0, description="notional from which the tier applies (units of the numeraire)")
    max_leverage: float = Field(gt=0, description="highest leverage; its inverse is the initial rate (ratio)")
    maintenance: float | None = Field(
        default=None,
        ge=0,
        description="maintenance rate; if not given, maintenance_ratio times the initial rate (ratio)",
    )

    @property
    def initial(self) -> float:
        """Initial rate."""
        return 1.0 / self.max_leverage


Ladder = tuple[Tier, ...]

Rule = Literal["step", "marginal"]
"""How brackets apply: the rate of the bracket that holds a notional to all of it, or each rate to the part inside."""

EDGE = 1.0 + 1e-12
"""A notional this little above a floor is float noise: it still lies in the bracket below."""

# Hyperliquid's ladder for BTC (docs, trading/margin-tiers)
_HYPERLIQUID_BTC = (Tier(floor=0.0, max_leverage=40.0), Tier(floor=150e6, max_leverage=20.0))


class Tiered(RequirementComponent):
    """Each position margined alone by the tier of its notional, |lots| x mark; positions simply add up.

    A tier holds notionals above its floor, up to the next floor included. Under ``step`` the rate of the tier that
    holds a notional applies to all of it, so that margin jumps at a floor; under ``marginal`` each tier's rate applies
    to the part of the notional inside the tier. Venues let the highest leverage fall by steps (initial = notional ÷
    leverage), and most of them keep maintenance continuous by a deduction. Initial is the tier's, or notional ÷ the
    leverage the account chose if that is more. A long spot position is no exposure to cover beyond its value, which
    valuation deals with; a short one is.
    """

    kind: Literal["tiered"] = Field(default="tiered", description="brackets of notional (name)")
    tiers: Ladder = Field(
        default=_HYPERLIQUID_BTC, min_length=1, description="ladder of every instrument not named below (tiers)"
    )
    instruments: dict[str, Ladder] = Field(default={}, description="ladders of their own, by instrument (name: ladder)")
    maintenance_ratio: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="maintenance over initial rate of tiers that give no maintenance rate (ratio)",
    )
    initial_rule: Rule = Field(
        default="step", description="how initial rates apply: to all of a notional, or part by part (name)"
    )
    maintenance_rule: Rule = Field(
        default="marginal", description="how maintenance rates apply: to all of a notional, or part by part (name)"
    )

    @model_validator(mode="after")
    def _ladders_climb(self) -> Self:
        named = [(f"instruments.{name}", ladder) for name, ladder in self.instruments.items()]
        for where, ladder in [("tiers", self.tiers), *named]:
            problem = _fault(ladder, self.maintenance_ratio)
            if problem:
                raise ValueError(f"{where}: {problem}")
        return self

    def names(self) -> frozenset[str]:
        """Instruments with a ladder of their own."""
        return frozenset(self.instruments)

    def bind(self, contracts: Contracts, unit: int) -> "TieredMargin":
        """See :class:`RequirementComponent`."""
        ladders = [self.instruments.get(name, self.tiers) for name in contracts.names]
        longest = max((len(ladder) for ladder in ladders), default=1)
        table = np.zeros((5, len(ladders), longest))
        for column, ladder in enumerate(ladders):
            table[:4, column, : len(ladder)] = tabulate(ladder, self.maintenance_ratio, unit)
            table[4, column, : len(ladder)] = [tier.floor * unit * EDGE for tier in ladder]
        for row, rule in ((1, self.initial_rule), (3, self.maintenance_rule)):
            if rule == "step":
                table[row] = 0.0  # no amount off: the rate applies to all of the notional
        return TieredMargin(table)


def cumulative(floors: Sequence[float] | F8, rates: Sequence[float] | F8) -> F8:
    """Amounts that keep rate x notional - amount continuous where tiers meet, (T,).

    cum_0 = 0, cum_k = cum_{k-1} + floor_k (rate_k - rate_{k-1}).
    """
    floors, rates = np.asarray(floors, dtype=float), np.asarray(rates, dtype=float)
    return np.concatenate([[0.0], np.cumsum(floors[1:] * np.diff(rates))])


def tabulate(ladder: Ladder, ratio: float, unit: int) -> F8:
    """A ladder's initial rates and cumulative amounts (minor units), and those of maintenance, (4, T)."""
    floors = np.array([tier.floor for tier in ladder]) * unit
    initial = np.array([tier.initial for tier in ladder])
    maintenance = np.array(_maintenance(ladder, ratio))
    return np.stack([initial, cumulative(floors, initial), maintenance, cumulative(floors, maintenance)])


def _maintenance(ladder: Ladder, ratio: float) -> list[float]:
    return [ratio * tier.initial if tier.maintenance is None else tier.maintenance for tier in ladder]


def _fault(ladder: Ladder, ratio: float) -> str | None:
    """The first rule a ladder breaks."""
    if not ladder:
        return "has no tier: give one with floor 0"
    if ladder[0].floor != 0:
        return f"the first tier starts at {ladder[0].floor:g}, not at 0: give one with floor 0"
    if ladder[0].max_leverage < 1:
        told = f"max_leverage {ladder[0].max_leverage:g} at floor 0 requires more than the position is worth"
        return f"{told}: raise it to 1 or more"
    maintenance = _maintenance(ladder, ratio)
    for tier, rate in zip(ladder, maintenance, strict=True):
        if rate > tier.initial:
            return f"maintenance {rate:g} exceeds the initial rate {tier.initial:g} at floor {tier.floor:g}, lower it"
    for k in range(1, len(ladder)):
        if ladder[k].floor <= ladder[k - 1].floor:
            return f"floor {ladder[k].floor:g} does not exceed the one before, sort the tiers by floor"
        if ladder[k].max_leverage > ladder[k - 1].max_leverage:
            before = f"the {ladder[k - 1].max_leverage:g} before it"
            return (
                f"max_leverage {ladder[k].max_leverage:g} at floor {ladder[k].floor:g} is more than {before}: lower it"
            )
        if maintenance[k] < maintenance[k - 1]:
            before = f"the {maintenance[k - 1]:g} before it"
            return f"maintenance {maintenance[k]:g} at floor {ladder[k].floor:g} is less than {before}: raise it"
    return None


class TieredMargin(Additive):
    """Tiered brackets of one pool's instruments.

    Args:
        table: of each tier initial rate and amount off, maintenance rate and amount off, and floor, (5, K, T); tiers
            that an instrument does not have are zero. Amounts are those of ``tabulate`` for a marginal rule, zero for
            a step; amounts and floors are in minor units of the numeraire.
    """

    def __init__(self, table: F8) -> None:
        self.table = table

    def observe(self, market: MarketView) -> None:
        """Nothing to learn: the rates are fixed."""

    def margins(self, book: Exposure) -> Margins:
        """Sums over positions, (A,)."""
        worth, spot = legs.worth(book.market)
        return Margins(*tiered_margins(book.position, book.leverage, worth, spot, self.table))

    def charges(self, notional: F8, leverage: F8) -> tuple[F8, F8]:
        """Initial and maintenance of each leg of a notional (A, K), minor units of the numeraire."""
        return tiered_charges(notional, leverage, self.table)

    def initial_by_leg(self, book: Exposure) -> F8:
        """See :class:`Additive`."""
        return self.charges(legs.notional(book), book.leverage)[0]

    def shares(self, book: Exposure) -> F8:
        """Each leg's maintenance over the sum, (A, K); of notional where no maintenance is due."""
        _, maintenance = self.charges(legs.notional(book), book.leverage)
        return legs.shares(maintenance, legs.gross(book))


@kernel
def tiered_margins(position: I8, leverage: F8, worth: F8, spot: B1, table: F8) -> tuple[F8, F8]:
    """Initial and maintenance of each account, (A,)."""
    accounts, instruments = position.shape
    initial, maintenance = np.zeros(accounts), np.zeros(accounts)
    notional, opened, kept = np.empty(accounts), np.empty(accounts), np.empty(accounts)
    for k in range(instruments):
        for a in range(accounts):
            lots = position[a, k]
            notional[a] = (max(-lots, 0) if spot[k] else abs(lots)) * worth[k]
        _charge(notional, leverage[:, k], table[:, k], opened, kept)
        for a in range(accounts):
            initial[a] += opened[a]
            maintenance[a] += kept[a]
    return initial, maintenance


@kernel
def tiered_charges(notional: F8, leverage: F8, table: F8) -> tuple[F8, F8]:
    """Initial and maintenance of each leg, (A, K)."""
    accounts, instruments = notional.shape
    opened, kept = np.empty((instruments, accounts)), np.empty((instruments, accounts))
    for k in range(instruments):
        _charge(notional[:, k], leverage[:, k], table[:, k], opened[k], kept[k])
    return opened.T, kept.T


@kernel
def _charge(notional: F8, leverage: F8, table: F8, opened: F8, kept: F8) -> None:
    """Write initial and maintenance of one instrument's notionals (A,) into ``opened`` and ``kept``.

    Rates climb, so the tier that applies is, of those whose floor is passed, the one that asks most: no search, and
    every inner loop runs down one instrument's column, contiguous in a pool's view.
    """
    for a in range(notional.size):
        # the ufunc, unlike the operator, has no check for zero that would keep the loop from vectorising
        opened[a] = np.divide(notional[a], leverage[a])
        kept[a] = 0.0
    for t in range(table.shape[1]):
        to_open, open_off, to_keep, keep_off, floor = table[0, t], table[1, t], table[2, t], table[3, t], table[4, t]
        for a in range(notional.size):
            held = notional[a] if notional[a] > floor else 0.0
            opened[a] = max(opened[a], held * to_open - open_off)
            kept[a] = max(kept[a], held * to_keep - keep_off)
    for a in range(notional.size):
        opened[a] = max(opened[a], kept[a])
