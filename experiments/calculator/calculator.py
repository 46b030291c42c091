"""The margin calculator: one account under several engines, the same objects that judge accounts in a market."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from experiments.calculator.entries import (
    EntryReading,
    describe_entries,
    find_position_mode,
    list_columns,
)
from experiments.calculator.kinks import find_scenarios, list_price_factors
from experiments.calculator.market_moves import (
    ROUNDING_DUST,
    BatchedAccount,
    MarginAccount,
    move_exposure,
    move_exposures,
)
from experiments.calculator.portfolio import PortfolioConfig, build_records
from experiments.file_kinds import load_kind
from sim.checks.margin_worlds import make_opening_world
from sim.checks.opening import find_engine_faults, find_smile_faults
from sim.component import Component
from sim.errors import ConfigError, describe_unknown
from sim.liquidation.bankruptcy import compute_bankruptcy_prices
from sim.liquidation.prices import find_liquidation_ticks
from sim.liquidation.windows import Curve, NegativeInterval, find_negative_intervals
from sim.margin.breakdown import break_down_margins
from sim.margin.engine import EngineConfig
from sim.margin.tiers.edges import find_tier_edges
from sim.reading.packaged import is_file, list_packaged
from sim.types import F8, I8, MISSING, Exposure, MarketView

MAX_MOVE = 1e6
"""The largest relative move that makes sense of a price or a volatility."""


class Shock(Component):
    """One story of prices and volatilities."""

    name: str = Field(min_length=1, description="what to call it")
    moves: dict[str, float] = Field(
        default={}, description="relative moves by underlying (name: share)"
    )
    all: float = Field(
        default=0.0,
        gt=-1,
        le=MAX_MOVE,
        description="relative move of underlyings not named (share)",
    )
    vol: float = Field(
        default=0.0,
        gt=-1,
        le=MAX_MOVE,
        description="relative move of every option's volatility (share)",
    )


class StressConfig(Component):
    """Shocks to put a portfolio through."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    shocks: tuple[Shock, ...] = Field(min_length=1, description="the stories")


class MarginedPortfolio(NamedTuple):
    """A portfolio under one engine; amounts in minor units of the numeraire."""

    name: str
    parts: list[MarginAccount]
    readings: tuple[EntryReading, ...] = ()  # of instruments with several entries
    look_back: float = 0.0  # of which the engine would learn, and a portfolio has none (s)
    config: EngineConfig | None = None  # of which the engines were built
    unit: int = 100  # minor units in one unit of the numeraire

    def total_risk(self) -> tuple[float, float, float]:
        """Equity, initial and maintenance over all margin accounts."""
        risks = [part.engine.assess(part.book) for part in self.parts]
        equity, initial, maintenance = (sum(float(risk[i][0]) for risk in risks) for i in range(3))
        return equity, initial, maintenance

    def weakest_amounts(self) -> tuple[float, float]:
        """The least equity, and the least excess, of any margin account."""
        return min(part.equity() for part in self.parts), min(part.excess() for part in self.parts)

    def total_haircuts(self) -> tuple[float, float]:
        """What valuation disallows, initial and maintenance."""
        cuts = [part.engine.valuation.compute_haircuts(part.book) for part in self.parts]
        return sum(float(cut.initial[0]) for cut in cuts), sum(
            float(cut.maintenance[0]) for cut in cuts
        )

    def margin_breakdown(self) -> dict[str, tuple[float, float]]:
        """What initial and maintenance are the sum of, parts that are nil left out."""
        total = {"haircuts": self.total_haircuts()}
        for engine, book in self.parts:
            for name, asked in break_down_margins(engine.requirement, book).items():
                before = total.get(name, (0.0, 0.0))
                total[name] = (
                    before[0] + float(asked.initial[0]),
                    before[1] + float(asked.maintenance[0]),
                )
        initial, maintenance = (sum(part[i] for part in total.values()) for i in range(2))
        _, opened, kept = self.total_risk()
        total["rounding up"] = (opened - initial, kept - maintenance)
        return {name: part for name, part in total.items() if max(map(abs, part)) > ROUNDING_DUST}

    def apply_moves(self, moves: F8, vol: float) -> "MarginedPortfolio":
        """The same account after relative moves (U,) and one of volatilities."""
        return self._replace(
            parts=[part._replace(book=move_exposure(part.book, moves, vol)) for part in self.parts]
        )


