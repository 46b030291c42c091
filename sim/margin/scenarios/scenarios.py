"""Scenario grids: what accounts gain or lose when prices and volatilities move (kernel of span, grid, derive_pmrm2).

A grid is data: a list of moves. What differs between venues is what they make of the losses, one file each.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.margin.breakdown import ItemisedRequirement
from sim.numerics.jit import kernel
from sim.pricing import instrument_values
from sim.pricing.instrument_values import YEAR_SECONDS, find_years_to_expiry
from sim.types import F8, I8, Contracts, Exposure, MarketView

SCANNING_RISK = "scanning risk"
"""What every scenario engine calls the part of margin that its grid asks for."""

T = TypeVar("T")

DAYS_PER_YEAR = YEAR_SECONDS / 86_400.0
"""Days in a year."""


class Scenario(Component):
    """One move of an underlying with its volatilities."""

    move: float = Field(ge=-1, description="relative move of the price (share)")
    vol: Literal["up", "none", "down"] = Field(
        default="none", description="volatility with it (direction)"
    )
    weight: float = Field(
        default=1.0, ge=0, description="factor on the gain or loss, below 1 in tails (ratio)"
    )


def describe_scenario(scenario: Scenario) -> str:
    """A scenario in words: ``-16%, volatility up``."""
    move = f"{100 * scenario.move:+.4g}%" if scenario.move else "price as it is"
    vol = {"none": "", "linear": ", smile tilted", "abs": ", wings tilted"}
    return move + vol.get(scenario.vol, f", volatility {scenario.vol}")


class TailScenarios(Component):
    """Moves far beyond the grid, of whose loss only a part counts: dampening x the grid's largest move ÷ the move."""

    moves: tuple[float, ...] = Field(
        default=(), description="relative moves of the price, volatility up (shares)"
    )
    dampening: float = Field(
        default=1.0, ge=0, le=1, description="what counts of a tail as large as the grid (ratio)"
    )

    def compute_weights(self, reach: float) -> F8:
        """What counts of each tail beyond a grid that reaches so far, at most all of it."""
        return np.minimum(self.dampening * reach / np.abs(self.moves), 1.0)

    def build_scenarios(self, reach: float) -> tuple[Scenario, ...]:
        """The tails as scenarios."""
        pairs = zip(self.moves, self.compute_weights(reach).tolist(), strict=True)
        return tuple(Scenario(move=move, vol="up", weight=weight) for move, weight in pairs)


class VolShock(Component):
    """Relative moves of volatility, x (30 ÷ days to expiry)^power: near expiries move more."""

    up: float = Field(default=0.4, ge=0, description="rise at 30 days (share)")
    down: float = Field(default=0.22, ge=0, description="fall at 30 days (share)")
    short_power: float = Field(default=0.3, ge=0, description="power up to 30 days (exponent)")
    long_power: float = Field(default=0.13, ge=0, description="power beyond (exponent)")
    floor: float = Field(
        default=86_400.0, ge=0, description="shorter times to expiry count as this (s)"
    )
    least: float = Field(
        default=0.0, ge=0, description="volatility after a rise is no less (annualised volatility)"
    )

    def compute_scale(self, years: F8) -> F8:
        """What the moves are multiplied by; nil for what never expires, and at expiry."""
        days = np.maximum(years * DAYS_PER_YEAR, self.floor / 86_400.0)
        power = np.where(years * DAYS_PER_YEAR <= 30, self.short_power, self.long_power)
        moving = np.isfinite(days) & (days > 0)
        return np.where(moving, (30.0 / np.where(moving, days, 30.0)) ** power, 0.0)

    def shock_volatility(self, vol: F8, years: F8, direction: Sequence[str]) -> F8:
        """Volatilities (K,) of options with some time to go, moved in each of S directions, (S, K)."""
        scale = self.compute_scale(years)
        moved = {
            "up": np.maximum(vol * (1 + self.up * scale), self.least),
            "none": vol,
            "down": vol * np.maximum(1 - self.down * scale, 0.0),
        }
        places = {name: place for place, name in enumerate(moved)}
        return np.stack(list(moved.values()))[[places[each] for each in direction]]


