"""Times of rows, from text and from epochs; the gaps between them."""

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
"""Rows that are usually closer together are bars of a part of a day."""

EPOCHS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))
"""Least number that is read as a time since 1970 in a unit; below come numbers such as 20080915."""

OFFSET = re.compile(r"\s*(?:Z|UTC|[+-]\d\d:?\d\d)$")


PARTS = re.compile(r"\s*\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?!\d)")
"""Days that are written in another order or with other signs than 2008-09-15; of these no order is guessed."""

REPEATED = "drop the repeat, or write times of day with the dates if bars are shorter than a day"
"""The remedy for a time that stands in two rows."""


class Read(NamedTuple):
    """Times of the same rows, datetime64[us]."""

    written: Times  # (T,) as the file has them, a time zone left out
    exact: Times  # (T,) in UTC where the file has time zones, else the same


def read_times(source: str, column: "pd.Series[Any]", clock: "pd.Series[Any] | None" = None) -> Read:
    """The times of a column in any order: ISO 8601, ``20080915``, or seconds, ms, us or ns since 1970.

    Args:
        source: what an error message calls the data.
        column: one cell a row.
        clock: time of day of each row, where it stands in a column of its own.

    Raises:
        DataError: a cell is no time.
    """
    read = _with_clock(column, clock) if clock is not None else column
    if isinstance(read.dtype, pd.DatetimeTZDtype):
        found = Read(_plain(read.dt.tz_localize(None)), _plain(read.dt.tz_convert(None)))
    elif read.dtype.kind == "M":
        found = Read(_plain(read), _plain(read))
    else:
        found = _epochs(read) or _texts(source, read)
    wrong = np.flatnonzero(np.isnat(found.written) | np.isnat(found.exact))
    if wrong.size:
        row = int(wrong[0])
        cell = str(column.iloc[row])
        remedy = "write year, month, day in this order" if PARTS.match(cell) else "correct it"
        raise DataError(f"{source}: row {row}: '{cell}' is not a date such as 2008-09-15: {remedy}")
    return found


def as_rows(read: Read) -> Times:
    """Days as they are written (datetime64[D]), or moments of bars shorter than a day (datetime64[s])."""
    steps = np.diff(np.unique(read.exact))
    if steps.size and np.median(steps) < INTRADAY:
        return read.exact.astype("datetime64[s]")
    return read.written.astype("datetime64[D]")


def is_intraday(times: Times) -> bool:
    """Whether rows are bars shorter than a day."""
    return bool(times.dtype == np.dtype("datetime64[s]"))


def spacing(times: Times) -> float:
    """Usual time from a row to the next (s); a day where there is one row."""
    steps = np.diff(times.astype("datetime64[s]")).astype(np.int64)
    return float(np.median(steps)) if steps.size else 86_400.0


def gap_notes(source: str, times: Times) -> list[str]:
    """A line on rows that are missing, with the dates of the longest gaps.

    Of days: a gap of more than one and a half times the usual spacing where there are Saturdays, else of more than
    five times, which passes over weekends with holidays. Of shorter bars: the same of the days that have any bar, and
    more than one and a half times the usual spacing within a day (at midnight too where the market never closes).
    """
    if times.size < 3:
        return []
    days = np.unique(times.astype("datetime64[D]"))
    most = 1.5 if has_saturdays(times) else 5.0
    lines = _told(source, days, most, "days")
    if is_intraday(times):
        usual = spacing(times)
        dates = times.astype("datetime64[D]")
        steps = np.diff(times).astype(np.int64)
        adjoining = (dates[1:] == dates[:-1]) | (_is_round(times, usual) & (np.diff(dates) <= DAY))
        wide = np.flatnonzero((steps > 1.5 * usual) & adjoining)
        if wide.size:
            first = int(wide[0])
            gaps = f"{wide.size} gaps within days, the first" if wide.size > 1 else "1 gap within a day,"
            told = f"{source}: {gaps} from {times[first]} to {times[first + 1]}"
            lines.append(f"{told} (usual: {usual:g} s); each passes as one step: fill them if that is wrong")
    return lines


def _is_round(times: Times, usual: float) -> bool:
    """Whether a day of bars has no close: at least nine tenths of 24 hours."""
    _, counts = np.unique(times.astype("datetime64[D]"), return_counts=True)
    return bool(np.median(counts) * usual > 0.9 * 86_400)


