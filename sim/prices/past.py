"""Returns before the start of a run, from which engines and agents learn (IDX-5)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.errors import ConfigError, DataError
from sim.numerics.rng import RandomStreams
from sim.prices.bars import DAY_SECONDS, Bars, select_common_bars
from sim.prices.correlation import correlate_normals, factor_correlation
from sim.prices.process import ProcessInputs, invert_normal
from sim.prices.replay import Replay
from sim.types import F8

if TYPE_CHECKING:  # engines import this module, and plug-ins register processes after them
    from sim.prices.underlying import Underlying

MAX_ROWS = 10**7
"""Largest number of returns of one underlying in a past."""

WHOLE = 1e-9
"""Relative tolerance within which a duration is a whole number of steps."""


class History(Component):
    """Past of all underlyings before the first step, the same for every engine (IDX-5).

    The far past has returns over ``interval``, and its end, ``recent``, has one return a step. An
    estimator learns from the returns that it can add up to its own interval. A minute model
    therefore learns from the recent past alone, and a daily one from both.

    Returns are drawn from the process of each underlying, by streams of their own, and end at its
    ``start``. A replay has the bars of its source before its first day instead. A name in
    ``sources`` has the bars of a file.
    """

    days: float = Field(
        gt=0, le=100_000, description="length (days of open market of the first underlying)"
    )
    interval: float | None = Field(
        default=None,
        gt=0,
        description="spacing of the returns of the far past (s); none = a day of open market",
    )
    recent: float = Field(
        default=259_200,
        ge=0,
        description="end of the past that has a return a step, rounded up to intervals (s)",
    )
    sources: dict[str, str] = Field(
        default={},
        description="bars of a file in place of draws (underlying: arch:NAME, .csv or .parquet)",
    )


class PastSegment(NamedTuple):
    """Part of a past with returns of one spacing; U underlyings."""

    returns: F8  # (n, U) log returns, oldest first
    steps: int  # steps that a return covers
    before: int  # steps from the end of the last return to the start of the run


class PastReturns(NamedTuple):
    """Returns before the start, oldest first; the near ones follow the far ones without a gap."""

    far: F8  # (F, U) log returns over ``far_steps`` steps
    near: F8  # (N, U) log returns per step
    far_steps: int

    @property
    def steps(self) -> int:
        """Length in steps."""
        return len(self.far) * self.far_steps + len(self.near)

    def iterate_segments(self) -> Iterator[PastSegment]:
        """Yield the far and the near past, as far as they have returns."""
        if len(self.far):
            yield PastSegment(self.far, self.far_steps, len(self.near))
        if len(self.near):
            yield PastSegment(self.near, 1, 0)


class PastLengths(NamedTuple):
    """Lengths of a past."""

    near: int  # returns of a step
    far: int  # returns of the far past
    far_steps: int  # steps that each of these covers
    dt: float  # seconds of a step

    @property
    def steps(self) -> int:
        """Length in steps."""
        return self.near + self.far * self.far_steps

    def count_seconds(self, spacing: float) -> float:
        """Return the part from which an estimator learns that samples at a spacing (s)."""
        interval = self.far_steps * self.dt
        turns = 1.0 if math.isinf(spacing) else spacing / interval
        far = self.far * interval if turns > 1 - WHOLE and _is_whole(turns) else 0.0
        return far + self.near * self.dt


def past_key(name: str) -> str:
    """Return the key under which bars of an underlying's past are passed."""
    return f"{name}/past"


class PastInputs(NamedTuple):
    """Configuration of a past, and the bars from which it is read."""

    history: History
    underlyings: "Sequence[Underlying]"
    dt: float  # seconds per step
    bars: Mapping[str, Bars]  # of replays by name, and of pasts by ``past_key``
    correlation: Sequence[Sequence[float]] | None = None  # (U, U); none = independent


def measure_past(inputs: PastInputs) -> PastLengths:
    """Return the lengths of a past; bars that begin later shorten it.

    Raises:
        ConfigError: the interval is no whole number of steps or of bars, or a name is unknown.
        DataError: bars are missing.
    """
    lengths = _plan_lengths(inputs)
    for name, (process, past) in _find_pasts(inputs).items():
        lengths = _fit_to_bars(lengths, name, process, past)
    return lengths


def describe_short_past(inputs: PastInputs) -> str:
    """Return a line if bars begin too late for the length of a past, else an empty text.

    Raises:
        ConfigError, DataError: see :func:`measure_past`.
    """
    wanted, found = _plan_lengths(inputs), measure_past(inputs)
    if found.steps >= wanted.steps:
        return ""
    day = inputs.history.days / wanted.steps
    return (
        f"history.days: {inputs.history.days:g}, but the bars before the run have "
        f"{found.steps * day:.4g} days of past, which all underlyings then have: begin the replay "
        "later, or give a source that begins earlier"
    )