class ShockedStates(NamedTuple):
    """S states of the market next to the present one."""

    oracle: F8  # (S, U) price of each underlying, quote currency
    vol: F8  # (S, K) annualised volatility
    weight: F8  # (S,) factor on the gain or loss


def build_shocked_states(
    market: MarketView, scenarios: Sequence[Scenario], rule: VolShock
) -> ShockedStates:
    """A grid in a market: every underlying moves alike; who nets what is for the requirement to say."""
    moves = np.array([1.0 + each.move for each in scenarios])
    vol = rule.shock_volatility(
        market.vol, find_years_to_expiry(market), [each.vol for each in scenarios]
    )
    return ShockedStates(
        moves[:, None] * market.oracle, vol, np.array([each.weight for each in scenarios])
    )


def compute_lot_pnl(market: MarketView, moved: ShockedStates) -> F8:
    """What one lot of each instrument gains in each scenario, (S, K) minor units of the numeraire."""
    before = instrument_values.value_instruments(market, market.oracle[None], market.vol[None])
    return (
        (instrument_values.value_instruments(market, moved.oracle, moved.vol) - before)
        * market.tick_value()
        * moved.weight[:, None]
    )


def compute_scenario_pnl(accounts: Exposure, moved: ShockedStates) -> F8:
    """What each account gains in each scenario, (S, A) minor units of the numeraire; pure."""
    return sum_leg_gains(
        accounts.position,
        compute_lot_pnl(accounts.market, moved),
        np.arange(accounts.position.shape[1]),
    )


def sum_leg_values(position: I8, per_lot: F8, legs: I8) -> F8:
    """What accounts (A, K) make of one value per lot (K,) of some legs, (A,)."""
    total: F8 = sum_leg_gains(position, per_lot[None], legs)[0]
    return total


def sum_leg_gains(position: I8, table: F8, legs: I8) -> F8:
    """What accounts (A, K) make of values per lot (S, K): their sums over some of the instruments, (S, A)."""
    return sum_and_minimise(position, table, legs, True)[0]


def find_worst_gain(position: I8, table: F8, legs: I8) -> F8:
    """The least of those sums over scenarios, (A,), without keeping the sums."""
    return sum_and_minimise(position, table, legs, False)[1]


ACCOUNT_BLOCK = 128
"""Accounts of whom a block of positions stays in the first cache."""