def list_engines(words: str | None, portfolio: PortfolioConfig) -> list[str]:
    """The engines asked for: names with commas between, ``all`` for every preset; else those the portfolio names.

    Raises:
        ConfigError: words, and no name among them.
    """
    if words is None:
        return list(portfolio.engines)
    asked = [word.strip() for word in words.split(",") if word.strip()]
    if not asked:
        raise ConfigError(
            [
                f"--engines: {words!r} names none, give one or more of {', '.join(_list_presets())}, or all"
            ]
        )
    return list(
        dict.fromkeys(
            name for word in asked for name in (_list_presets() if word == "all" else [word])
        )
    )


def _list_presets() -> list[str]:
    return [
        each.removeprefix("engines/") for each in list_packaged() if each.startswith("engines/")
    ]


def load_engine(name: str, portfolio: PortfolioConfig) -> EngineConfig:
    """An engine of the portfolio's own, a packaged preset with or without its folder, or a file.

    Raises:
        ConfigError: there is none of that name, or it is none.
    """
    if name in portfolio.own:
        return portfolio.own[name]
    own = name if name.startswith("engines/") or is_file(name) else f"engines/{name}"
    presets = _list_presets()
    if own == f"engines/{name}" and name.removesuffix(".yaml") not in presets:
        raise ConfigError([f"--engines: {describe_unknown(name, [*portfolio.own, *presets])}"])
    return load_kind("engine", own, (), EngineConfig)


def margin_portfolio(
    portfolio: PortfolioConfig, name: str, engine: EngineConfig
) -> MarginedPortfolio:
    """The margin accounts that an engine's netting makes of a portfolio.

    Of several, each gets the cash that makes its equity the same multiple of its initial margin; an asset goes to the
    account of the underlying of its name, else to the first.

    Raises:
        ConfigError: the engine asks for what the portfolio does not have.
    """
    unit = 10 ** portfolio.assets[0].decimals
    if faults := find_smile_faults(portfolio):
        raise ConfigError(faults)
    try:
        mode = find_position_mode(portfolio, name)
        listed = list_columns(portfolio, mode)
        _refuse_broken_parts(engine, build_records(portfolio, listed).market, unit)
        pools = engine.build_pools(build_records(portfolio, listed).market.contracts)
        whole = build_records(portfolio, [listed[column] for pool in pools for column in pool])
        parts, start = [], 0
        for pool in pools:
            its = slice(start, start + len(pool))
            start += len(pool)
            market = whole.market.select_instruments(its)
            built = engine.build_engine(market.contracts, unit)
            built.observe(market)
            parts.append(
                MarginAccount(
                    built,
                    _build_exposure(market, whole.position[its], whole.entry[its], whole.balance),
                )
            )
    except ConfigError as error:
        raise ConfigError([f"--engines {name}: {line}" for line in error.problems]) from error
    parts = parts if len(parts) == 1 else _share_cash(parts, whole.balance)
    return MarginedPortfolio(
        name, parts, describe_entries(portfolio, mode), engine.requirement.look_back(), engine, unit
    )


def _refuse_broken_parts(engine: EngineConfig, market: MarketView, unit: int) -> None:
    """Refuse an engine with a part of a plug-in that breaks a law.

    Raises:
        ConfigError: a line for each such part.
    """
    world = make_opening_world(market, unit)
    if faults := find_engine_faults(engine, world, [world]):
        raise ConfigError(faults)


def _build_exposure(market: MarketView, position: I8, entry: I8, balance: I8) -> Exposure:
    none, free = np.zeros_like(position)[None], np.full((1, position.size), np.inf)
    cash = balance[None]
    return Exposure(
        cash, np.zeros_like(cash), position[None], none, none, none, entry[None], free, market
    )


