"""Exogenous path of a run, computed before its first step.

The log price x never depends on the market (IDX-1).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigError, DataError, describe_unknown
from sim.numerics.jit import kernel
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars, select_common_bars
from sim.prices.correlation import correlate_normals, factor_correlation
from sim.prices.crisis import Crisis
from sim.prices.process import ProcessInputs, invert_normal
from sim.prices.replay import Replay
from sim.prices.stress import Stress
from sim.prices.underlying import Underlying
from sim.types import F8

Times = NDArray[np.datetime64]


class ExogenousPath(NamedTuple):
    """Exogenous variables at rows 0 (the start) to ``steps``, with U underlyings and C assets."""

    seconds: F8  # (steps+1,) time on the clock of the run; a gap counts as one step
    log_price: F8  # (steps+1, U) log price, quote currency, before impact
    depth_share: F8  # (steps+1,) share of their normal depth that makers show
    asset_price: F8  # (steps+1, C) multiplier of each asset's price, 1 = at its peg
    exchange_time: Times  # (steps+1,) datetime64[s] of the first replay; (0,) without one


class ExogenousInputs(NamedTuple):
    """Configuration of the exogenous path."""

    underlyings: Sequence[Underlying]
    correlation: Sequence[Sequence[float]] | None = None  # (U, U); none = independent
    stresses: Sequence[Stress] = ()
    assets: Sequence[str] = ()  # the first is the numeraire
    crisis: Crisis | None = None  # none = the correlation never changes


def draw_exogenous_path(
    exogenous: ExogenousInputs,
    *,
    streams: RandomStreams,
    dt: float,
    steps: int | None = None,
    bars: Mapping[str, Bars] | None = None,
) -> ExogenousPath:
    """Draw the whole exogenous path.

    Draws are addressed by underlying, and the correlation is applied in the order of the list. An
    underlying added at the end of the list therefore changes nothing of the others, unless there is
    a crisis, which all of them begin together. A longer run begins with the shorter one.

    Args:
        exogenous: underlyings, their correlation, stresses and assets.
        streams: the run's addressed streams.
        dt: seconds per step.
        steps: length; none = that of the replays, which is also the upper limit.
        bars: bars of each replay, by name of underlying; only days that all of them have are used.

    Raises:
        ConfigError: unknown names, a matrix that is no correlation matrix, or no length.
        DataError: replays without bars or without a common day.
    """
    names = [underlying.name for underlying in exogenous.underlyings]
    _check_inputs(exogenous, names)
    replays = _align_replays(exogenous, bars or {})
    steps, rows = _count_steps_and_rows(exogenous, replays, dt, steps)
    seconds = np.arange(steps + 1, dtype=np.float64) * dt
    inputs = [ProcessInputs(dt, streams, name, replays.get(name)) for name in names]
    uniforms = [each.draw_uniform("normal", rows, 1)[:, 0] for each in inputs]
    normals = _correlate(exogenous, [invert_normal(each) for each in uniforms], dt)
    depth_shares = (stress.depth_share(seconds) for stress in exogenous.stresses)
    return ExogenousPath(
        seconds=seconds,
        log_price=_compute_log_prices(exogenous, inputs, normals, seconds),
        depth_share=_multiply_factors(seconds, depth_shares),
        asset_price=_asset_price_factors(exogenous, seconds),
        exchange_time=_exchange_times(exogenous, replays, dt)[: steps + 1],
    )


def _correlate(exogenous: ExogenousInputs, normals: list[F8], dt: float) -> list[F8]:
    """Return normals with the correlation of the underlyings, (rows,) each."""
    size = len(exogenous.underlyings)
    correlation = np.eye(size) if exogenous.correlation is None else exogenous.correlation
    root, crisis = factor_correlation(correlation, size), exogenous.crisis
    if crisis is None:
        return correlate_normals(normals, root)
    roots = (root, factor_correlation(crisis.correlation, size))
    return crisis.correlate(normals, roots, np.arange(normals[0].size, dtype=np.float64) * dt)


def _compute_log_prices(
    exogenous: ExogenousInputs,
    inputs: Sequence[ProcessInputs],
    normals: Sequence[F8],
    seconds: F8,
) -> F8:
    """Return the log price of each underlying, (steps+1, U), stresses included."""
    columns = []
    for number, underlying in enumerate(exogenous.underlyings):
        with _locate_problems(number):
            returns = underlying.process.compute_log_returns(normals[number], inputs[number])
        start = _first_log_price(underlying, inputs[number])
        returns = returns[: len(seconds) - 1]
        columns.append(
            _apply_stresses(exogenous.stresses, seconds, underlying.name, start, returns)
        )
    return np.stack(columns, axis=1)


def count_path_steps(
    exogenous: ExogenousInputs,
    *,
    dt: float,
    steps: int | None = None,
    bars: Mapping[str, Bars] | None = None,
) -> int:
    """Return the number of steps of the path that :func:`draw_exogenous_path` would draw.

    Raises:
        ConfigError, DataError: as in that function.
    """
    return _count_steps_and_rows(exogenous, _align_replays(exogenous, bars or {}), dt, steps)[0]


def compute_exchange_times(
    exogenous: ExogenousInputs,
    *,
    dt: float,
    steps: int | None = None,
    bars: Mapping[str, Bars] | None = None,
) -> Times:
    """Return exchange times of the steps that :func:`draw_exogenous_path` would draw, or (0,).

    They are empty without a replay.

    Raises:
        ConfigError, DataError: as in that function.
    """
    replays = _align_replays(exogenous, bars or {})
    return _exchange_times(exogenous, replays, dt)[
        : _count_steps_and_rows(exogenous, replays, dt, steps)[0] + 1
    ]


def find_year_lengths(underlyings: Sequence[Underlying], bars: Mapping[str, Bars]) -> F8:
    """Return the seconds of the run's clock in a year of each underlying, (U,).

    Replays share their rows, the times that all of them have. The shortest of their years is
    therefore the year of each.

    Raises:
        DataError: see :func:`draw_exogenous_path`.
    """
    common_bars = _align_replays(ExogenousInputs(underlyings), bars)
    years = np.array(
        [each.process.seconds_per_year(common_bars.get(each.name)) for each in underlyings]
    )
    is_replay = np.array([each.name in common_bars for each in underlyings])
    return np.where(is_replay, years[is_replay].min(initial=np.inf), years)


@kernel
def accumulate_levels(start: float, returns: F8) -> F8:
    """Return levels (steps+1,) from differences, by compensated summation.

    Differences of neighbouring log prices are exact in floating point (Sterbenz). The levels of a
    replay are therefore right to about the last bit, however long it is. Plain summation would lose
    this.
    """
    levels = np.empty(len(returns) + 1)
    levels[0] = start
    error = 0.0
    for step in range(len(returns)):
        change = returns[step] - error
        levels[step + 1] = levels[step] + change
        error = (levels[step + 1] - levels[step]) - change
    return levels


@contextmanager
def _locate_problems(number: int) -> Iterator[None]:
    """Add the underlying's number to the problems of its process."""
    try:
        yield
    except ConfigError as error:
        lines = [
            f"underlyings.{number}.{line}" if line.startswith("process.") else line
            for line in error.problems
        ]
        raise ConfigError(lines) from error


