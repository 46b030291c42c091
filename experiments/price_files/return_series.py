"""Return series for backtests: packaged, CSV or Parquet; several columns are a portfolio."""

import shlex
from collections.abc import Sequence
from typing import Literal, NamedTuple, NoReturn

import numpy as np
import pandas as pd

from experiments.price_files.columns import ADJUSTED, CLOSE, PRICE_NAMES, normalise_name
from experiments.price_files.splits import describe_splits, find_apparent_splits
from experiments.price_files.tables import PriceTable, read_table
from experiments.price_files.texts import suggest_remedy
from experiments.price_files.times import (
    REPEATED,
    Times,
    describe_gaps,
    is_intraday,
)
from sim.errors import DataError, describe_unknown
from sim.prices.bars import has_saturdays
from sim.types import F8, I8

Returns = Literal["auto", "log", "differences", "given"]
"""Conversion of values to returns; ``auto``: logs of prices, or as given if not like prices."""

DIFFERENCES_NOTE = "differences; margins are in quote currency for one unit, not shares of a price"

TYPICAL_VOLATILITY = 0.01
"""Standard deviation to which differences are scaled, so that engines get numbers of usual size."""


class ReturnSeries(NamedTuple):
    """Daily returns: logs, or differences over ``unit``."""

    names: tuple[str, ...]  # (U,)
    dates: Times  # (T,) of each return; empty if the file has none
    returns: F8  # (T, U)
    unit: float = 0.0  # quote currency per 1 of return and margin; 0 = shares of a price
    notes: tuple[str, ...] = ()  # notices about how the file was read

    @property
    def rows_per_year(self) -> float:
        """Trading days in a year: 252 if no date is a Saturday, else 365."""
        return 252.0 if self.dates.size and not has_saturdays(self.dates) else 365.0


def read_return_series(
    source: str, assets: Sequence[str] = (), returns: Returns = "auto"
) -> ReturnSeries:
    """Read the daily returns of a file.

    For bars the adjusted close is used, else the close. Columns known to hold no price are skipped;
    an unknown column beside bars is refused. In a file without open, high, low and close, every
    column that is neither a time nor known to hold no price is an asset. Bars shorter than a day
    become days: the last of each date.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv`` or ``.parquet`` file, with or without
            times.
        assets: columns to use instead.
        returns: ``log`` of prices, ``differences`` of prices in quote currency, ``given`` log
            returns; ``auto`` is ``given`` for columns that are not always above 0 and look like
            returns, else ``log``.

    Raises:
        DataError: no such source, times that do not ascend, a value that is not a number, a price
            at or below 0, an unknown column, or a series that never moves.
    """
    table = read_table(source)
    _check_times(table)
    names = _select_assets(table, assets)
    if len(table.frame) < 3:
        raise _too_few(source, len(table.frame), "row")
    values = _read_columns(table, names)
    kind, notes = _choose_returns_kind(table, names, values, returns)
    notes = [*_describe_columns(table, names), *notes, *describe_gaps(source, table.times)]
    if kind == "log":
        notes += _describe_series_splits(table, names, values)
    values, dates, daily_notes = _reduce_to_days(table, values, kind)
    notes += daily_notes
    if kind != "given":
        values, dates = _difference_prices(values, kind), dates[1:]
    if len(values) < 2:
        raise _too_few(source, np.unique(table.times.astype("datetime64[D]")).size, "day")
    unit = 0.0
    if kind == "differences":
        unit = float(values.std(axis=0).max()) / TYPICAL_VOLATILITY
        values = values / (unit or 1.0)
        notes.append(f"{source}: {DIFFERENCES_NOTE}")
    _check_returns(source, values, names, kind)
    return ReturnSeries(tuple(names), dates, values, unit, tuple(notes))


def _read_columns(table: PriceTable, names: list[str]) -> F8:
    return np.column_stack([_read_numbers(table, name) for name in names])


def _difference_prices(values: F8, kind: Returns) -> F8:
    """Return log returns of prices, or their differences."""
    return np.diff(np.log(values) if kind == "log" else values, axis=0)


