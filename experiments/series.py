"""Return series for backtests: packaged, CSV or Parquet; several columns are a portfolio."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.data import days_of, table_of
from sim.errors import DataError
from sim.types import F8

BARS = {"open", "high", "low", "close", "volume", "adj close"}
"""Columns of daily bars, of which only the last price of the day makes a return."""


class Series(NamedTuple):
    """Log returns by day."""

    names: tuple[str, ...]  # (U,)
    dates: "np.ndarray[tuple[int], np.dtype[np.datetime64]]"  # (T,) of each return; empty if the file has none
    returns: F8  # (T, U)


def read_series(source: str) -> Series:
    """Daily log returns.

    Of bars the adjusted close is used, else the close; else every column but ``date`` is a series. A column whose
    values are all above nil holds prices, any other log returns.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv`` or ``.parquet`` file, with or without a column ``date``.

    Raises:
        DataError: no such source, days that do not ascend, a value that is no number, a series that never moves.
    """
    frame = table_of(source)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    dates = _dates(source, frame)
    columns = _columns(source, frame)
    values = np.column_stack([_numbers(source, frame[name], name) for name in columns])
    _check_prices(source, values, columns)
    prices = [bool((column > 0).all()) for column in values.T]
    if len(set(prices)) > 1:
        told = ", ".join(
            f"{name} {'prices' if each else 'returns'}" for name, each in zip(columns, prices, strict=True)
        )
        raise DataError(f"{source}: {told}; all columns must be prices (above 0) or all log returns: convert some")
    if len(values) < 3:
        raise DataError(f"{source}: {len(values)} rows are too few to judge anything: give more")
    if all(prices):
        values, dates = np.diff(np.log(values), axis=0), dates[1:]
    _check(source, values, columns)
    return Series(tuple(columns), dates, values)


def _dates(source: str, frame: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
    if "date" not in {name.lower() for name in frame.columns}:
        return np.empty(0, dtype="datetime64[D]")
    dates = days_of(source, frame)
    wrong = np.flatnonzero(np.diff(dates) <= np.timedelta64(0, "D"))
    if wrong.size:
        row = int(wrong[0]) + 1
        told = f"{source}: row {row}: {dates[row]} does not come after {dates[row - 1]}"
        raise DataError(f"{told}; days must ascend: sort the rows, one each")
    return dates


def _columns(source: str, frame: pd.DataFrame) -> list[str]:
    names = [name for name in frame.columns if name.lower() != "date"]
    if not names:
        raise DataError(f"{source}: no column beside date; a series is needed: add one")
    lower = {name.lower(): name for name in names}
    for last in ("adj close", "close"):
        if last in lower and set(lower) <= BARS | {"dividends", "stock splits"}:
            return [lower[last]]
    return names


def _numbers(source: str, column: "pd.Series[float]", name: str) -> F8:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        row = int(wrong[0])
        told = f"{source}: row {row}: {name} is '{column.iloc[row]}', {wrong.size} such in all"
        raise DataError(f"{told}; a backtest needs a number on every day: fill or drop them")
    return numbers


def _check_prices(source: str, values: F8, names: list[str]) -> None:
    """About half of all log returns are at or below nil; a few among many are prices gone wrong."""
    for name, column in zip(names, values.T, strict=True):
        wrong = np.flatnonzero(column <= 0)
        if 0 < wrong.size <= column.size / 20:
            told = f"{source}: row {wrong[0]}: {name} is {column[wrong[0]]:g}, {wrong.size} such in all"
            raise DataError(f"{told}; prices must stay above 0: correct them")


def _check(source: str, returns: F8, names: list[str]) -> None:
    for name, column in zip(names, returns.T, strict=True):
        if np.ptp(column) == 0:
            raise DataError(f"{source}: {name} never moves; a constant series has no risk to margin: drop the column")
        wild = np.flatnonzero(np.abs(column) > 5)
        if wild.size:
            told = f"{source}: {name}: a log return of {column[wild[0]]:.4g} at return {wild[0]}"
            raise DataError(f"{told}; prices must stay above 0 and returns be logs, not percent: convert the column")
