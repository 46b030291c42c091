"""Scenario grids: gains and losses of accounts when prices and volatilities move.

They are the kernel of the requirements span, grid and derive_pmrm2. A grid is data: a list of
moves. Venues differ in how they turn the losses into margin, and each has its own module.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.errors import ConfigError
from sim.margin import leg_values
from sim.margin.base import find_underlying
from sim.margin.breakdown import ItemisedRequirement
from sim.numerics.jit import kernel
from sim.pricing import instrument_values
from sim.pricing.instrument_values import YEAR_SECONDS, find_years_to_expiry
from sim.types import F8, I8, Contracts, Exposure, MarketView

SCANNING_RISK = "scanning risk"
"""Name of the part of margin that comes from the grid, in every scenario engine."""

T = TypeVar("T")

DAYS_PER_YEAR = YEAR_SECONDS / 86_400.0
"""Days in a year."""


class Scenario(Component):
    """Move of an underlying together with its volatilities."""

    move: float = Field(ge=-1, description="relative move of the price (share)")
    vol: Literal["up", "none", "down"] = Field(
        default="none", description="direction of the volatility move (direction)"
    )
    weight: float = Field(
        default=1.0, ge=0, description="factor on the gain or loss, below 1 in tails (ratio)"
    )


def describe_scenario(scenario: Scenario) -> str:
    """Return a scenario in words: ``-16%, volatility up``."""
    move = f"{100 * scenario.move:+.4g}%" if scenario.move else "price as it is"
    vol = {"none": "", "linear": ", smile tilted", "abs": ", wings tilted"}
    return move + vol.get(scenario.vol, f", volatility {scenario.vol}")


class TailScenarios(Component):
    """Moves far beyond the grid, of which only a part of the loss counts.

    The part is dampening x the grid's largest move ÷ the move.
    """

    moves: tuple[float, ...] = Field(
        default=(), description="relative moves of the price, with volatility up (shares)"
    )
    dampening: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="part that counts of a tail as large as the grid (ratio)",
    )

    def compute_weights(self, reach: float) -> F8:
        """Return the part of each tail that counts, at most one, for a grid's largest move."""
        return np.minimum(self.dampening * reach / np.abs(self.moves), 1.0)

    def build_scenarios(self, reach: float) -> tuple[Scenario, ...]:
        """Return the tails as scenarios."""
        pairs = zip(self.moves, self.compute_weights(reach).tolist(), strict=True)
        return tuple(Scenario(move=move, vol="up", weight=weight) for move, weight in pairs)


class VolShock(Component):
    """Relative moves of volatility, x (30 ÷ days to expiry)^power: near expiries move more."""

    up: float = Field(default=0.4, ge=0, description="rise at 30 days (share)")
    down: float = Field(default=0.22, ge=0, description="fall at 30 days (share)")
    short_power: float = Field(
        default=0.3, ge=0, description="power for up to 30 days to expiry (exponent)"
    )
    long_power: float = Field(
        default=0.13, ge=0, description="power for longer times to expiry (exponent)"
    )
    floor: float = Field(
        default=86_400.0, ge=0, description="lower bound on the time to expiry (s)"
    )
    least: float = Field(
        default=0.0,
        ge=0,
        description="lower bound on volatility after a rise (annualised volatility)",
    )

    def compute_scale(self, years: F8) -> F8:
        """Return the multiplier of the moves.

        Zero at expiry, and for instruments that never expire.
        """
        days = np.maximum(years * DAYS_PER_YEAR, self.floor / 86_400.0)
        power = np.where(years * DAYS_PER_YEAR <= 30, self.short_power, self.long_power)
        moving = np.isfinite(days) & (days > 0)
        return np.where(moving, (30.0 / np.where(moving, days, 30.0)) ** power, 0.0)

    def shock_volatility(self, vol: F8, years: F8, direction: Sequence[str]) -> F8:
        """Return the volatilities (K,) of options, moved in each of S directions, (S, K)."""
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
    """Return the states of a market under a grid in which all underlyings move alike.

    Requirements decide how gains and losses are netted.
    """
    moves = np.array([1.0 + each.move for each in scenarios])
    vol = rule.shock_volatility(
        market.vol, find_years_to_expiry(market), [each.vol for each in scenarios]
    )
    return ShockedStates(
        moves[:, None] * market.oracle, vol, np.array([each.weight for each in scenarios])
    )


def compute_lot_pnl(market: MarketView, moved: ShockedStates) -> F8:
    """Return the gain of one lot of each instrument in each scenario, (S, K), minor units."""
    before = instrument_values.value_instruments(market, market.oracle[None], market.vol[None])
    return (
        (instrument_values.value_instruments(market, moved.oracle, moved.vol) - before)
        * market.tick_value()
        * moved.weight[:, None]
    )


def compute_scenario_pnl(accounts: Exposure, moved: ShockedStates) -> F8:
    """Return the gain of each account in each scenario, (S, A), minor units; pure."""
    return sum_leg_gains(
        accounts.position,
        compute_lot_pnl(accounts.market, moved),
        np.arange(accounts.position.shape[1]),
    )


def sum_leg_values(position: I8, per_lot: F8, legs: I8) -> F8:
    """Return the accounts' (A, K) totals of one value per lot (K,) over some legs, (A,)."""
    total: F8 = sum_leg_gains(position, per_lot[None], legs)[0]
    return total