def _told(source: str, days: Times, most: float, unit: str) -> list[str]:
    steps = np.diff(days).astype("timedelta64[D]").astype(np.int64)
    if not steps.size:
        return []
    usual = float(np.median(steps))
    if usual > 1.5 and days.size > 10:
        return [f"{source}: rows are usually {usual:g} {unit} apart, and each is taken for one day: use daily prices"]
    wide = np.flatnonzero(steps > most * usual)
    if not wide.size:
        return []
    longest = wide[np.argsort(-steps[wide], kind="stable")][:3]
    dates = ", ".join(f"{days[row]} to {days[row + 1]} ({steps[row]} {unit})" for row in sorted(longest))
    count = f"{wide.size} gaps of more than {most * usual:g} {unit}" if wide.size > 1 else "1 gap"
    return [f"{source}: {count}, {dates}; each passes as one night: fill it or cut the file if that is wrong"]


def _plain(column: "pd.Series[Any]") -> Times:
    return column.to_numpy().astype("datetime64[us]")


def _with_clock(column: "pd.Series[Any]", clock: "pd.Series[Any]") -> "pd.Series[Any]":
    """Days and times of day as one text: ``09:30``, ``093000`` and 93000 are the same time."""
    digits = clock.astype(str).str.replace(r"\.0$", "", regex=True).str.replace(":", "", regex=False)
    digits = digits.where(digits.str.len() > 4, digits.str.zfill(4) + "00").str.zfill(6)
    day = column.astype(str).str.slice(0, 10)
    day = day.where(~day.str.fullmatch(r"\d{8}"), day.str.slice(0, 4) + "-" + day.str.slice(4, 6) + "-" + day.str[6:])
    return day + " " + digits.str.slice(0, 2) + ":" + digits.str.slice(2, 4) + ":" + digits.str.slice(4, 6)


def is_clock(column: "pd.Series[Any]") -> bool:
    """Whether cells are times of day, not of a date."""
    text = column.astype(str).str.replace(r"\.0$", "", regex=True)
    return bool(len(text)) and bool(text.str.fullmatch(r"\d{1,6}|\d{1,2}:\d\d(:\d\d)?").all())


def _epochs(column: "pd.Series[Any]") -> Read | None:
    """Numbers since 1970, the unit read off each by itself: files change units in mid-history (Binance in 2025)."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    late = np.nan_to_num(numbers) >= EPOCHS[-1][0]
    if not numbers.size or not (late.all() or (column.dtype.kind not in "iuf" and late.mean() > 0.5)):
        return None
    whole = pd.to_numeric(column).to_numpy() if column.dtype.kind in "iu" else numbers
    times = np.full(numbers.size, np.datetime64("NaT"), dtype="datetime64[us]")
    above = np.inf
    for least, unit in EPOCHS:
        here = (numbers >= least) & (numbers < above)
        times[here] = whole[here].astype(np.int64).astype(f"datetime64[{unit}]").astype("datetime64[us]")
        above = least
    return Read(times, times)


def _texts(source: str, column: "pd.Series[Any]") -> Read:
    text = column.astype(str).str.strip()
    if column.dtype.kind == "f":
        text = text.str.replace(r"\.0$", "", regex=True)
    bare = text.str.replace(OFFSET, "", regex=True)
    written = _plain(pd.to_datetime(bare, errors="coerce", format="ISO8601"))
    if bare.equals(text):
        return Read(written, written)
    if not _one_place(text):
        told = f"{source}: time zones of several places"
        raise DataError(f"{told}: write all times in UTC, such as 2008-09-15 or 2008-09-15 13:30")
    zoned = pd.to_datetime(text.str.replace(r"\s*UTC$", "Z", regex=True), errors="coerce", format="ISO8601", utc=True)
    return Read(written, _plain(zoned.dt.tz_localize(None)))


def _one_place(text: "pd.Series[Any]") -> bool:
    """Whether time zones may be those of one place: one of them, or two an hour apart (summer time)."""
    zones = text.str.extract(r"(Z|UTC|[+-]\d\d:?\d\d)$", expand=False).dropna().unique()
    if len(zones) == 1:
        return True
    if len(zones) > 2 or {"Z", "UTC"} & set(zones):
        return False
    minutes = [int(zone[0] + "1") * (60 * int(zone[1:3]) + int(zone[-2:])) for zone in zones]
    return abs(minutes[0] - minutes[1]) == 60