def _share_cash(parts: list[MarginAccount], balance: I8) -> list[MarginAccount]:
    """Cash and assets handed out among several margin accounts."""
    held = np.zeros((len(parts), balance.size), dtype=np.int64)
    for asset, name in enumerate(parts[0].book.market.contracts.assets[1:], start=1):
        held[_find_home_account(parts, name), asset] = balance[asset]
    parts = [
        part._replace(book=_with_balance(part.book, own))
        for part, own in zip(parts, held, strict=True)
    ]
    risks = [part.engine.assess(part.book) for part in parts]
    equity, initial = (np.array([float(risk[i][0]) for risk in risks]) for i in (0, 1))
    weights = initial / initial.sum() if initial.any() else np.full(len(parts), 1 / len(parts))
    cash = np.rint(weights * (equity.sum() + balance[0]) - equity).astype(np.int64)
    cash[0] += balance[0] - cash.sum()
    held[:, 0] = cash
    return [
        part._replace(book=_with_balance(part.book, own))
        for part, own in zip(parts, held, strict=True)
    ]


def _with_balance(book: Exposure, balance: I8) -> Exposure:
    return book._replace(balance=balance[None])


def _find_home_account(parts: list[MarginAccount], asset: str) -> int:
    """The margin account of the underlying of that name, else the first."""
    for number, part in enumerate(parts):
        contracts = part.book.market.contracts
        if asset in {contracts.underlyings[u] for u in contracts.underlying}:
            return number
    return 0


class PositionRow(NamedTuple):
    """One position under one engine; prices in quote currency, None where there is none."""

    instrument: str
    quantity: float
    mark: float
    below: float | None  # liquidation price below the mark
    above: float | None
    bankruptcy: float | None
    reason: str | None  # why there is no liquidation price on the side on which it loses


def list_positions(account: MarginedPortfolio) -> list[PositionRow]:
    """Liquidation and bankruptcy price of each position, all other marks as they are."""
    found = []
    for engine, book in account.parts:
        contracts, risk = book.market.contracts, engine.assess(book)
        jumps = find_tier_edges(engine.requirement, book)
        bankrupt = (
            compute_bankruptcy_prices(book, risk.equity, engine.compute_leg_shares(book))[0]
            * contracts.tick
        )
        for k in np.flatnonzero(book.position[0]):
            also, tick = jumps[k] * book.market.mark[k], float(contracts.tick[k])
            ticks = find_liquidation_ticks(engine.assess, book, int(k), also)
            below, above = (None if each == MISSING else each * tick for each in ticks)
            quantity, mark = (
                float(book.position[0, k] * contracts.lot[k]),
                float(book.market.mark[k] * tick),
            )
            gone = float(bankrupt[k]) if bankrupt[k] > 0 else None
            reason = _explain_no_price(
                float(risk.excess[0]), below if quantity > 0 else above, quantity
            )
            found.append(
                PositionRow(contracts.names[k], quantity, mark, below, above, gone, reason)
            )
    return found


def _explain_no_price(excess: float, price: float | None, quantity: float) -> str | None:
    """Why a position has no liquidation price where it loses; None if it has one."""
    if price is not None:
        return None
    if excess < 0:
        return "the account is liquidatable at the present mark"
    return f"the account covers {'its fall to 0' if quantity > 0 else 'its rise to max_price'}"


class WorstScenario(NamedTuple):
    """The worst scenario of an engine's own grid."""

    label: str
    gain: float  # minor units
    stale: float  # age of the risk arrays (s)


def find_worst_scenario(account: MarginedPortfolio) -> WorstScenario | None:
    """Of the margin account that loses most; None if the engine has no scenarios."""
    found = []
    for engine, book in account.parts:
        grid = find_scenarios(engine)
        if grid is not None:
            gains = grid.scenario_gains(book)[:, 0]
            number = int(gains.argmin())
            found.append(
                WorstScenario(
                    grid.labels[number], float(gains[number]), grid.risk_array_age(book.market)
                )
            )
    return min(found, key=lambda each: each.gain, default=None)


