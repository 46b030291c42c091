"""Reads the bars that a replay runs on: packaged series, CSV, Parquet."""

import datetime
from collections.abc import Iterable, Iterator

import numpy as np

from experiments.columns import ADJUSTED, CLOSE, HIGH, LOW, OPEN
from experiments.splits import adjusted_note, split_notes
from experiments.tables import Table, adjustment, read_table
from experiments.times import gap_notes, is_intraday, spacing
from sim.errors import DataError
from sim.prices.bars import DAY, Bars, has_saturdays, validated
from sim.prices.replay import Replay
from sim.prices.underlying import Underlying
from sim.types import F8

VIX = "arch:vix"
"""Implied volatility of the S&P 500, 2014 to 2018: a run that needs it on other days is refused, not shortened."""

DUST = 1e-6
"""Share of a price by which a high or low may miss open or close through rounding."""

COLUMNS = (OPEN, HIGH, LOW, CLOSE)


def read_bars(source: str, start: datetime.date | None = None, end: datetime.date | None = None) -> Bars:
    """Bars from ``start`` to ``end``, both included: of days, or of hours or minutes where the file has such.

    A file has a column of times, close and, all or none, open, high, low, in any order and case (see
    ``experiments.tables``); others are ignored. Where it has an adjusted close, all four prices are multiplied by
    adjusted over plain close, so that a split is no fall. Days that a packaged series lists without any price
    (holidays) are dropped; in a file they are an error.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv`` or ``.parquet`` file.
        start: first day; none = the first of the data.
        end: last day; none = the last of the data.

    Raises:
        DataError: no such source, a column is missing, no day is left, or a value breaks a rule of ``validated``.
    """
    return _bars(read_table(source, need_times=True), start, end)


def _bars(table: Table, start: datetime.date | None, end: datetime.date | None) -> Bars:
    source, times, prices = table.source, table.times, _prices(table)
    keep, day = np.ones(len(times), dtype=np.bool_), times.astype("datetime64[D]")
    keep &= True if start is None else ~(day < np.datetime64(start))
    keep &= True if end is None else ~(day > np.datetime64(end))
    if len(times) and not keep.any():
        span = f"{start or 'the first day'} to {end or 'the last'}"
        raise DataError(f"{source}: no day from {span}; it has {day[0]} to {day[-1]}: change start or end")
    length = spacing(times) if is_intraday(times) else DAY
    rows = table.frame.index.to_numpy()[keep]
    return validated(source, times[keep], prices[keep], length, rows)


def read_replays(underlyings: Iterable[Underlying]) -> dict[str, Bars]:
    """The bars of every replay among the underlyings, by name of underlying.

    Raises:
        DataError: see ``read_bars``; or the VIX is replayed beside days it does not have.
    """
    replays = {each.name: each.process for each in underlyings if isinstance(each.process, Replay)}
    bars = {name: read_bars(each.source, each.start, each.end) for name, each in replays.items()}
    for index in (name for name, each in replays.items() if each.source == VIX):
        for name, each in bars.items():
            if each.day[0] < bars[index].day[0] or each.day[-1] > bars[index].day[-1]:
                told = f"{index}: {VIX} has {bars[index].day[0]} to {bars[index].day[-1]} only, {name} runs"
                raise DataError(f"{told} {each.day[0]} to {each.day[-1]}: set its start and end within those days")
    return bars


def replay_notes(underlyings: Iterable[Underlying]) -> list[str]:
    """What a user should know of the data that will be replayed, a line each: gaps, splits, adjustments, weekends.

    Raises:
        DataError: see ``read_bars``.
    """
    replays = [(place, each.process) for place, each in enumerate(underlyings) if isinstance(each.process, Replay)]
    return list(dict.fromkeys(line for place, each in replays for line in _notes(each, f"underlyings.{place}.process")))


def _notes(replay: Replay, path: str) -> Iterator[str]:
    table = read_table(replay.source, need_times=True)
    bars = _bars(table, replay.start, replay.end)
    yield from table.notes
    if note := adjusted_note(table):
        yield note
    first, last = bars.day[0], bars.day[-1]
    yield from (line for when, line in split_notes(table) if first <= when <= last)
    yield from gap_notes(replay.source, bars.day)
    if not replay.source.startswith("arch:"):
        yield from _unseen(replay, bars, path)
    if bars.weekends and bars.length == DAY and replay.day < 86_400:
        told = f"{replay.source}: has bars on Saturdays, and {path}.day is {replay.day:g} s"
        yield f"{told}: set {path}.day=86400 {path}.opens=0 for a market that never closes"


def _unseen(replay: Replay, bars: Bars, path: str) -> Iterator[str]:
    """A line on a file too short to show when its market is open, which a year of its volatility depends on."""
    days = np.unique(bars.day.astype("datetime64[D]"))
    year = replay.clock(bars)
    open_time = year / (365.0 if bars.weekends else replay.days_per_year)
    if days.size == 1 and bars.intraday and open_time < 0.9 * DAY:
        told = f"{replay.source}: bars of one date, {open_time:g} s of it; a day of trading is taken to be as long"
        never = round(365 * DAY / open_time)
        if bars.weekends:  # a year is then of 365 such days, whatever is set
            yield f"{told}, and a year 365 of them, for volatility a year: add bars for the rest of the day"
        elif replay.days_per_year != never:
            told = f"{told}, and a year {replay.days_per_year:g} of them, for volatility a year"
            yield f"{told}: set {path}.days_per_year={never} for a market that never closes"
    elif bars.weekends or replay.days_per_year != 252 or open_time < 0.9 * DAY:
        return
    elif not has_saturdays(np.arange(days[0], days[-1] + 1)):
        told = f"{replay.source}: {days[0]} to {days[-1]} has no Saturday, so that its market may close on weekends"
        yield f"{told}; 252 days are taken for a year: set {path}.days_per_year=365 for a market that never closes"


def _prices(table: Table) -> F8:
    """(T, 4), adjusted, the first three NaN where the file has none of them."""
    some = {OPEN, HIGH, LOW} & set(table.quotes)
    if some and len(some) < 3:
        lacking = ", ".join(sorted({OPEN, HIGH, LOW} - some))
        them = "it" if len(some) == 2 else "them"
        raise DataError(
            f"{table.source}: no column {lacking}; open, high and low go together: add {them} or drop the others"
        )
    if CLOSE not in table.quotes:
        told = ", ".join(map(str, table.frame.columns))
        raise DataError(f"{table.source}: no column '{CLOSE}' among {told}; one is needed: rename the column of prices")
    prices = np.full((len(table.frame), 4), np.nan)
    for number, name in enumerate(COLUMNS):
        if some or name == CLOSE:
            prices[:, number] = table.numbers(table.quotes[name], name)
    prices = prices * adjustment(table)[:, None] if ADJUSTED in table.quotes else prices
    return _without_dust(prices) if some else prices


def _without_dust(prices: F8) -> F8:
    """Highs and lows that miss open or close by rounding (a millionth, as Yahoo's adjusted ones do) moved to them."""
    highest, lowest = (edge(prices[:, [0, 3]], axis=1) for edge in (np.max, np.min))
    high, low = prices[:, 1], prices[:, 2]
    near_high = (high < highest) & (high > highest * (1 - DUST))
    near_low = (low > lowest) & (low < lowest * (1 + DUST))
    prices[:, 1], prices[:, 2] = np.where(near_high, highest, high), np.where(near_low, lowest, low)
    return prices
