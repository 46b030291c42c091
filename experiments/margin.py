"""The margin calculator: one account under several engines, the same objects that judge accounts in a market."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from experiments.entries import Reading, columns, mode_of, readings
from experiments.file_kinds import load_as
from experiments.kinks import factors, scenarios_of
from experiments.moved import ROUNDING, Part, SideBySide, moved, moved_along
from experiments.portfolio import PortfolioConfig, listing
from sim.component import Component
from sim.errors import ConfigError, not_one_of
from sim.liquidation.bankruptcy import bankruptcy_prices
from sim.liquidation.prices import liquidation_ticks
from sim.liquidation.windows import Curve, Window, windows
from sim.margin.breakdown import breakdown
from sim.margin.edges import edges
from sim.margin.engine import EngineConfig
from sim.packaged import is_file, packaged
from sim.types import F8, I8, NOBODY, Exposure, MarketView

LARGEST = 1e6
"""The largest relative move that makes sense of a price or a volatility."""


class Shock(Component):
    """One story of prices and volatilities."""

    name: str = Field(min_length=1, description="what to call it")
    moves: dict[str, float] = Field(default={}, description="relative moves by underlying (name: share)")
    all: float = Field(default=0.0, gt=-1, le=LARGEST, description="relative move of underlyings not named (share)")
    vol: float = Field(default=0.0, gt=-1, le=LARGEST, description="relative move of every option's volatility (share)")


class StressConfig(Component):
    """Shocks to put a portfolio through."""

    description: str = Field(default="", description="one line for `deleverage configs`")
    shocks: tuple[Shock, ...] = Field(min_length=1, description="the stories")


class Account(NamedTuple):
    """A portfolio under one engine; amounts in minor units of the numeraire."""

    name: str
    parts: list[Part]
    readings: tuple[Reading, ...] = ()  # of instruments with several entries
    past: float = 0.0  # of which the engine would learn, and a portfolio has none (s)
    config: EngineConfig | None = None  # of which the engines were built
    unit: int = 100  # minor units in one unit of the numeraire

    def total(self) -> tuple[float, float, float]:
        """Equity, initial and maintenance over all margin accounts."""
        risks = [part.engine.assess(part.book) for part in self.parts]
        equity, initial, maintenance = (sum(float(risk[i][0]) for risk in risks) for i in range(3))
        return equity, initial, maintenance

    def weakest(self) -> tuple[float, float]:
        """The least equity, and the least excess, of any margin account."""
        return min(part.equity() for part in self.parts), min(part.excess() for part in self.parts)

    def haircuts(self) -> tuple[float, float]:
        """What valuation disallows, initial and maintenance."""
        cuts = [part.engine.valuation.haircuts(part.book) for part in self.parts]
        return sum(float(cut.initial[0]) for cut in cuts), sum(float(cut.maintenance[0]) for cut in cuts)

    def breakdown(self) -> dict[str, tuple[float, float]]:
        """What initial and maintenance are the sum of, parts that are nil left out."""
        total = {"haircuts": self.haircuts()}
        for engine, book in self.parts:
            for name, asked in breakdown(engine.requirement, book).items():
                before = total.get(name, (0.0, 0.0))
                total[name] = (before[0] + float(asked.initial[0]), before[1] + float(asked.maintenance[0]))
        initial, maintenance = (sum(part[i] for part in total.values()) for i in range(2))
        _, opened, kept = self.total()
        total["rounding up"] = (opened - initial, kept - maintenance)
        return {name: part for name, part in total.items() if max(map(abs, part)) > ROUNDING}

    def after(self, moves: F8, vol: float) -> "Account":
        """The same account after relative moves (U,) and one of volatilities."""
        return self._replace(parts=[part._replace(book=moved(part.book, moves, vol)) for part in self.parts])


def engines_of(words: str | None, portfolio: PortfolioConfig) -> list[str]:
    """The engines asked for: names with commas between, ``all`` for every preset; else those the portfolio names.

    Raises:
        ConfigError: words, and no name among them.
    """
    if words is None:
        return list(portfolio.engines)
    asked = [word.strip() for word in words.split(",") if word.strip()]
    if not asked:
        raise ConfigError([f"--engines: {words!r} names none, give one or more of {', '.join(_presets())}, or all"])
    return list(dict.fromkeys(name for word in asked for name in (_presets() if word == "all" else [word])))


def _presets() -> list[str]:
    return [each.removeprefix("engines/") for each in packaged() if each.startswith("engines/")]


def engine_of(name: str, portfolio: PortfolioConfig) -> EngineConfig:
    """An engine of the portfolio's own, a packaged preset with or without its folder, or a file.

    Raises:
        ConfigError: there is none of that name, or it is none.
    """
    if name in portfolio.own:
        return portfolio.own[name]
    own = name if name.startswith("engines/") or is_file(name) else f"engines/{name}"
    presets = _presets()
    if own == f"engines/{name}" and name.removesuffix(".yaml") not in presets:
        raise ConfigError([f"--engines: {not_one_of(name, [*portfolio.own, *presets])}"])
    return load_as("engine", own, (), EngineConfig)


def accounts(portfolio: PortfolioConfig, name: str, engine: EngineConfig) -> Account:
    """The margin accounts that an engine's netting makes of a portfolio.

    Of several, each gets the cash that makes its equity the same multiple of its initial margin; an asset goes to the
    account of the underlying of its name, else to the first.

    Raises:
        ConfigError: the engine asks for what the portfolio does not have.
    """
    unit = 10 ** portfolio.assets[0].decimals
    try:
        mode = mode_of(portfolio, name)
        listed = columns(portfolio, mode)
        pools = engine.pools(listing(portfolio, listed).market.contracts)
        whole = listing(portfolio, [listed[column] for pool in pools for column in pool])
        parts, start = [], 0
        for pool in pools:
            its = slice(start, start + len(pool))
            start += len(pool)
            market = whole.market.slice(its)
            built = engine.build(market.contracts, unit)
            built.observe(market)
            parts.append(Part(built, _book(market, whole.position[its], whole.entry[its], whole.balance)))
    except ConfigError as error:
        raise ConfigError([f"--engines {name}: {line}" for line in error.problems]) from error
    parts = parts if len(parts) == 1 else _shared(parts, whole.balance)
    return Account(name, parts, readings(portfolio, mode), engine.requirement.look_back(), engine, unit)


def _book(market: MarketView, position: I8, entry: I8, balance: I8) -> Exposure:
    none, free = np.zeros_like(position)[None], np.full((1, position.size), np.inf)
    cash = balance[None]
    return Exposure(cash, np.zeros_like(cash), position[None], none, none, none, entry[None], free, market)


def _shared(parts: list[Part], balance: I8) -> list[Part]:
    """Cash and assets handed out among several margin accounts."""
    held = np.zeros((len(parts), balance.size), dtype=np.int64)
    for asset, name in enumerate(parts[0].book.market.contracts.assets[1:], start=1):
        held[_home(parts, name), asset] = balance[asset]
    parts = [part._replace(book=_with(part.book, own)) for part, own in zip(parts, held, strict=True)]
    risks = [part.engine.assess(part.book) for part in parts]
    equity, initial = (np.array([float(risk[i][0]) for risk in risks]) for i in (0, 1))
    weights = initial / initial.sum() if initial.any() else np.full(len(parts), 1 / len(parts))
    cash = np.rint(weights * (equity.sum() + balance[0]) - equity).astype(np.int64)
    cash[0] += balance[0] - cash.sum()
    held[:, 0] = cash
    return [part._replace(book=_with(part.book, own)) for part, own in zip(parts, held, strict=True)]


def _with(book: Exposure, balance: I8) -> Exposure:
    return book._replace(balance=balance[None])


def _home(parts: list[Part], asset: str) -> int:
    """The margin account of the underlying of that name, else the first."""
    for number, part in enumerate(parts):
        contracts = part.book.market.contracts
        if asset in {contracts.underlyings[u] for u in contracts.underlying}:
            return number
    return 0


class Row(NamedTuple):
    """One position under one engine; prices in quote currency, None where there is none."""

    instrument: str
    quantity: float
    mark: float
    below: float | None  # liquidation price below the mark
    above: float | None
    bankruptcy: float | None
    reason: str | None  # why there is no liquidation price on the side on which it loses


def rows(account: Account) -> list[Row]:
    """Liquidation and bankruptcy price of each position, all other marks as they are."""
    found = []
    for engine, book in account.parts:
        contracts, risk = book.market.contracts, engine.assess(book)
        jumps = edges(engine.requirement, book)
        bankrupt = bankruptcy_prices(book, risk.equity, engine.shares(book))[0] * contracts.tick
        for k in np.flatnonzero(book.position[0]):
            also, tick = jumps[k] * book.market.mark[k], float(contracts.tick[k])
            ticks = liquidation_ticks(engine.assess, book, int(k), also)
            below, above = (None if each == NOBODY else each * tick for each in ticks)
            quantity, mark = float(book.position[0, k] * contracts.lot[k]), float(book.market.mark[k] * tick)
            gone = float(bankrupt[k]) if bankrupt[k] > 0 else None
            reason = _reason(float(risk.excess[0]), below if quantity > 0 else above, quantity)
            found.append(Row(contracts.names[k], quantity, mark, below, above, gone, reason))
    return found


def _reason(excess: float, price: float | None, quantity: float) -> str | None:
    """Why a position has no liquidation price where it loses; None if it has one."""
    if price is not None:
        return None
    if excess < 0:
        return "the account is liquidatable at the present mark"
    return f"the account covers {'its fall to 0' if quantity > 0 else 'its rise to max_price'}"


class Worst(NamedTuple):
    """The worst scenario of an engine's own grid."""

    label: str
    gain: float  # minor units
    stale: float  # age of the risk arrays (s)


