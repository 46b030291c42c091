"""Return series for backtests: packaged, CSV or Parquet; several columns are a portfolio."""

import shlex
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from experiments.columns import ADJUSTED, CLOSE, PRICES, key
from experiments.splits import look_alikes, split_notes
from experiments.tables import Table, read_table
from experiments.texts import remedy_of
from experiments.times import REPEATED, Times, gap_notes, is_intraday
from sim.errors import DataError, not_one_of
from sim.prices.bars import has_saturdays
from sim.types import F8

Returns = Literal["auto", "log", "differences", "given"]
"""How values become returns; ``auto``: logs of prices, or as given where a column does not look like prices."""

TYPICAL = 0.01
"""Standard deviation that differences are scaled to, so that engines meet numbers of the usual size."""


class Series(NamedTuple):
    """Returns by day: logs, or differences over ``unit``."""

    names: tuple[str, ...]  # (U,)
    dates: Times  # (T,) of each return; empty if the file has none
    returns: F8  # (T, U)
    unit: float = 0.0  # quote currency per 1 of return and margin; 0 = they are shares of a price
    notes: tuple[str, ...] = ()  # what a user should know of how it was read

    @property
    def rows_per_year(self) -> float:
        """Trading days in a year: 252 where dates have no Saturday, else 365."""
        return 252.0 if self.dates.size and not has_saturdays(self.dates) else 365.0


def read_series(source: str, assets: Sequence[str] = (), returns: Returns = "auto") -> Series:
    """Daily returns of a file.

    Of bars the adjusted close is used, else the close, and columns known to hold no price are passed over; a column
    beside bars that is not known is refused. In a file without open, high, low and close every column that is neither
    a time nor known to hold no price is an asset. Bars shorter than a day become days: the last of each date.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv`` or ``.parquet`` file, with or without times.
        assets: columns to use in place of the above.
        returns: ``log`` of prices, ``differences`` of prices in quote currency, ``given`` log returns; ``auto`` is
            ``given`` for columns that are not above 0 throughout and look like returns, else ``log``.

    Raises:
        DataError: no such source, times that do not ascend, a value that is no number, a price at or below 0, a
            column that is not known, a series that never moves.
    """
    table = read_table(source)
    _check_times(table)
    names = _assets(table, assets)
    if (rows := len(table.frame)) < 3:
        raise DataError(f"{source}: {rows} {'row is' if rows == 1 else 'rows are'} too few to judge by: give more")
    values = np.column_stack([_numbers(table, name) for name in names])
    kind, notes = _kind(table, names, values, returns)
    notes = [*table.notes, *_selection(table, names), *notes, *gap_notes(source, table.times)]
    if kind == "log":
        notes += _splits(table, names, values)
    values, dates, told = _daily(table, values, kind)
    notes += told
    if kind != "given":
        values, dates = np.diff(np.log(values) if kind == "log" else values, axis=0), dates[1:]
    if len(values) < 2:
        days = np.unique(table.times.astype("datetime64[D]")).size
        raise DataError(f"{source}: {days} {'day is' if days == 1 else 'days are'} too few to judge by: give more")
    unit = 0.0
    if kind == "differences":
        unit = float(values.std(axis=0).max()) / TYPICAL
        values = values / (unit or 1.0)
        notes.append(f"{source}: differences; margins are in quote currency for one unit, not shares of a price")
    _check(source, values, names, kind)
    return Series(tuple(names), dates, values, unit, tuple(notes))


def _check_times(table: Table) -> None:
    wrong = np.flatnonzero(table.times[1:] <= table.times[:-1])
    if wrong.size:
        row = int(wrong[0]) + 1
        told = f"{table.source}: row {table.row(row)}: {table.times[row]} does not come after {table.times[row - 1]}"
        remedy = REPEATED if table.times[row] == table.times[row - 1] else "sort the rows"
        raise DataError(f"{told}; times must ascend: {remedy}")


def _assets(table: Table, asked: Sequence[str]) -> list[str]:
    """Columns whose values make returns."""
    names = list(table.frame.columns)
    if asked:
        wrong = [name for name in asked if name not in names]
        if wrong or len(set(asked)) < len(asked):
            told = not_one_of(wrong[0], names) if wrong else "a column is named twice, name each once"
            raise DataError(f"{table.source}: assets: {told}")
        return list(asked)
    if table.quotes:
        if table.rest:
            unknown, close = ", ".join(map(repr, table.rest)), table.quotes.get(CLOSE, "")
            remedy = (
                f"--assets {shlex.quote(close)} to use the close alone"
                if close
                else "--assets with the columns of prices"
            )
            raise DataError(f"{table.source}: {unknown}: not known beside {_quoted(table)}; drop it, or give {remedy}")
        for last in (ADJUSTED, CLOSE):
            if last in table.quotes:
                return [table.quotes[last]]
        prices = "give --assets with the columns of prices"
        raise DataError(f"{table.source}: no column close beside {_quoted(table)}: add it, or {prices}")
    if not table.rest:
        told = f"no column of prices beside {', '.join(names)}"
        raise DataError(f"{table.source}: {told}: add one, or give --assets with its name")
    return list(table.rest)


