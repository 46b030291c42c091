"""Everything exogenous of a run, computed before its first step: x never depends on the market (IDX-1)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigError, DataError, not_one_of
from sim.jit import kernel
from sim.prices.bars import Bars, common
from sim.prices.correlation import correlated, semidefinite_root
from sim.prices.process import Tape, normal
from sim.prices.replay import Replay
from sim.prices.stress import Stress
from sim.prices.underlying import Underlying
from sim.rng import Streams
from sim.types import F8

Stamps = NDArray[np.datetime64]


class Path(NamedTuple):
    """The outside world at rows 0 (the start) to ``steps``. U underlyings, C assets."""

    seconds: F8  # (steps+1,) time of the simulation's clock since the start, a gap counting as one step
    x: F8  # (steps+1, U) log price, quote currency, before impact
    liquidity: F8  # (steps+1,) share of their normal depth that makers show
    asset_price: F8  # (steps+1, C) multiplier of each asset's price, 1 = at its peg
    stamp: Stamps  # (steps+1,) datetime64[s] exchange time of the first replay; (0,) without one


class Outside(NamedTuple):
    """What configuration says of the outside world."""

    underlyings: Sequence[Underlying]
    correlation: Sequence[Sequence[float]] | None = None  # (U, U); none = independent
    stresses: Sequence[Stress] = ()
    assets: Sequence[str] = ()  # the first is the numeraire


def exogenous(
    outside: Outside, *, streams: Streams, dt: float, steps: int | None = None, bars: Mapping[str, Bars] | None = None
) -> Path:
    """The whole exogenous path.

    Draws are named by underlying and the correlation is applied in the order of the list, so that an underlying added
    at its end changes nothing of the others, and a longer run begins with the shorter one.

    Args:
        outside: underlyings, their correlation, stresses and assets.
        streams: the run's addressed streams.
        dt: seconds per step.
        steps: length; none = that of the replays, which are also its upper limit.
        bars: by name of underlying, one for each replay; only days that all of them have are used.

    Raises:
        ConfigError: names that are unknown, a matrix that is no correlation, or no length.
        DataError: replays without bars or without a common day.
    """
    names = [underlying.name for underlying in outside.underlyings]
    _check(outside, names)
    root = semidefinite_root(np.eye(len(names)) if outside.correlation is None else outside.correlation, len(names))
    replays = _replays(outside, bars or {})
    steps, rows = _lengths(outside, replays, dt, steps)
    seconds = np.arange(steps + 1, dtype=np.float64) * dt
    tapes = [Tape(dt, streams, name, replays.get(name)) for name in names]
    z = correlated([normal(tape.uniform("normal", rows, 1)[:, 0]) for tape in tapes], root)
    columns = []
    for number, (underlying, tape) in enumerate(zip(outside.underlyings, tapes, strict=True)):
        with _placed(number):
            returns = underlying.process.increments(z[number], tape)[:steps]
        columns.append(_stressed(outside.stresses, seconds, underlying.name, _start(underlying, tape), returns))
    return Path(
        seconds,
        np.stack(columns, axis=1),
        _product(seconds, (stress.liquidity(seconds) for stress in outside.stresses)),
        _asset_prices(outside, seconds),
        _stamps(outside, replays, dt)[: steps + 1],
    )


def planned(outside: Outside, *, dt: float, steps: int | None = None, bars: Mapping[str, Bars] | None = None) -> int:
    """Steps that ``exogenous`` would make of the same.

    Raises:
        ConfigError, DataError: as there.
    """
    return _lengths(outside, _replays(outside, bars or {}), dt, steps)[0]


def stamped(outside: Outside, *, dt: float, steps: int | None = None, bars: Mapping[str, Bars] | None = None) -> Stamps:
    """Exchange times of the steps that ``exogenous`` would make of the same; (0,) without a replay.

    Raises:
        ConfigError, DataError: as there.
    """
    replays = _replays(outside, bars or {})
    return _stamps(outside, replays, dt)[: _lengths(outside, replays, dt, steps)[0] + 1]


def clocks(underlyings: Sequence[Underlying], bars: Mapping[str, Bars]) -> F8:
    """Seconds of the run's clock in a year of each underlying, (U,).

    Replays share their rows, the times that all of them have, so that the least of their years is the year of each.

    Raises:
        DataError: see ``exogenous``.
    """
    common_bars = _replays(Outside(underlyings), bars)
    years = np.array([each.process.clock(common_bars.get(each.name)) for each in underlyings])
    shared = np.array([each.name in common_bars for each in underlyings])
    return np.where(shared, years[shared].min(initial=np.inf), years)


@kernel
def accumulate(start: float, returns: F8) -> F8:
    """Levels (steps+1,) from differences, by compensated summation.

    Differences of neighbouring log prices are exact in floating point (Sterbenz), so a replay's levels come back
    to the last bit or so however long it is, which plain summation would lose.
    """
    levels = np.empty(len(returns) + 1)
    levels[0] = start
    lost = 0.0
    for step in range(len(returns)):
        change = returns[step] - lost
        levels[step + 1] = levels[step] + change
        lost = (levels[step + 1] - levels[step]) - change
    return levels


@contextmanager
def _placed(number: int) -> Iterator[None]:
    """Name the underlying that a problem of its process is of."""
    try:
        yield
    except ConfigError as error:
        lines = [f"underlyings.{number}.{line}" if line.startswith("process.") else line for line in error.problems]
        raise ConfigError(lines) from error


def _check(outside: Outside, names: list[str]) -> None:
    problems = []
    if not names:
        problems.append("underlyings: 0 given, at least one is needed: add one")
    problems += [f"underlyings: '{name}' is named twice, names must differ: rename one" for name in _repeated(names)]
    for number, stress in enumerate(outside.stresses):
        underlyings, assets = stress.named()
        where = f"stresses.{number}"
        problems += [_unknown(f"{where}.underlyings", name, names) for name in underlyings if name not in names]
        problems += [_no_asset(f"{where}.asset", name, outside.assets) for name in assets if name not in outside.assets]
        if outside.assets and outside.assets[0] in assets:
            told = f"{where}.asset: '{outside.assets[0]}' is the numeraire, whose price is 1"
            others = f"use {' or '.join(outside.assets[1:])}" if outside.assets[1:] else "declare another under assets"
            problems.append(f"{told}: {others}")
    if problems:
        raise ConfigError(problems)


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _unknown(where: str, name: str, known: Sequence[str]) -> str:
    return f"{where}: {not_one_of(name, known)}"


def _no_asset(where: str, name: str, declared: Sequence[str]) -> str:
    """The line about an asset that is not declared; the numeraire, whose price is 1, is no remedy."""
    if declared[1:]:
        return _unknown(where, name, declared[1:])
    return f"{where}: '{name}' is no asset of this market: declare it under assets"


def _replays(outside: Outside, bars: Mapping[str, Bars]) -> dict[str, Bars]:
    """The bars of the replays, by underlying, on their common days."""
    wanted = [underlying.name for underlying in outside.underlyings if underlying.replayed]
    for name in wanted:
        if name not in bars:
            raise DataError(f"{name}: no bars were handed over, a replay needs them: read them with read_bars")
    return common({name: bars[name] for name in wanted})


def _lengths(outside: Outside, replays: dict[str, Bars], dt: float, steps: int | None) -> tuple[int, int]:
    """Steps of the path, and rows to draw: whole days where days are filled as a whole."""
    daily = {}
    for number, underlying in enumerate(outside.underlyings):
        if isinstance(underlying.process, Replay):
            with _placed(number):
                daily[underlying.name] = underlying.process.steps_per_bar(replays[underlying.name], dt)
    if not daily:
        if steps is None or steps < 1:
            raise ConfigError([f"steps: {steps}, at least 1 is needed where nothing is replayed: give a duration"])
        return steps, steps
    if len(set(daily.values())) > 1:
        told = ", ".join(f"{name} {number}" for name, number in daily.items())
        raise ConfigError(
            [f"underlyings: steps a day differ ({told}), must be equal: set the same process.day for all replays"]
        )
    rows = len(next(iter(replays.values())).day) * next(iter(daily.values())) - 1
    if steps is not None and steps < 1:
        raise ConfigError([f"steps: {steps}, must be at least 1: lengthen the run"])
    return (rows if steps is None else min(steps, rows)), rows


def _start(underlying: Underlying, tape: Tape) -> float:
    """The first log price."""
    first = underlying.start
    if tape.bars is not None:
        assert isinstance(underlying.process, Replay)
        first = underlying.process.first(tape.bars, tape.dt)
    return float(np.log(np.float64(first)))


def _stressed(stresses: Sequence[Stress], seconds: F8, name: str, start: float, returns: F8) -> F8:
    """Log price (steps+1,): log returns in their regimes, summed, and moved."""
    for stress in stresses:
        returns = returns * stress.factor(seconds[:-1], name)
    levels = accumulate(start, returns)
    for stress in stresses:
        levels = levels + stress.shift(seconds, name)
    return levels


def _stamps(outside: Outside, replays: dict[str, Bars], dt: float) -> Stamps:
    for underlying in outside.underlyings:
        if isinstance(underlying.process, Replay):
            return underlying.process.stamps(replays[underlying.name], dt)
    return np.empty(0, dtype="datetime64[s]")


def _asset_prices(outside: Outside, seconds: F8) -> F8:
    columns = [_product(seconds, (s.worth(seconds, asset) for s in outside.stresses)) for asset in outside.assets]
    return np.stack(columns, axis=1) if columns else np.empty((len(seconds), 0))


def _product(seconds: F8, factors: Iterable[F8]) -> F8:
    total = np.ones_like(seconds)
    for factor in factors:
        total = total * factor
    return total