def _too_few(source: str, count: int, word: str) -> DataError:
    """Return the error of too few rows, or days."""
    counted = f"1 {word} is" if count == 1 else f"{count} {word}s are"
    return DataError(f"{source}: {counted} too few to judge by: give more")


def _check_times(table: PriceTable) -> None:
    wrong = np.flatnonzero(table.times[1:] <= table.times[:-1])
    if wrong.size:
        row = int(wrong[0]) + 1
        place = f"{table.source}: row {table.row_number(row)}"
        this, before = table.times[row], table.times[row - 1]
        remedy = REPEATED if this == before else "sort the rows"
        raise DataError(
            f"{place}: {this} does not come after {before}; times must ascend: {remedy}"
        )


def _select_assets(table: PriceTable, requested: Sequence[str]) -> list[str]:
    """Return the columns whose values make returns."""
    names = list(table.frame.columns)
    if requested:
        wrong = [name for name in requested if name not in names]
        if wrong:
            raise DataError(f"{table.source}: assets: {describe_unknown(wrong[0], names)}")
        if len(set(requested)) < len(requested):
            rule = "a column is named twice, name each once"
            raise DataError(f"{table.source}: assets: {rule}")
        return list(requested)
    if table.quotes:
        return [_select_close(table)]
    if not table.other_columns:
        problem = f"no column of prices beside {', '.join(names)}"
        raise DataError(f"{table.source}: {problem}: add one, or give --assets with its name")
    return list(table.other_columns)


def _select_close(table: PriceTable) -> str:
    """Return the adjusted close of bars, else their close."""
    if table.other_columns:
        unknown, close = ", ".join(map(repr, table.other_columns)), table.quotes.get(CLOSE, "")
        remedy = (
            f"--assets {shlex.quote(close)} to use the close alone"
            if close
            else "--assets with the columns of prices"
        )
        problem = f"{unknown}: not known beside {_format_quotes(table)}"
        raise DataError(f"{table.source}: {problem}; drop it, or give {remedy}")
    for last in (ADJUSTED, CLOSE):
        if last in table.quotes:
            return table.quotes[last]
    prices = "give --assets with the columns of prices"
    raise DataError(
        f"{table.source}: no column close beside {_format_quotes(table)}: add it, or {prices}"
    )


def _format_quotes(table: PriceTable) -> str:
    return ", ".join(table.quotes.values())


def _describe_columns(table: PriceTable, names: list[str]) -> list[str]:
    """Return lines about how the file and which of its columns are read."""
    return [*table.notes, *_describe_selection(table, names)]


def _describe_selection(table: PriceTable, names: list[str]) -> list[str]:
    """Return a line about the columns that are read, if there was a choice."""
    others = [
        name for name in table.frame.columns if name not in names and normalise_name(name) != "date"
    ]
    left = ", ".join(others)
    if len(names) > 1:
        text = f"{table.source}: {len(names)} assets ({', '.join(names)})"
        return [f"{text}; not read: {left}" if left else text]
    if table.quotes or not left:
        return []
    return [f"{table.source}: {names[0]} is read, not {left}"]


def _describe_series_splits(table: PriceTable, names: list[str], values: F8) -> list[str]:
    """Return a line about each split, adjusted or apparent."""
    if names in ([table.quotes.get(ADJUSTED)], [table.quotes.get(CLOSE)]):
        return [line for _, line in describe_splits(table)]
    columns = zip(names, values.T, strict=True)
    return [
        line for name, column in columns for _, line in find_apparent_splits(table, name, column)
    ]


def _read_numbers(table: PriceTable, name: str) -> F8:
    column = table.frame[name]
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        row = int(wrong[0])
        cell = column.iloc[row]
        place = f"{table.source}: row {table.row_number(row)}"
        raise DataError(
            f"{place}: {name} is '{cell}', {wrong.size} such in all; "
            f"a backtest needs a number on every day: {suggest_remedy(cell)}"
        )
    if not table.quotes and numbers[0] > 5e8 and (np.diff(numbers) > 0).all():
        rule = "name it timestamp, or drop it"
        raise DataError(f"{table.source}: {name} rises like a time, {numbers[0]:.0f} on: {rule}")
    return numbers