def _quoted(table: Table) -> str:
    return ", ".join(table.quotes.values())


def _selection(table: Table, names: list[str]) -> list[str]:
    """A line on what is read where that is a choice."""
    left = [name for name in table.frame.columns if name not in names and key(name) != "date"]
    if len(names) > 1:
        told = f"{table.source}: {len(names)} assets ({', '.join(names)})"
        return [f"{told}; not read: {', '.join(left)}" if left else told]
    return [] if table.quotes or not left else [f"{table.source}: {names[0]} is read, not {', '.join(left)}"]


def _splits(table: Table, names: list[str], values: F8) -> list[str]:
    """A line on each split: adjusted for, or merely looking like one."""
    if names in ([table.quotes.get(ADJUSTED)], [table.quotes.get(CLOSE)]):
        return [line for _, line in split_notes(table)]
    columns = zip(names, values.T, strict=True)
    return [line for name, column in columns for _, line in look_alikes(table, name, column)]


def _numbers(table: Table, name: str) -> F8:
    column = table.frame[name]
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        row = int(wrong[0])
        cell = column.iloc[row]
        told = f"{table.source}: row {table.row(row)}: {name} is '{cell}', {wrong.size} such in all"
        raise DataError(f"{told}; a backtest needs a number on every day: {remedy_of(cell)}")
    if not table.quotes and numbers[0] > 5e8 and (np.diff(numbers) > 0).all():
        raise DataError(f"{table.source}: {name} rises like a time, {numbers[0]:.0f} on: name it timestamp, or drop it")
    return numbers


def _kind(table: Table, names: list[str], values: F8, asked: Returns) -> tuple[Returns, list[str]]:
    """How values become returns, and a line on it where it was not said."""
    if asked in ("differences", "given"):
        return asked, []
    low = [np.flatnonzero(column <= 0) for column in values.T]
    for name, column, wrong in zip(names, values.T, low, strict=True):
        if wrong.size and (asked == "log" or not _like_returns(table, name, column, wrong.size)):
            told = f"{table.source}: row {table.row(int(wrong[0]))}: {name} is {column[wrong[0]]:g}"
            told = f"{told}, {wrong.size} such in all; log returns need prices, which must stay above 0"
            raise DataError(
                f"{told}: correct them, or give --returns differences (a spread) or --returns given (log returns)"
            )
    if not any(wrong.size for wrong in low):
        return "log", []
    if not all(wrong.size for wrong in low):
        told = ", ".join(
            f"{name} {'returns' if wrong.size else 'prices'}" for name, wrong in zip(names, low, strict=True)
        )
        raise DataError(
            f"{table.source}: {told}; all columns must be prices (above 0) or all log returns: convert some, or give "
            f"--assets {shlex.quote(','.join(name for name, wrong in zip(names, low, strict=True) if not wrong.size))}"
        )
    return "given", [f"{table.source}: {', '.join(names)}: values on both sides of 0 are read as log returns"]


def _like_returns(table: Table, name: str, column: F8, low: int) -> bool:
    """Whether a column may hold log returns: not named as a price, not nearly all above 0, small, and forgetful.

    A return says next to nothing of the next one; a price that crosses 0, such as a spread's, is near the last one.
    """
    if table.quotes or key(name) in PRICES or low <= column.size / 20 or (column <= 0).all():
        return False
    if column.std() > 0.5 or column.size < 3:
        return False
    centred = column - column.mean()
    total = float(centred @ centred)
    return total > 0 and float(centred[1:] @ centred[:-1]) / total < 0.5


def _daily(table: Table, values: F8, kind: Returns) -> tuple[F8, Times, list[str]]:
    """Values by day: the last of each date, or sums of given returns."""
    if not is_intraday(table.times):
        return values, table.times, []
    dates = table.times.astype("datetime64[D]")
    days, first = np.unique(dates, return_index=True)
    told = f"{table.source}: {len(values)} rows within {len(days)} days; a backtest is by day"
    if kind == "given":
        return np.add.reduceat(values, first, axis=0), days, [f"{told}: returns of a date are added"]
    return values[np.append(first[1:], len(values)) - 1], days, [f"{told}: the last price of each date (UTC) is used"]


def _check(source: str, returns: F8, names: list[str], kind: Returns) -> None:
    for name, column in zip(names, returns.T, strict=True):
        if not column.size or np.ptp(column) == 0:
            remedy = "drop the column" if len(names) > 1 else "give one that moves"
            raise DataError(f"{source}: {name} never moves; a constant series has no risk to margin: {remedy}")
        wild = np.flatnonzero(np.abs(column) > 5)
        if wild.size:
            told = f"{source}: {name}: a log return of {column[wild[0]]:.4g} at return {wild[0]}"
            remedy = "divide percent by 100" if kind == "given" else "correct the price"
            raise DataError(f"{told}; returns must be logs, not percent, and prices free of slips: {remedy}")
