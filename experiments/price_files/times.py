"""Times of rows, from text and from epochs, and the gaps between them."""

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import DataError
from sim.prices.bars import has_saturdays

Times = NDArray[np.datetime64]

DAY = np.timedelta64(1, "D")
INTRADAY = np.timedelta64(20, "h")
"""Spacing of rows below which bars are shorter than a day."""

EPOCHS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))
"""Smallest numbers that are times since 1970 in a unit; smaller ones are such as 20080915."""

ZONE_OFFSET = re.compile(r"\s*(?:Z|UTC|[+-]\d\d:?\d\d)$")


PARTS = re.compile(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?!\d)")
"""Days in another order or with other signs than 2008-09-15; their order is not guessed."""

REPEATED = "drop the repeat, or write times of day with the dates if bars are shorter than a day"
"""Remedy for a time that occurs in two rows."""


class ReadTimes(NamedTuple):
    """Times of the same rows, datetime64[us]."""

    written: Times  # (T,) as in the file, without time zones
    exact: Times  # (T,) in UTC if the file has time zones, else the same


def read_times(
    source: str, column: "pd.Series[Any]", clock: "pd.Series[Any] | None" = None
) -> ReadTimes:
    """Read a column of times: ISO 8601, ``20080915``, or seconds, ms, us or ns since 1970.

    Args:
        source: name of the data in error messages.
        column: one cell a row, in any order.
        clock: time of day of each row, if it has a column of its own.

    Raises:
        DataError: a cell is not a time.
    """
    joined = _join_clock(column, clock) if clock is not None else column
    if isinstance(joined.dtype, pd.DatetimeTZDtype):
        times = ReadTimes(
            _to_microseconds(joined.dt.tz_localize(None)),
            _to_microseconds(joined.dt.tz_convert(None)),
        )
    elif joined.dtype.kind == "M":
        times = ReadTimes(_to_microseconds(joined), _to_microseconds(joined))
    else:
        times = _read_epochs(joined) or _read_texts(source, joined)
    wrong = np.flatnonzero(np.isnat(times.written) | np.isnat(times.exact))
    if wrong.size:
        row = int(wrong[0])
        cell = str(column.iloc[row])
        remedy = "write year, month, day in this order" if PARTS.match(cell) else "correct it"
        raise DataError(f"{source}: row {row}: '{cell}' is not a date such as 2008-09-15: {remedy}")
    return times


def choose_row_times(read: ReadTimes) -> Times:
    """Return days as written (datetime64[D]), or times of bars shorter than a day
    (datetime64[s]).
    """
    steps = np.diff(np.unique(read.exact))
    if steps.size and np.median(steps) < INTRADAY:
        return read.exact.astype("datetime64[s]")
    return read.written.astype("datetime64[D]")


def is_intraday(times: Times) -> bool:
    """Return True if rows are bars shorter than a day."""
    return bool(times.dtype == np.dtype("datetime64[s]"))


def find_usual_spacing(times: Times) -> float:
    """Return the usual time from a row to the next (s); a day if there is one row."""
    steps = np.diff(times.astype("datetime64[s]")).astype(np.int64)
    return float(np.median(steps)) if steps.size else 86_400.0


def describe_gaps(source: str, times: Times) -> list[str]:
    """Return lines about missing rows, with the dates of the longest gaps.

    For days, a gap is more than one and a half times the usual spacing if there are Saturdays, else
    more than five times, which skips weekends with holidays. For shorter bars, the same holds for
    the days that have any bar; within a day, a gap is more than one and a half times the usual
    spacing (at midnight too if the market never closes).
    """
    if times.size < 3:
        return []
    days = np.unique(times.astype("datetime64[D]"))
    most = 1.5 if has_saturdays(times) else 5.0
    lines = _describe_day_gaps(source, days, most, "days")
    if is_intraday(times):
        lines += _describe_intraday_gaps(source, times)
    return lines


def _describe_intraday_gaps(source: str, times: Times) -> list[str]:
    """Return a line about gaps within days, with the first of them."""
    usual = find_usual_spacing(times)
    dates = times.astype("datetime64[D]")
    steps = np.diff(times).astype(np.int64)
    is_next_day = _is_round_the_clock(times, usual) & (np.diff(dates) <= DAY)
    is_adjoining = (dates[1:] == dates[:-1]) | is_next_day
    wide = np.flatnonzero((steps > 1.5 * usual) & is_adjoining)
    if not wide.size:
        return []
    first = int(wide[0])
    gaps = f"{wide.size} gaps within days, the first" if wide.size > 1 else "1 gap within a day,"
    span = f"from {times[first]} to {times[first + 1]}"
    rule = "each passes as one step: fill them if that is wrong"
    return [f"{source}: {gaps} {span} (usual: {usual:g} s); {rule}"]