def worst(account: Account) -> Worst | None:
    """Of the margin account that loses most; None if the engine has no scenarios."""
    found = []
    for engine, book in account.parts:
        grid = scenarios_of(engine)
        if grid is not None:
            gains = grid.scenarios(book)[:, 0]
            number = int(gains.argmin())
            found.append(Worst(grid.labels[number], float(gains[number]), grid.stale(book.market)))
    return min(found, key=lambda each: each.gain, default=None)


class Moves(NamedTuple):
    """Relative moves of all underlyings alike that do it: the smallest each way, None if none does; and all of them."""

    down: float | None
    up: float | None
    windows: tuple[tuple[float, float], ...] = ()


EXACT = 1e-9
"""How exactly the ends of windows are known (share)."""


def index_moves(account: Account) -> tuple[Moves, Moves]:
    """What makes the account liquidatable, and what makes it bankrupt."""
    points = factors(account.parts)
    equity, excess = (windows(curve, points, EXACT) for curve in least(account))
    return _nearest(excess), _nearest(equity)


def least(account: Account) -> tuple[Curve, Curve]:
    """Equity and excess, the least of any margin account, as functions of the price, a factor of the present one."""
    several = [SideBySide(account.config, part, account.unit) for part in account.parts]
    count = account.parts[0].book.market.oracle.size

    def curve(amounts: Sequence[Callable[[F8], F8]]) -> Curve:
        def lowest(factors: F8) -> F8:
            moves = np.repeat(factors[:, None] - 1.0, count, axis=1)
            found: F8 = np.min([amount(moves) for amount in amounts], axis=0)
            return found

        return lowest

    return curve([each.equity for each in several]), curve([each.excess for each in several])


