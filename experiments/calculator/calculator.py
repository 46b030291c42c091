"""Margin calculator: one account under several engines, with the engines of the market."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

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
)
from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.records import build_records
from experiments.file_kinds import load_kind
from sim.checks.margin_worlds import make_opening_world
from sim.checks.opening import find_engine_faults, find_smile_faults
from sim.errors import ConfigError, describe_unknown
from sim.liquidation.bankruptcy import compute_bankruptcy_prices
from sim.liquidation.prices import find_liquidation_ticks
from sim.liquidation.windows import Curve, NegativeInterval, find_negative_intervals
from sim.margin.breakdown import break_down_margins
from sim.margin.engine import EngineConfig
from sim.margin.tiers.edges import find_tier_edges
from sim.reading.packaged import is_file, list_packaged
from sim.types import F8, I8, MISSING, Exposure, MarketView


class MarginedPortfolio(NamedTuple):
    """Portfolio under one engine; amounts in minor units of the numeraire."""

    name: str
    parts: list[MarginAccount]
    readings: tuple[EntryReading, ...] = ()  # of instruments with several entries
    look_back: float = 0.0  # past that the engine learns from, which a portfolio lacks (s)
    config: EngineConfig | None = None  # configuration of the engines
    unit: int = 100  # minor units in one unit of the numeraire

    def total_risk(self) -> tuple[float, float, float]:
        """Return equity, initial and maintenance margin over all margin accounts."""
        risks = [part.engine.assess(part.book) for part in self.parts]
        equity, initial, maintenance = (sum(float(risk[i][0]) for risk in risks) for i in range(3))
        return equity, initial, maintenance

    def weakest_amounts(self) -> tuple[float, float]:
        """Return the smallest equity and the smallest excess of any margin account."""
        return min(part.equity() for part in self.parts), min(part.excess() for part in self.parts)

    def total_haircuts(self) -> tuple[float, float]:
        """Return the haircuts of the valuation on initial and maintenance equity."""
        cuts = [part.engine.valuation.compute_haircuts(part.book) for part in self.parts]
        initial = sum(float(cut.initial[0]) for cut in cuts)
        return initial, sum(float(cut.maintenance[0]) for cut in cuts)

    def margin_breakdown(self) -> dict[str, tuple[float, float]]:
        """Return the non-zero components of initial and maintenance margin, by name."""
        total = {"haircuts": self.total_haircuts()}
        for engine, book in self.parts:
            for name, margins in break_down_margins(engine.requirement, book).items():
                before = total.get(name, (0.0, 0.0))
                total[name] = (
                    before[0] + float(margins.initial[0]),
                    before[1] + float(margins.maintenance[0]),
                )
        initial, maintenance = (sum(part[i] for part in total.values()) for i in range(2))
        _, total_initial, total_maintenance = self.total_risk()
        total["rounding up"] = (total_initial - initial, total_maintenance - maintenance)
        return {name: part for name, part in total.items() if max(map(abs, part)) > ROUNDING_DUST}

    def apply_moves(self, moves: F8, vol: float) -> "MarginedPortfolio":
        """Return the account after relative moves (U,) of underlyings and one of volatilities."""
        return self._replace(
            parts=[part._replace(book=move_exposure(part.book, moves, vol)) for part in self.parts]
        )


def list_engines(words: str | None, portfolio: PortfolioConfig) -> list[str]:
    """Return the requested engines.

    Args:
        words: names separated by commas, ``all`` = every preset; None = those of the portfolio.
        portfolio: configuration of the account.

    Raises:
        ConfigError: the words hold no name.
    """
    return list(portfolio.engines) if words is None else parse_engine_names(words)


def parse_engine_names(words: str) -> list[str]:
    """Return the engines named in words separated by commas, ``all`` = every preset.

    Raises:
        ConfigError: the words hold no name.
    """
    requested = [word.strip() for word in words.split(",") if word.strip()]
    if not requested:
        presets = ", ".join(_list_presets())
        raise ConfigError(
            [f"--engines: {words!r} names none, give one or more of {presets}, or all"]
        )
    names: dict[str, None] = {}
    for word in requested:
        names.update(dict.fromkeys(_list_presets() if word == "all" else [word]))
    return list(names)


def _list_presets() -> list[str]:
    return [
        each.removeprefix("engines/") for each in list_packaged() if each.startswith("engines/")
    ]


def load_engine(name: str, portfolio: PortfolioConfig) -> EngineConfig:
    """Return an engine by name.

    The name is of an engine of the portfolio, of a packaged preset with or without its folder, or
    of a file.

    Raises:
        ConfigError: no engine has that name, or the file is not an engine.
    """
    if name in portfolio.own:
        return portfolio.own[name]
    own = name if name.startswith("engines/") or is_file(name) else f"engines/{name}"
    presets = _list_presets()
    if own == f"engines/{name}" and name.removesuffix(".yaml") not in presets:
        raise ConfigError([f"--engines: {describe_unknown(name, [*portfolio.own, *presets])}"])
    try:
        return load_kind("engine", own, (), EngineConfig)
    except ConfigError as error:
        lines = [line if line.startswith(name) else f"{name}: {line}" for line in error.problems]
        raise ConfigError(lines) from error


def margin_portfolio(
    portfolio: PortfolioConfig, name: str, engine: EngineConfig
) -> MarginedPortfolio:
    """Return the margin accounts into which an engine's netting divides a portfolio.

    Cash is divided so that the equity of each account is the same multiple of its initial margin.
    An asset goes to the account of the underlying with its name, else to the first.

    Raises:
        ConfigError: the engine requires data that the portfolio does not have.
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
    """Check that the parts of an engine from plug-ins obey the laws of their kind.

    Raises:
        ConfigError: parts break a law, with one line for each.
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
    """Return several margin accounts with cash and assets divided among them."""
    held = np.zeros((len(parts), balance.size), dtype=np.int64)
    for asset, name in enumerate(parts[0].book.market.contracts.assets[1:], start=1):
        held[_find_home_account(parts, name), asset] = balance[asset]
    parts = _with_balances(parts, held)
    risks = [part.engine.assess(part.book) for part in parts]
    equity, initial = (np.array([float(risk[i][0]) for risk in risks]) for i in (0, 1))
    weights = initial / initial.sum() if initial.any() else np.full(len(parts), 1 / len(parts))
    cash = np.rint(weights * (equity.sum() + balance[0]) - equity).astype(np.int64)
    cash[0] += balance[0] - cash.sum()
    held[:, 0] = cash
    return _with_balances(parts, held)


def _with_balances(parts: list[MarginAccount], balances: I8) -> list[MarginAccount]:
    """Return margin accounts with the balances of each, (parts, C) minor units."""
    return [
        part._replace(book=part.book._replace(balance=balance[None]))
        for part, balance in zip(parts, balances, strict=True)
    ]


def _find_home_account(parts: list[MarginAccount], asset: str) -> int:
    """Return the number of the margin account with an underlying of a name, else the first."""
    for number, part in enumerate(parts):
        contracts = part.book.market.contracts
        if asset in {contracts.underlyings[u] for u in contracts.underlying}:
            return number
    return 0


class PositionRow(NamedTuple):
    """One position under one engine; prices in quote currency, None if there is none."""

    instrument: str
    quantity: float
    mark: float
    below: float | None  # liquidation price below the mark
    above: float | None  # liquidation price above the mark
    bankruptcy: float | None
    reason: str | None  # reason for no liquidation price on the side on which it loses


def list_positions(account: MarginedPortfolio) -> list[PositionRow]:
    """Return liquidation and bankruptcy prices of each position, at constant other marks."""
    rows = []
    for part in account.parts:
        engine, book = part
        edges = find_tier_edges(engine.requirement, book)
        equity, shares = engine.assess(book).equity, engine.compute_leg_shares(book)
        bankruptcy = compute_bankruptcy_prices(book, equity, shares)[0] * book.market.contracts.tick
        for k in np.flatnonzero(book.position[0]):
            rows.append(_describe_position(part, int(k), edges[k], float(bankruptcy[k])))
    return rows


def _describe_position(account: MarginAccount, k: int, edges: F8, bankruptcy: float) -> PositionRow:
    """Return the row of one position.

    Args:
        account: its margin account.
        k: column of the instrument.
        edges: prices at which tiers change, as factors of the mark.
        bankruptcy: bankruptcy price, quote currency; not positive = none.
    """
    engine, book = account
    contracts, mark = book.market.contracts, book.market.mark[k]
    tick, quantity = float(contracts.tick[k]), float(book.position[0, k] * contracts.lot[k])
    ticks = find_liquidation_ticks(engine.assess, book, k, edges * mark)
    below, above = (None if each == MISSING else each * tick for each in ticks)
    excess = float(engine.assess(book).excess[0])
    return PositionRow(
        instrument=contracts.names[k],
        quantity=quantity,
        mark=float(mark * tick),
        below=below,
        above=above,
        bankruptcy=bankruptcy if bankruptcy > 0 else None,
        reason=_explain_no_price(excess, below if quantity > 0 else above, quantity),
    )


def _explain_no_price(excess: float, price: float | None, quantity: float) -> str | None:
    """Return the reason for no liquidation price on the losing side; None if there is one."""
    if price is not None:
        return None
    if excess < 0:
        return "the account is liquidatable at the current mark"
    return f"the account covers {'its fall to 0' if quantity > 0 else 'its rise to max_price'}"


class WorstScenario(NamedTuple):
    """Worst scenario of an engine's own grid."""

    label: str
    gain: float  # minor units
    stale: float  # age of the risk arrays (s)