def sum_leg_gains(position: I8, table: F8, legs: I8) -> F8:
    """Return the accounts' (A, K) totals of values per lot (S, K) over some legs, (S, A)."""
    return sum_and_minimise(position, table, legs, True)[0]


def find_worst_gain(position: I8, table: F8, legs: I8) -> F8:
    """Return the least of those totals over scenarios, (A,), without storing the totals."""
    return sum_and_minimise(position, table, legs, False)[1]


ACCOUNT_BLOCK = 128
"""Accounts in a block whose positions stay in the first cache."""


@kernel
def sum_and_minimise(position: I8, table: F8, legs: I8, keep: bool) -> tuple[F8, F8]:
    """Return sums over legs of values per lot, (S, A), and the least over scenarios, (A,).

    The sums are (0, A) unless they are kept. Accounts are processed in blocks and legs in groups of
    four, padded with zeros at the end. Each sum keeps the order of the legs. An account's sum
    therefore does not depend on the other accounts, as it does in a matrix product.
    """
    accounts, count, scenarios = position.shape[0], legs.size, table.shape[0]
    # a leg's accounts are one row of it: two indices in one loop would prevent vectorisation
    columns = position.T
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
    """Return the net value of some legs, (A,), and the value that is offset, (A,).

    The latter is half of gross less net.
    """
    net = sum_leg_values(position, per_lot, legs)
    return net, (sum_leg_values(np.abs(position), np.abs(per_lot), legs) - np.abs(net)) / 2


def compute_standalone_shares(accounts: Exposure, table: F8) -> F8:
    """Return each leg's share of the sum of the legs' worst standalone losses, (A, K).

    Shares are those of the notional where the sum is zero.

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
    total = leg_values.sum_legs(legs)[:, None]
    return legs / np.where(total > 0, total, 1.0)


class PeriodicRevaluation(Generic[T]):
    """Value computed from the market at intervals, such as risk arrays.

    Args:
        work: function from a market to the value.
        every: time between two computations (s); zero = the value is computed at every request.
    """

    def __init__(self, work: Callable[[MarketView], T], every: float) -> None:
        self.revalue, self.every = work, every
        self._value: T | None = None
        self._valued_at = -np.inf

    def observe(self, market: MarketView) -> None:
        """Compute the value if it is due."""
        if self.every and market.seconds - self._valued_at >= self.every:
            self._value, self._valued_at = self.revalue(market), market.seconds

    def get_current(self, market: MarketView) -> T:
        """Return the value, as old as :meth:`age_seconds` reports."""
        return self.revalue(market) if self._value is None else self._value

    def age_seconds(self, market: MarketView) -> float:
        """Return the age of the value (s)."""
        return 0.0 if self._value is None else market.seconds - self._valued_at


class ScenarioMargin(ItemisedRequirement):
    """Requirement equal to the worst of a list of scenarios."""

    labels: tuple[str, ...]
    """Description of each scenario."""

    risk_arrays: PeriodicRevaluation[Any]
    """Risk arrays computed from the market."""

    moves: F8 = np.empty(0)
    """Relative moves of the price in the scenarios, in no order; empty = not known."""

    def scenario_gains(self, accounts: Exposure) -> F8:
        """Return the gain in each scenario, all underlyings moving alike, (S, A) minor units."""
        arrays = self.risk_arrays.get_current(accounts.market)
        return sum_leg_gains(accounts.position, arrays.pnl, np.arange(accounts.position.shape[1]))

    def observe(self, market: MarketView) -> None:
        """Revalue the risk arrays if they are due."""
        self.risk_arrays.observe(market)

    def risk_array_age(self, market: MarketView) -> float:
        """Return the age of the risk arrays (s)."""
        return self.risk_arrays.age_seconds(market)


def group_by_underlying(contracts: Contracts) -> list[I8]:
    """Return the columns of each underlying that has instruments."""
    return [
        np.flatnonzero(contracts.underlying == number) for number in np.unique(contracts.underlying)
    ]


def group_by_expiry(contracts: Contracts, legs: I8) -> list[I8]:
    """Return an underlying's columns by expiry."""
    if not contracts.expiry.size:
        return [legs]
    return [legs[contracts.expiry[legs] == expiry] for expiry in np.unique(contracts.expiry[legs])]


def compute_spreads(accounts: Exposure, delta: F8, expiries: list[I8]) -> F8:
    """Return the value of the deltas that offset those of other expiries, (A,)."""
    by_expiry = np.stack(
        [sum_leg_values(accounts.position, delta, legs) for legs in expiries], axis=1
    )
    long, short = np.maximum(by_expiry, 0), np.maximum(-by_expiry, 0)
    return np.minimum(leg_values.sum_legs(long), leg_values.sum_legs(short))


def find_pair(
    names: tuple[str, str], contracts: Contracts, numbers: list[int]
) -> tuple[int, int] | None:
    """Return the places of the underlyings of a credit among those of the pool.

    None if the pool does not hold both.
    """
    first, second = (
        find_underlying(name, contracts, "requirement.credits.underlyings") for name in names
    )
    if first == second:
        raise ConfigError(
            [
                f"requirement.credits.underlyings: {names[0]!r} twice, "
                "a spread needs two underlyings, name another"
            ]
        )
    return (
        (numbers.index(first), numbers.index(second)) if {first, second} <= set(numbers) else None
    )