def _is_round_the_clock(times: Times, usual: float) -> bool:
    """Return True if a day of bars has no close: at least nine tenths of 24 hours."""
    _, counts = np.unique(times.astype("datetime64[D]"), return_counts=True)
    return bool(np.median(counts) * usual > 0.9 * 86_400)


def _describe_day_gaps(source: str, days: Times, most: float, unit: str) -> list[str]:
    steps = np.diff(days).astype("timedelta64[D]").astype(np.int64)
    if not steps.size:
        return []
    usual = float(np.median(steps))
    if usual > 1.5 and days.size > 10:
        rule = "each is taken for one day: use daily prices"
        return [f"{source}: rows are usually {usual:g} {unit} apart, and {rule}"]
    wide = np.flatnonzero(steps > most * usual)
    if not wide.size:
        return []
    longest = wide[np.argsort(-steps[wide], kind="stable")][:3]
    dates = ", ".join(
        f"{days[row]} to {days[row + 1]} ({steps[row]} {unit})" for row in sorted(longest)
    )
    count = f"{wide.size} gaps of more than {most * usual:g} {unit}" if wide.size > 1 else "1 gap"
    rule = "each passes as one night: fill it or cut the file if that is wrong"
    return [f"{source}: {count}, {dates}; {rule}"]


def _to_microseconds(column: "pd.Series[Any]") -> Times:
    return column.to_numpy().astype("datetime64[us]")


def _join_clock(column: "pd.Series[Any]", clock: "pd.Series[Any]") -> "pd.Series[Any]":
    """Join days and times of day as text; ``09:30``, ``093000`` and 93000 are the same time."""
    digits = (
        clock.astype(str).str.replace(r"\.0$", "", regex=True).str.replace(":", "", regex=False)
    )
    digits = digits.where(digits.str.len() > 4, digits.str.zfill(4) + "00").str.zfill(6)
    day = column.astype(str).str.slice(0, 10)
    text = day.str
    dashed = text.slice(0, 4) + "-" + text.slice(4, 6) + "-" + text[6:]
    day = day.where(~text.fullmatch(r"\d{8}"), dashed)
    hour, minute, second = (digits.str.slice(at, at + 2) for at in (0, 2, 4))
    return day + " " + hour + ":" + minute + ":" + second


def is_clock(column: "pd.Series[Any]") -> bool:
    """Return True if cells are times of day without a date."""
    text = column.astype(str).str.replace(r"\.0$", "", regex=True)
    return bool(len(text)) and bool(text.str.fullmatch(r"\d{1,6}|\d{1,2}:\d\d(:\d\d)?").all())


def _read_epochs(column: "pd.Series[Any]") -> ReadTimes | None:
    """Read numbers since 1970, the unit of each by its size.

    Files change units in mid-history (Binance in 2025).
    """
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    late = np.nan_to_num(numbers) >= EPOCHS[-1][0]
    if not numbers.size or not (
        late.all() or (column.dtype.kind not in "iuf" and late.mean() > 0.5)
    ):
        return None
    whole = pd.to_numeric(column).to_numpy() if column.dtype.kind in "iu" else numbers
    times = np.full(numbers.size, np.datetime64("NaT"), dtype="datetime64[us]")
    above = np.inf
    for least, unit in EPOCHS:
        here = (numbers >= least) & (numbers < above)
        times[here] = (
            whole[here].astype(np.int64).astype(f"datetime64[{unit}]").astype("datetime64[us]")
        )
        above = least
    return ReadTimes(times, times)


def _read_texts(source: str, column: "pd.Series[Any]") -> ReadTimes:
    text = column.astype(str).str.strip()
    if column.dtype.kind == "f":
        text = text.str.replace(r"\.0$", "", regex=True)
    bare = text.str.replace(ZONE_OFFSET, "", regex=True)
    written = _to_microseconds(pd.to_datetime(bare, errors="coerce", format="ISO8601"))
    if bare.equals(text):
        return ReadTimes(written, written)
    if not _is_one_time_zone(text):
        rule = "write all times in UTC, such as 2008-09-15 or 2008-09-15 13:30"
        raise DataError(f"{source}: time zones of several places: {rule}")
    zoned = pd.to_datetime(
        text.str.replace(r"\s*UTC$", "Z", regex=True), errors="coerce", format="ISO8601", utc=True
    )
    return ReadTimes(written, _to_microseconds(zoned.dt.tz_localize(None)))


def _is_one_time_zone(text: "pd.Series[Any]") -> bool:
    """Return True if time zones may be those of one place: one, or two an hour apart (summer
    time).
    """
    zones = text.str.extract(r"(Z|UTC|[+-]\d\d:?\d\d)$", expand=False).dropna().unique()
    if len(zones) == 1:
        return True
    if len(zones) > 2 or {"Z", "UTC"} & set(zones):
        return False
    minutes = [int(zone[0] + "1") * (60 * int(zone[1:3]) + int(zone[-2:])) for zone in zones]
    return abs(minutes[0] - minutes[1]) == 60