def _nearest(found: Sequence[Window]) -> Moves:
    """The moves of windows of the price; none is needed where the present price is in one."""
    moves = tuple((low - 1.0, high - 1.0) for low, high in found)
    if any(low <= 0 <= high for low, high in moves):
        return Moves(0.0, 0.0, moves)
    down = max((high for _, high in moves if high < 0), default=None)
    return Moves(down, min((low for low, _ in moves if low > 0), default=None), moves)


class Stressed(NamedTuple):
    """One shock under one engine, minor units."""

    equity: float
    maintenance: float
    status: str


def stressed(account: Account, shocks: Sequence[Shock]) -> list[Stressed]:
    """Equity and solvency after each shock.

    Raises:
        ConfigError: a shock moves an underlying that the portfolio does not have, or to nil.
    """
    names = account.parts[0].book.market.contracts.underlyings
    problems = [
        f"shocks.{n}.moves.{name}: {not_one_of(name, names)}"
        for n, shock in enumerate(shocks)
        for name in shock.moves
        if name not in names
    ]
    problems += [
        f"shocks.{n}.moves.{name}: {move:g}, must be above -1 and at most {LARGEST:g}, correct it"
        for n, shock in enumerate(shocks)
        for name, move in shock.moves.items()
        if not -1 < move <= LARGEST
    ]
    if problems:
        raise ConfigError(problems)
    found = []
    for vol, alike in itertools.groupby(shocks, key=lambda shock: shock.vol):
        moves = np.array([[shock.moves.get(name, shock.all) for name in names] for shock in alike])
        for books in zip(*(moved_along(part.book, moves, vol) for part in account.parts), strict=True):
            moved_parts = [part._replace(book=book) for part, book in zip(account.parts, books, strict=True)]
            there = account._replace(parts=moved_parts)
            equity, initial, maintenance = there.total()
            found.append(Stressed(equity, maintenance, _status(there, equity, initial)))
    return found


def status(account: Account) -> str:
    """Bankrupt, liquidatable, below initial, or healthy: of its weakest margin account."""
    return _status(account, *account.total()[:2])


def _status(account: Account, whole: float, initial: float) -> str:
    """The same, equity and initial margin over all margin accounts being known."""
    equity, excess = account.weakest()
    if equity < 0:
        return "bankrupt"
    if excess < 0:
        return "liquidatable"
    return "below initial" if whole < initial else "healthy"