def _choose_returns_kind(
    table: PriceTable, names: list[str], values: F8, requested: Returns
) -> tuple[Returns, list[str]]:
    """Return the conversion of values to returns, and a line about it if it was chosen here."""
    if requested in ("differences", "given"):
        return requested, []
    low = {name: np.flatnonzero(column <= 0) for name, column in zip(names, values.T, strict=True)}
    for (name, wrong), column in zip(low.items(), values.T, strict=True):
        is_return = requested != "log" and _looks_like_returns(table, name, column, wrong.size)
        if wrong.size and not is_return:
            _refuse_low_price(table, name, column, wrong)
    prices = [name for name, wrong in low.items() if not wrong.size]
    if len(prices) == len(names):
        return "log", []
    if prices:
        kinds = ", ".join(f"{name} {'prices' if name in prices else 'returns'}" for name in names)
        rule = "all columns must be prices (above 0) or all log returns"
        raise DataError(
            f"{table.source}: {kinds}; {rule}: convert some, or give "
            f"--assets {shlex.quote(','.join(prices))}"
        )
    rule = "values on both sides of 0 are read as log returns"
    return "given", [f"{table.source}: {', '.join(names)}: {rule}"]


def _refuse_low_price(table: PriceTable, name: str, column: F8, wrong: I8) -> NoReturn:
    """Refuse a price at or below zero.

    Raises:
        DataError: names the first such row.
    """
    row = int(wrong[0])
    place = f"{table.source}: row {table.row_number(row)}"
    raise DataError(
        f"{place}: {name} is {column[row]:g}, {wrong.size} such in all; "
        "log returns need prices, which must stay above 0: correct them, "
        "or give --returns differences (a spread) or --returns given (log returns)"
    )


def _looks_like_returns(table: PriceTable, name: str, column: F8, low: int) -> bool:
    """Return True if a column may hold log returns.

    Such a column is not named as a price, not nearly all above 0, and small, and its values hardly
    depend on the one before. A price that crosses 0, such as a spread's, is near the last one.
    """
    is_named = bool(table.quotes) or normalise_name(name) in PRICE_NAMES
    if is_named or low <= column.size / 20 or (column <= 0).all():
        return False
    if column.std() > 0.5 or column.size < 3:
        return False
    centred = column - column.mean()
    total = float(centred @ centred)
    return total > 0 and float(centred[1:] @ centred[:-1]) / total < 0.5


def _reduce_to_days(table: PriceTable, values: F8, kind: Returns) -> tuple[F8, Times, list[str]]:
    """Return values by day: the last of each date, or sums of given returns."""
    if not is_intraday(table.times):
        return values, table.times, []
    dates = table.times.astype("datetime64[D]")
    days, first = np.unique(dates, return_index=True)
    note = f"{table.source}: {len(values)} rows within {len(days)} days; a backtest is by day"
    if kind == "given":
        sums = np.add.reduceat(values, first, axis=0)
        return sums, days, [f"{note}: returns of a date are added"]
    last = np.append(first[1:], len(values)) - 1
    return values[last], days, [f"{note}: the last price of each date (UTC) is used"]


def _check_returns(source: str, returns: F8, names: list[str], kind: Returns) -> None:
    for name, column in zip(names, returns.T, strict=True):
        if not column.size or np.ptp(column) == 0:
            remedy = "drop the column" if len(names) > 1 else "give one that moves"
            raise DataError(
                f"{source}: {name} never moves; a constant series has no risk to margin: {remedy}"
            )
        wild = np.flatnonzero(np.abs(column) > 5)
        if wild.size:
            problem = f"{source}: {name}: a log return of {column[wild[0]]:.4g} at return {wild[0]}"
            remedy = "divide percent by 100" if kind == "given" else "correct the price"
            rule = "returns must be logs, not percent, and prices free of slips"
            raise DataError(f"{problem}; {rule}: {remedy}")