class IndexMoves(NamedTuple):
    """Relative moves of all underlyings alike that do it: the smallest each way, None if none does; and all of them."""

    down: float | None
    up: float | None
    windows: tuple[tuple[float, float], ...] = ()


WINDOW_PRECISION = 1e-9
"""How exactly the ends of windows are known (share)."""


def find_index_moves(account: MarginedPortfolio) -> tuple[IndexMoves, IndexMoves]:
    """What makes the account liquidatable, and what makes it bankrupt."""
    points = list_price_factors(account.parts)
    equity, excess = (
        find_negative_intervals(curve, points, WINDOW_PRECISION) for curve in build_curves(account)
    )
    return _find_nearest_moves(excess), _find_nearest_moves(equity)


def build_curves(account: MarginedPortfolio) -> tuple[Curve, Curve]:
    """Equity and excess, the least of any margin account, as functions of the price, a factor of the present one."""
    several = [BatchedAccount(account.config, part, account.unit) for part in account.parts]
    count = account.parts[0].book.market.oracle.size

    def curve(amounts: Sequence[Callable[[F8], F8]]) -> Curve:
        def lowest(factors: F8) -> F8:
            moves = np.repeat(factors[:, None] - 1.0, count, axis=1)
            found: F8 = np.min([amount(moves) for amount in amounts], axis=0)
            return found

        return lowest

    return curve([each.equity for each in several]), curve([each.excess for each in several])


def _find_nearest_moves(found: Sequence[NegativeInterval]) -> IndexMoves:
    """The moves of windows of the price; none is needed where the present price is in one."""
    moves = tuple((low - 1.0, high - 1.0) for low, high in found)
    if any(low <= 0 <= high for low, high in moves):
        return IndexMoves(0.0, 0.0, moves)
    down = max((high for _, high in moves if high < 0), default=None)
    return IndexMoves(down, min((low for low, _ in moves if low > 0), default=None), moves)


class StressedPortfolio(NamedTuple):
    """One shock under one engine, minor units."""

    equity: float
    maintenance: float
    status: str


def stress_portfolio(
    account: MarginedPortfolio, shocks: Sequence[Shock]
) -> list[StressedPortfolio]:
    """Equity and solvency after each shock.

    Raises:
        ConfigError: a shock moves an underlying that the portfolio does not have, or to nil.
    """
    names = account.parts[0].book.market.contracts.underlyings
    problems = [
        f"shocks.{n}.moves.{name}: {describe_unknown(name, names)}"
        for n, shock in enumerate(shocks)
        for name in shock.moves
        if name not in names
    ]
    problems += [
        f"shocks.{n}.moves.{name}: {move:g}, must be above -1 and at most {MAX_MOVE:g}, correct it"
        for n, shock in enumerate(shocks)
        for name, move in shock.moves.items()
        if not -1 < move <= MAX_MOVE
    ]
    if problems:
        raise ConfigError(problems)
    found = []
    for vol, alike in itertools.groupby(shocks, key=lambda shock: shock.vol):
        moves = np.array([[shock.moves.get(name, shock.all) for name in names] for shock in alike])
        for books in zip(
            *(move_exposures(part.book, moves, vol) for part in account.parts), strict=True
        ):
            moved_parts = [
                part._replace(book=book) for part, book in zip(account.parts, books, strict=True)
            ]
            there = account._replace(parts=moved_parts)
            equity, initial, maintenance = there.total_risk()
            found.append(
                StressedPortfolio(equity, maintenance, _classify_amounts(there, equity, initial))
            )
    return found


def classify_portfolio(account: MarginedPortfolio) -> str:
    """Bankrupt, liquidatable, below initial, or healthy: of its weakest margin account."""
    return _classify_amounts(account, *account.total_risk()[:2])


def _classify_amounts(account: MarginedPortfolio, whole: float, initial: float) -> str:
    """The same, equity and initial margin over all margin accounts being known."""
    equity, excess = account.weakest_amounts()
    if equity < 0:
        return "bankrupt"
    if excess < 0:
        return "liquidatable"
    return "below initial" if whole < initial else "healthy"
