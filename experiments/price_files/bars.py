"""Bars of replays, read from packaged series, CSV or Parquet."""

import datetime
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from experiments.price_files.columns import ADJUSTED, CLOSE, HIGH, LOW, OPEN
from experiments.price_files.splits import describe_adjustment, describe_splits
from experiments.price_files.tables import PriceTable, compute_adjustment, read_table
from experiments.price_files.times import describe_gaps, find_usual_spacing, is_intraday
from sim.errors import DataError
from sim.prices.bars import DAY_SECONDS, Bars, has_saturdays, validate_bars
from sim.prices.past import History, past_key
from sim.prices.replay import Replay
from sim.prices.underlying import Underlying
from sim.types import F8

VIX = "arch:vix"
"""Implied volatility of the S&P 500, 2014 to 2018; runs on other days are refused, not
shortened.
"""

ROUNDING_DUST = 1e-6
"""Share of a price by which rounding may put a high or low on the wrong side of open or close."""

COLUMNS = (OPEN, HIGH, LOW, CLOSE)


def read_bars(
    source: str, start: datetime.date | None = None, end: datetime.date | None = None
) -> Bars:
    """Read bars from ``start`` to ``end``, both included: of days, or of hours or minutes.

    A file has a column of times, close and, all or none, open, high, low, in any order and case
    (see ``experiments.price_files.tables``); other columns are ignored. If it has an adjusted
    close, all four prices are multiplied by adjusted over plain close, so that a split is not a
    fall. Days that a packaged series lists without any price (holidays) are dropped; in a file they
    are an error.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv`` or ``.parquet`` file.
        start: first day; None = the first of the data.
        end: last day; None = the last of the data.

    Raises:
        DataError: no such source, a column is missing, no day is left, or a value breaks a rule of
            ``validate_bars``.
    """
    return _select_bars(read_table(source, need_times=True), start, end)


def _select_bars(table: PriceTable, start: datetime.date | None, end: datetime.date | None) -> Bars:
    source, times, prices = table.source, table.times, _read_prices(table)
    keep, day = np.ones(len(times), dtype=np.bool_), times.astype("datetime64[D]")
    keep &= True if start is None else ~(day < np.datetime64(start))
    keep &= True if end is None else ~(day > np.datetime64(end))
    if len(times) and not keep.any():
        span = f"{start or 'the first day'} to {end or 'the last'}"
        raise DataError(
            f"{source}: no day from {span}; it has {day[0]} to {day[-1]}: change start or end"
        )
    length = find_usual_spacing(times) if is_intraday(times) else DAY_SECONDS
    rows = table.frame.index.to_numpy()[keep]
    return validate_bars(source, times[keep], prices[keep], length, rows)


def read_replays(
    underlyings: Iterable[Underlying], history: History | None = None
) -> dict[str, Bars]:
    """Read the bars of every replay among the underlyings, by name of underlying.

    With a history, also those of each past, by ``sim.prices.past.past_key``: what the source of a
    replay has before its first day, and the files that the history names.

    Raises:
        DataError: see ``read_bars``; or the VIX is replayed with days that it does not have.
    """
    underlyings = list(underlyings)
    replays = {
        underlying.name: underlying.process
        for underlying in underlyings
        if isinstance(underlying.process, Replay)
    }
    bars = {
        name: read_bars(replay.source, replay.start, replay.end) for name, replay in replays.items()
    }
    for index in (name for name, replay in replays.items() if replay.source == VIX):
        first, last = bars[index].day[0], bars[index].day[-1]
        for name, series in bars.items():
            if series.day[0] < first or series.day[-1] > last:
                span = f"{series.day[0]} to {series.day[-1]}"
                raise DataError(
                    f"{index}: {VIX} has {first} to {last} only, {name} runs {span}: "
                    "set its start and end within those days"
                )
    return bars if history is None else bars | _read_pasts(replays, history)


def _read_pasts(replays: Mapping[str, Replay], history: History) -> dict[str, Bars]:
    """Read the bars before the first day of replays, if any, and those of a history's sources."""
    pasts = {past_key(name): read_bars(source) for name, source in history.sources.items()}
    for name, replay in replays.items():
        if replay.start is None:
            continue
        times = read_table(replay.source, need_times=True).times
        if (times.astype("datetime64[D]") < np.datetime64(replay.start)).any():
            end = replay.start - datetime.timedelta(days=1)
            pasts[past_key(name)] = read_bars(replay.source, None, end)
    return pasts