def _check_inputs(exogenous: ExogenousInputs, names: list[str]) -> None:
    problems = []
    if not names:
        problems.append("underlyings: 0 given, at least one is needed: add one")
    problems += [
        f"underlyings: '{name}' is named twice, names must differ: rename one"
        for name in _repeated_names(names)
    ]
    for number, stress in enumerate(exogenous.stresses):
        underlyings, assets = stress.referenced_names()
        where = f"stresses.{number}"
        problems += [
            _describe_unknown_name(f"{where}.underlyings", name, names)
            for name in underlyings
            if name not in names
        ]
        problems += [
            _describe_missing_asset(f"{where}.asset", name, exogenous.assets)
            for name in assets
            if name not in exogenous.assets
        ]
        if exogenous.assets and exogenous.assets[0] in assets:
            problem = f"{where}.asset: '{exogenous.assets[0]}' is the numeraire, whose price is 1"
            remedy = (
                f"use {' or '.join(exogenous.assets[1:])}"
                if exogenous.assets[1:]
                else "declare another under assets"
            )
            problems.append(f"{problem}: {remedy}")
    if problems:
        raise ConfigError(problems)


def _repeated_names(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _describe_unknown_name(where: str, name: str, known: Sequence[str]) -> str:
    return f"{where}: {describe_unknown(name, known)}"


def _describe_missing_asset(where: str, name: str, declared: Sequence[str]) -> str:
    """Return the message about an undeclared asset, without the numeraire among the remedies."""
    if declared[1:]:
        return _describe_unknown_name(where, name, declared[1:])
    return f"{where}: '{name}' is no asset of this market: declare it under assets"


def _align_replays(exogenous: ExogenousInputs, bars: Mapping[str, Bars]) -> dict[str, Bars]:
    """Return the bars of the replays on their common days, by underlying."""
    wanted = [underlying.name for underlying in exogenous.underlyings if underlying.is_replayed]
    for name in wanted:
        if name not in bars:
            raise DataError(
                f"{name}: no bars were passed, a replay needs them: read them with read_bars"
            )
    return select_common_bars({name: bars[name] for name in wanted})


def _count_steps_and_rows(
    exogenous: ExogenousInputs, replays: dict[str, Bars], dt: float, steps: int | None
) -> tuple[int, int]:
    """Return the steps of the path, and the rows to draw.

    Rows are whole days where days are filled as a whole.
    """
    steps_per_bar = {}
    for number, underlying in enumerate(exogenous.underlyings):
        if isinstance(underlying.process, Replay):
            with _locate_problems(number):
                steps_per_bar[underlying.name] = underlying.process.steps_per_bar(
                    replays[underlying.name], dt
                )
    if not steps_per_bar:
        if steps is None or steps < 1:
            raise ConfigError(
                [f"steps: {steps}, at least 1 is needed where nothing is replayed: give a duration"]
            )
        return steps, steps
    if len(set(steps_per_bar.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in steps_per_bar.items())
        raise ConfigError(
            [
                f"underlyings: steps a day differ ({listed}), must be equal: "
                "set the same process.day for all replays"
            ]
        )
    rows = len(next(iter(replays.values())).day) * next(iter(steps_per_bar.values())) - 1
    if steps is not None and steps < 1:
        raise ConfigError([f"steps: {steps}, must be at least 1: lengthen the run"])
    return (rows if steps is None else min(steps, rows)), rows


def _first_log_price(underlying: Underlying, inputs: ProcessInputs) -> float:
    """Return the first log price."""
    first = underlying.start
    if inputs.bars is not None:
        assert isinstance(underlying.process, Replay)
        first = underlying.process.first_price(inputs.bars, inputs.dt)
    return float(np.log(np.float64(first)))


def _apply_stresses(
    stresses: Sequence[Stress], seconds: F8, name: str, start: float, returns: F8
) -> F8:
    """Return the log price (steps+1,): returns scaled by stresses, summed, and shifted."""
    for stress in stresses:
        returns = returns * stress.return_multiplier(seconds[:-1], name)
    levels = accumulate_levels(start, returns)
    for stress in stresses:
        levels = levels + stress.log_price_shift(seconds, name)
    return levels


def _exchange_times(exogenous: ExogenousInputs, replays: dict[str, Bars], dt: float) -> Times:
    for underlying in exogenous.underlyings:
        if isinstance(underlying.process, Replay):
            return underlying.process.exchange_times(replays[underlying.name], dt)
    return np.empty(0, dtype="datetime64[s]")


def _asset_price_factors(exogenous: ExogenousInputs, seconds: F8) -> F8:
    columns = [
        _multiply_factors(seconds, (s.price_factor(seconds, asset) for s in exogenous.stresses))
        for asset in exogenous.assets
    ]
    return np.stack(columns, axis=1) if columns else np.empty((len(seconds), 0))


def _multiply_factors(seconds: F8, factors: Iterable[F8]) -> F8:
    total = np.ones_like(seconds)
    for factor in factors:
        total = total * factor
    return total