@kernel
def sum_and_minimise(position: I8, table: F8, legs: I8, keep: bool) -> tuple[F8, F8]:
    """Sums over legs of values per lot, (S, A) or, unless kept, (0, A); and the least over scenarios, (A,).

    Accounts are taken in blocks and legs by fours, empty ones last, which keeps each sum in the order of the legs: an
    account's sum does not depend on whose company it is worked out in, as that of a matrix product does.
    """
    accounts, count, scenarios = position.shape[0], legs.size, table.shape[0]
    columns = (
        position.T
    )  # a leg's accounts are a row of it: two indices in one loop would keep it from vectorising
    padded = -(-count // 4) * 4
    total, least = np.empty((scenarios if keep else 0, accounts)), np.full(accounts, np.inf)
    values, lots, scratch = (
        np.zeros((scenarios, padded)),
        np.zeros((padded, ACCOUNT_BLOCK)),
        np.empty(ACCOUNT_BLOCK),
    )
    for s in range(scenarios):
        for i in range(count):
            values[s, i] = table[s, legs[i]]
    for start in range(0, accounts, ACCOUNT_BLOCK):
        size = min(ACCOUNT_BLOCK, accounts - start)
        for i in range(count):
            holdings, own = columns[legs[i], start : start + size], lots[i]
            for a in range(size):
                own[a] = holdings[a]
        lowest = least[start : start + size]
        for s in range(scenarios):
            row = total[s, start : start + size] if keep else scratch[:size]
            row[:] = 0.0
            for i in range(0, padded, 4):
                v, w, x, y = values[s, i], values[s, i + 1], values[s, i + 2], values[s, i + 3]
                p, q, r, t = lots[i], lots[i + 1], lots[i + 2], lots[i + 3]
                for a in range(size):
                    row[a] = (((row[a] + v * p[a]) + w * q[a]) + x * r[a]) + y * t[a]
            for a in range(size):
                lowest[a] = min(lowest[a], row[a])
    return total, least


def compute_offset(position: I8, per_lot: F8, legs: I8) -> tuple[F8, F8]:
    """Net value of some legs, (A,), and what of it other legs offset: half of what the gross exceeds the net by."""
    net = sum_leg_values(position, per_lot, legs)
    return net, (sum_leg_values(np.abs(position), np.abs(per_lot), legs) - np.abs(net)) / 2


def compute_standalone_shares(accounts: Exposure, table: F8) -> F8:
    """Each leg's share of what the legs would lose at worst if each stood alone, (A, K); of notional if that is nil.

    Args:
        accounts: the accounts.
        table: gain per lot in each scenario, (S, K).
    """
    worst = np.where(
        accounts.position > 0, -table.min(axis=0, initial=0.0), table.max(axis=0, initial=0.0)
    )
    legs = np.abs(accounts.position) * worst
    gross = np.abs(accounts.position_value())
    for stand_in in (gross, np.abs(accounts.position).astype(np.float64)):
        legs = np.where((legs > 0).any(axis=1, keepdims=True), legs, stand_in)
    total = legs.sum(axis=1, keepdims=True)
    return legs / np.where(total > 0, total, 1.0)


class PeriodicRevaluation(Generic[T]):
    """Something worked out of the market anew every so often: risk arrays, which venues publish on a clock.

    Args:
        work: from a market to the thing.
        every: time between two workings-out; nil: whenever it is asked for, from the market it is asked for (s).
    """

    def __init__(self, work: Callable[[MarketView], T], every: float) -> None:
        self.revalue, self.every = work, every
        self._value: T | None = None
        self._valued_at = -np.inf

    def observe(self, market: MarketView) -> None:
        """Work it out, if it is due."""
        if self.every and market.seconds - self._valued_at >= self.every:
            self._value, self._valued_at = self.revalue(market), market.seconds

    def get_current(self, market: MarketView) -> T:
        """The thing, as old as :meth:`stale` says."""
        return self.revalue(market) if self._value is None else self._value

    def age_seconds(self, market: MarketView) -> float:
        """How long ago it was worked out (s)."""
        return 0.0 if self._value is None else market.seconds - self._valued_at


class ScenarioMargin(ItemisedRequirement):
    """A requirement that asks for the worst of a list of scenarios."""

    labels: tuple[str, ...]
    """What each scenario is, in words."""

    risk_arrays: PeriodicRevaluation[Any]
    """What it makes of a market: risk arrays."""

    moves: F8 = np.empty(0)
    """Relative moves of the price in the scenarios, in no order; not given = not known."""

    @abstractmethod
    def scenario_gains(self, accounts: Exposure) -> F8:
        """Gain in each scenario, all underlyings moving alike, (S, A) minor units of the numeraire."""

    def observe(self, market: MarketView) -> None:
        """Revalue, if it is due."""
        self.risk_arrays.observe(market)

    def risk_array_age(self, market: MarketView) -> float:
        """How old the risk arrays are (s)."""
        return self.risk_arrays.age_seconds(market)


def group_by_underlying(contracts: Contracts) -> list[I8]:
    """Columns of each underlying that there are instruments on."""
    return [
        np.flatnonzero(contracts.underlying == number) for number in np.unique(contracts.underlying)
    ]