def _plan_lengths(inputs: PastInputs) -> PastLengths:
    """Return the lengths that a history sets, whatever the bars have."""
    history, dt = inputs.history, inputs.dt
    _check_sources(history, inputs.underlyings)
    day = _length_of_day(inputs.underlyings[0], inputs.bars)
    interval = day if history.interval is None else history.interval
    far_steps = _count_whole("history.interval", interval, dt)
    total = round(history.days * day / dt)
    near = min(far_steps * math.ceil(history.recent / interval - WHOLE), total)
    lengths = PastLengths(near, (total - near) // far_steps, far_steps, dt)
    if lengths.near + lengths.far > MAX_ROWS:
        raise ConfigError(
            [
                f"history: {lengths.near + lengths.far:,} returns of each underlying, at most "
                f"{MAX_ROWS:,} are kept: shorten days or recent, or raise interval"
            ]
        )
    return lengths


def draw_past(inputs: PastInputs, streams: RandomStreams) -> PastReturns:
    """Draw the past of all underlyings.

    Draws are addressed backwards from the start, so that a longer past ends with the shorter one,
    up to the memory of a process.

    Raises:
        ConfigError, DataError: see :func:`measure_past`; or a process cannot have the interval.
    """
    lengths, pasts = measure_past(inputs), _find_pasts(inputs)
    far = _draw_segment(inputs, streams, pasts, lengths, is_far=True)
    near = _draw_segment(inputs, streams, pasts, lengths, is_far=False)
    return PastReturns(far, near, lengths.far_steps)


def _draw_segment(
    inputs: PastInputs,
    streams: RandomStreams,
    pasts: Mapping[str, tuple[Replay, Bars]],
    lengths: PastLengths,
    *,
    is_far: bool,
) -> F8:
    """Return the returns of one segment, (n, U)."""
    rows, steps = (lengths.far, lengths.far_steps) if is_far else (lengths.near, 1)
    if not rows:
        return np.empty((0, len(inputs.underlyings)))
    stream = "past/far" if is_far else "past/near"
    sources = [
        ProcessInputs(inputs.dt * steps, streams, each.name, None, stream, True)
        for each in inputs.underlyings
    ]
    # bars are filled as a whole, so that a few more rows may be needed
    per_bar = (process.steps_per_bar(past, inputs.dt) for process, past in pasts.values())
    normals = _draw_normals(inputs, sources, rows + 2 * max(per_bar, default=0))
    columns = []
    for own, underlying, z in zip(sources, inputs.underlyings, normals, strict=True):
        if underlying.name not in pasts:
            columns.append(_draw_returns(underlying, z[len(z) - rows :], own))
            continue
        window = inputs.bars.get(underlying.name) if underlying.is_replayed else None
        reader = _BarPast(*pasts[underlying.name], window, own._replace(dt=inputs.dt))
        columns.append(reader.list_far(lengths) if is_far else reader.list_near(rows, z))
    return np.stack(columns, axis=1)


def _draw_normals(inputs: PastInputs, sources: Sequence[ProcessInputs], rows: int) -> list[F8]:
    """Return correlated standard normals of each underlying, (rows,)."""
    size = len(sources)
    matrix = np.eye(size) if inputs.correlation is None else inputs.correlation
    own = [invert_normal(each.draw_uniform("normal", rows, 1)[:, 0]) for each in sources]
    return correlate_normals(own, factor_correlation(matrix, size))


class _BarPast(NamedTuple):
    """Past of one underlying, read from bars.

    Where opens are known and shown, a bar begins at its open, and the past ends at the first price
    of the run's window. With closes only, a bar begins at the close before it.
    """

    process: Replay
    bars: Bars
    window: Bars | None
    inputs: ProcessInputs

    def _list_levels(self) -> tuple[F8, bool]:
        """Return the log price at the beginning of each bar and at the end, and whether at opens.

        At opens, one more step leads from the last close to the end.
        """
        bars, steps = self.bars, self.process.steps_per_bar(self.bars, self.inputs.dt)
        shows_opens = bars.has_ranges and steps > 1
        if not shows_opens and (self.window is None or steps > 1):
            return np.log(bars.close), False
        first = bars.open if shows_opens else bars.close
        end = bars.close[-1]
        if self.window is not None:
            end = self.process.first_price(self.window, self.inputs.dt)
        return np.log(np.append(first, end)), True

    def list_far(self, lengths: PastLengths) -> F8:
        """Return the returns of the far past, (F,)."""
        steps = self.process.steps_per_bar(self.bars, self.inputs.dt)
        levels, _ = self._list_levels()
        last = len(levels) - 1 - lengths.near // steps
        stride = lengths.far_steps // steps
        return np.diff(levels[last - lengths.far * stride : last + 1 : stride])

    def list_near(self, rows: int, z: F8) -> F8:
        """Return the returns of the last steps, (rows,), from at least as many normals."""
        steps = self.process.steps_per_bar(self.bars, self.inputs.dt)
        count = min(math.ceil(rows / steps) + 1, len(self.bars.day))
        recent = self.bars.take(self.bars.day[-count:])
        needed = count * steps - 1
        inputs = self.inputs._replace(bars=recent)
        returns = self.process.compute_log_returns(z[len(z) - needed :], inputs)
        levels, at_opens = self._list_levels()
        if at_opens:
            returns = np.append(returns, levels[-1] - math.log(recent.close[-1]))
        return returns[len(returns) - rows :]


def _draw_returns(underlying: "Underlying", z: F8, inputs: ProcessInputs) -> F8:
    """Return returns of a process, (rows,).

    Raises:
        ConfigError: the process cannot have returns of this length.
    """
    try:
        return underlying.process.compute_log_returns(z, inputs)
    except ConfigError as error:
        lines = [f"history.interval: {underlying.name!r}: {line}" for line in error.problems]
        raise ConfigError(lines) from error


def _check_sources(history: History, underlyings: "Sequence[Underlying]") -> None:
    problems = []
    replayed = {each.name: each.is_replayed for each in underlyings}
    for name in history.sources:
        if name not in replayed:
            problems.append(
                f"history.sources: {name!r} is not an underlying, use one of {', '.join(replayed)}"
            )
        elif replayed[name]:
            problems.append(
                f"history.sources: {name!r} is replayed, its past is what its own source has "
                "before its first day: remove it"
            )
    if problems:
        raise ConfigError(problems)


def _find_pasts(inputs: PastInputs) -> dict[str, tuple[Replay, Bars]]:
    """Return the underlyings with bars of their past, on common days, and how they are read.

    Raises:
        DataError: bars are missing.
    """
    history, bars = inputs.history, inputs.bars
    readers: dict[str, Replay] = {}
    for each in inputs.underlyings:
        if isinstance(each.process, Replay):
            readers[each.name] = each.process
        elif each.name in history.sources:
            readers[each.name] = Replay(
                source=history.sources[each.name],
                day=min(each.process.day, DAY_SECONDS),
                days_per_year=each.process.days_per_year,
                opens=0.0,
            )
    missing = [name for name in readers if past_key(name) not in bars]
    if missing:
        raise DataError(
            f"{missing[0]}: no bars of the past before its first day, history needs them: begin "
            "the replay later (process.start), or remove history"
        )
    common = select_common_bars({name: bars[past_key(name)] for name in readers})
    return {name: (reader, common[name]) for name, reader in readers.items()}


def _fit_to_bars(lengths: PastLengths, name: str, process: Replay, bars: Bars) -> PastLengths:
    """Return lengths for which a past has bars; its first bar has no bar before it."""
    steps, known = process.steps_per_bar(bars, lengths.dt), len(bars.day) - 1
    if lengths.far and lengths.far_steps % steps:
        raise ConfigError(
            [
                f"history.interval: {lengths.far_steps * lengths.dt:g} s, must be a whole number "
                f"of the bars of {name!r}, which have {steps * lengths.dt:g} s of open market: "
                f"set it to {steps * lengths.dt:g} or a multiple"
            ]
        )
    if lengths.near >= known * steps:
        return lengths._replace(near=min(lengths.near, known * steps), far=0)
    rest = (known - lengths.near // steps) * steps // lengths.far_steps
    return lengths._replace(far=min(lengths.far, rest))


def _length_of_day(underlying: "Underlying", bars: Mapping[str, Bars]) -> float:
    """Return the seconds of a day on the run's clock."""
    own = bars.get(underlying.name)
    if underlying.is_replayed and own is not None and own.is_intraday:
        return own.open_time
    return underlying.process.day


def _count_whole(path: str, seconds: float, dt: float) -> int:
    """Return a duration in steps.

    Raises:
        ConfigError: it is no whole number of steps.
    """
    steps = round(seconds / dt)
    if steps < 1 or not _is_whole(seconds / dt):
        raise ConfigError(
            [
                f"{path}: {seconds:.15g} s is no whole number of steps of {dt:.15g} s: set it to "
                f"{max(1, steps) * dt:.15g}"
            ]
        )
    return steps


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) <= WHOLE * max(1.0, number)