def find_worst_scenario(account: MarginedPortfolio) -> WorstScenario | None:
    """Return the scenario with the largest loss of any margin account; None without scenarios."""
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
    """Equal relative moves of all underlyings after which an account is in some state."""

    down: float | None  # smallest fall, None if there is none
    up: float | None  # smallest rise, None if there is none
    windows: tuple[tuple[float, float], ...] = ()  # all ranges of moves


WINDOW_PRECISION = 1e-9
"""Precision of the ends of windows (share)."""


def find_index_moves(account: MarginedPortfolio) -> tuple[IndexMoves, IndexMoves]:
    """Return the moves that make the account liquidatable, and those that make it bankrupt."""
    points = list_price_factors(account.parts)
    equity, excess = (
        find_negative_intervals(curve, points, WINDOW_PRECISION) for curve in build_curves(account)
    )
    return _find_nearest_moves(excess), _find_nearest_moves(equity)


def build_curves(account: MarginedPortfolio) -> tuple[Curve, Curve]:
    """Return the smallest equity and excess of any margin account, as functions of the price.

    The price is a factor of the current one.
    """
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
    """Return the moves of windows of the price; zero if the current price is in one."""
    moves = tuple((low - 1.0, high - 1.0) for low, high in found)
    if any(low <= 0 <= high for low, high in moves):
        return IndexMoves(0.0, 0.0, moves)
    down = max((high for _, high in moves if high < 0), default=None)
    return IndexMoves(down, min((low for low, _ in moves if low > 0), default=None), moves)


def classify_portfolio(account: MarginedPortfolio) -> str:
    """Return the status of the weakest margin account.

    It is bankrupt, liquidatable, below initial, or healthy.
    """
    return classify_amounts(account, *account.total_risk()[:2])


def classify_amounts(account: MarginedPortfolio, whole: float, initial: float) -> str:
    """Return the status for known equity and initial margin over all margin accounts."""
    equity, excess = account.weakest_amounts()
    if equity < 0:
        return "bankrupt"
    if excess < 0:
        return "liquidatable"
    return "below initial" if whole < initial else "healthy"
