"""Reads the days that a replay runs on: packaged series, CSV, Parquet."""

import datetime
import importlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sim.errors import DataError, not_one_of
from sim.prices.bars import Bars, validated
from sim.prices.replay import Replay
from sim.prices.underlying import Underlying

PACKAGED = ("sp500", "nasdaq", "wti", "vix")
"""Daily series that arch ships: US dollars or index points. wti and vix have closes only."""

VIX = "arch:vix"
"""Implied volatility of the S&P 500, 2014 to 2018: a run that needs it on other days is refused, not shortened."""

COLUMNS = ("open", "high", "low", "close")


def read_bars(source: str, start: datetime.date | None = None, end: datetime.date | None = None) -> Bars:
    """Daily bars from ``start`` to ``end``, both included.

    A file has the columns date, close and, all or none, open, high, low, in any order and case; others (an adjusted
    close, volume) are ignored. Prices are taken as quoted, in quote currency. Days that a packaged series lists
    without any price (holidays) are dropped; in a file they are an error.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv`` or ``.parquet`` file.
        start: first day; none = the first of the data.
        end: last day; none = the last of the data.

    Raises:
        DataError: no such source, a column is missing, no day is left, or a value breaks a rule of ``validated``.
    """
    frame = table_of(source)
    day, prices = days_of(source, frame), _prices(source, frame)
    keep = np.ones(len(day), dtype=np.bool_)
    keep &= True if start is None else ~(day < np.datetime64(start))
    keep &= True if end is None else ~(day > np.datetime64(end))
    if len(day) and not keep.any():
        span = f"{start or 'the first day'} to {end or 'the last'}"
        raise DataError(f"{source}: no day from {span}; it has {day[0]} to {day[-1]}: change start or end")
    return validated(source, day[keep], prices[keep])


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
                raise DataError(f"{told} {each.day[0]} to {each.day[-1]}: set its start and end within 2014 to 2018")
    return bars


def table_of(source: str) -> pd.DataFrame:
    """What a source holds, as it is, its days a column.

    Raises:
        DataError: no such source, or it cannot be read.
    """
    return _packaged(source.removeprefix("arch:")) if source.startswith("arch:") else _file(source)


def _packaged(name: str) -> pd.DataFrame:
    if name not in PACKAGED:
        raise DataError(f"arch:{name}: {not_one_of(name, PACKAGED)}")
    frame: pd.DataFrame = importlib.import_module(f"arch.data.{name}").load().dropna(how="all")
    if frame.shape[1] == 1:
        frame.columns = pd.Index(["close"])
    return frame.rename_axis("date").reset_index()


def _file(source: str) -> pd.DataFrame:
    path = Path(source)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(
            f"{source}: neither a .csv or .parquet file nor arch:NAME: convert the file or correct the name"
        )
    if not path.is_file():
        raise DataError(f"{source}: no such file (looked in {path.parent}): correct the path")
    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{source}: cannot be read ({str(error).splitlines()[0]}): check the file") from error
    return frame.reset_index() if isinstance(frame.index, pd.DatetimeIndex) else frame


def _column(source: str, frame: pd.DataFrame, name: str) -> "pd.Series[float]":
    found = [column for column in frame.columns if str(column).strip().lower() == name]
    if len(found) != 1:
        told = ", ".join(map(str, frame.columns))
        raise DataError(f"{source}: {len(found)} columns named '{name}' among {told}; one is needed: rename")
    return frame[found[0]]


def days_of(source: str, frame: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    """The column ``date``, in any order.

    Raises:
        DataError: there is none, or a cell is no date.
    """
    column = _column(source, frame, "date")
    try:
        told = column if column.dtype.kind == "M" else column.astype(str)
        days = pd.to_datetime(told, errors="coerce", format=None if column.dtype.kind == "M" else "ISO8601")
        days = days.dt.tz_localize(None)  # the day where it was written
    except ValueError as error:  # time zones that differ from row to row
        raise DataError(f"{source}: {str(error).split('.')[0]}; dates need none: write days as 2008-09-15") from error
    wrong = np.flatnonzero(days.isna())
    if wrong.size:
        row = int(wrong[0])
        raise DataError(f"{source}: row {row}: '{column.iloc[row]}' is not a date such as 2008-09-15: correct it")
    return days.to_numpy().astype("datetime64[D]")


def _prices(source: str, frame: pd.DataFrame) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """(D, 4), the first three NaN where the file has none of them."""
    names = {str(column).strip().lower() for column in frame.columns}
    some = names.intersection(COLUMNS[:3])
    if some and len(some) < 3:
        lacking = ", ".join(sorted(set(COLUMNS[:3]) - some))
        raise DataError(f"{source}: no column {lacking}; open, high and low go together: add it or drop the others")
    prices = np.full((len(frame), 4), np.nan)
    for number, name in enumerate(COLUMNS):
        if some or name == "close":
            column = _column(source, frame, name)
            prices[:, number] = numbers = pd.to_numeric(column, errors="coerce")
            wrong = np.flatnonzero(numbers.isna() & column.notna())
            if wrong.size:
                row = int(wrong[0])
                raise DataError(f"{source}: row {row}: {name} '{column.iloc[row]}' is not a number: correct it")
    return prices