def describe_replays(underlyings: Iterable[Underlying]) -> list[str]:
    """Return notices about replayed data, one line each: gaps, splits, adjustments, weekends.

    Raises:
        DataError: see ``read_bars``.
    """
    lines: list[str] = []
    for place, underlying in enumerate(underlyings):
        if isinstance(underlying.process, Replay):
            lines += _describe_replay(underlying.process, f"underlyings.{place}.process")
    return list(dict.fromkeys(lines))


def _describe_replay(replay: Replay, path: str) -> Iterator[str]:
    table = read_table(replay.source, need_times=True)
    bars = _select_bars(table, replay.start, replay.end)
    yield from table.notes
    if note := describe_adjustment(table):
        yield note
    first, last = bars.day[0], bars.day[-1]
    yield from (line for when, line in describe_splits(table) if first <= when <= last)
    yield from describe_gaps(replay.source, bars.day)
    if not replay.source.startswith("arch:"):
        yield from _describe_unseen_hours(replay, bars, path)
    if bars.has_weekends and bars.length == DAY_SECONDS and replay.day < 86_400:
        problem = f"{replay.source}: has bars on Saturdays, and {path}.day is {replay.day:g} s"
        yield f"{problem}: set {path}.day=86400 {path}.opens=0 for a market that never closes"


def _describe_unseen_hours(replay: Replay, bars: Bars, path: str) -> Iterator[str]:
    """Yield a line about a file too short to show opening hours, on which volatility a year
    depends.
    """
    days = np.unique(bars.day.astype("datetime64[D]"))
    year = replay.seconds_per_year(bars)
    open_time = year / (365.0 if bars.has_weekends else replay.days_per_year)
    if days.size == 1 and bars.is_intraday and open_time < 0.9 * DAY_SECONDS:
        never = round(365 * DAY_SECONDS / open_time)
        hours = f"{open_time:g} s of it; a day of trading is taken to be as long"
        start = f"{replay.source}: bars of one date, {hours}, and a year"
        end = "of them, for volatility a year"
        if bars.has_weekends:  # a year then has 365 such days in any case
            yield f"{start} 365 {end}: add bars for the rest of the day"
        elif replay.days_per_year != never:
            rule = f"set {path}.days_per_year={never} for a market that never closes"
            yield f"{start} {replay.days_per_year:g} {end}: {rule}"
    elif bars.has_weekends or replay.days_per_year != 252 or open_time < 0.9 * DAY_SECONDS:
        return
    elif not has_saturdays(np.arange(days[0], days[-1] + 1)):
        problem = f"{replay.source}: {days[0]} to {days[-1]} has no Saturday"
        rule = f"set {path}.days_per_year=365 for a market that never closes"
        yield (
            f"{problem}, so that its market may close on weekends; "
            f"252 days are taken for a year: {rule}"
        )


def _read_prices(table: PriceTable) -> F8:
    """Return prices (T, 4), adjusted; the first three are nan if the file has none of them."""
    some = {OPEN, HIGH, LOW} & set(table.quotes)
    if some and len(some) < 3:
        missing = ", ".join(sorted({OPEN, HIGH, LOW} - some))
        them = "it" if len(some) == 2 else "them"
        rule = f"open, high and low go together: add {them} or drop the others"
        raise DataError(f"{table.source}: no column {missing}; {rule}")
    if CLOSE not in table.quotes:
        known = ", ".join(map(str, table.frame.columns))
        rule = "one is needed: rename the column of prices"
        raise DataError(f"{table.source}: no column '{CLOSE}' among {known}; {rule}")
    prices = np.full((len(table.frame), 4), np.nan)
    for number, name in enumerate(COLUMNS):
        if some or name == CLOSE:
            prices[:, number] = table.read_numbers(table.quotes[name], name)
    prices = prices * compute_adjustment(table)[:, None] if ADJUSTED in table.quotes else prices
    return _absorb_rounding(prices) if some else prices


def _absorb_rounding(prices: F8) -> F8:
    """Move highs and lows that miss open or close only by rounding onto them.

    Adjusted prices of Yahoo miss by a millionth.
    """
    ends = prices[:, [0, 3]]
    highest, lowest = np.max(ends, axis=1), np.min(ends, axis=1)
    high, low = prices[:, 1], prices[:, 2]
    is_near_high = (high < highest) & (high > highest * (1 - ROUNDING_DUST))
    is_near_low = (low > lowest) & (low < lowest * (1 + ROUNDING_DUST))
    prices[:, 1] = np.where(is_near_high, highest, high)
    prices[:, 2] = np.where(is_near_low, lowest, low)
    return prices
