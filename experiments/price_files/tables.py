"""Price files as their sources write them: separators, headers, times, adjusted closes."""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.price_files.columns import (
    ADJUSTED,
    CLOCK_NAME,
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTES,
    SYMBOL_NAMES,
    find_quote_columns,
    find_time_columns,
    is_known_other,
    normalise_name,
)
from experiments.price_files.texts import read_text, suggest_remedy
from experiments.price_files.times import Times, choose_row_times, is_clock, read_times
from sim.errors import DataError, describe_unknown
from sim.reading.packaged import is_file
from sim.types import F8

PACKAGED = ("sp500", "nasdaq", "wti", "vix")
"""Daily series packaged by arch: US dollars or index points. wti and vix have closes only."""

MAX_ROW_COUNT = 100_000_000
"""Limit below which whole numbers without a column name count rows; above, they are times."""

SUFFIXES = (".csv", ".txt", ".parquet")


class PriceTable(NamedTuple):
    """Rows of a source, oldest first."""

    source: str
    times: Times  # (T,) datetime64[D] of days, [s] of shorter bars; (0,) without a column of times
    frame: pd.DataFrame  # as read, with names stripped
    quotes: dict[str, str]  # open, high, low, close, adj close: column of each that is present
    # columns that are neither times nor quotes, nor known to hold no price
    other_columns: tuple[str, ...]
    notes: tuple[str, ...]  # notices about how the file was read

    @property
    def has_times(self) -> bool:
        """True if rows have times."""
        return bool(self.times.size)

    def read_numbers(self, column: str, name: str) -> F8:
        """Return a column as numbers (T,), nan for empty cells.

        Args:
            column: name in the file.
            name: name in error messages.

        Raises:
            DataError: a cell is not a number.
        """
        cells = self.frame[column]
        numbers = pd.to_numeric(cells, errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & cells.notna())
        if wrong.size:
            row = int(wrong[0])
            cell = cells.iloc[row]
            place = f"{self.source}: row {self.row_number(row)}"
            raise DataError(f"{place}: {name} '{cell}' is not a number: {suggest_remedy(cell)}")
        return numbers.to_numpy(dtype=np.float64)

    def row_number(self, place: int) -> int:
        """Return the number of a row in the file's own order."""
        return int(self.frame.index[place])


def read_table(source: str, *, need_times: bool = False) -> PriceTable:
    """Read the rows of a source, oldest first.

    Times may be named date, timestamp, open time and the like. They may be ISO 8601, 20080915 or
    numbers since 1970 (s, ms, us, ns). Bars that are written newest first are reversed.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv``, ``.txt`` or ``.parquet`` file.
        need_times: refuse a file without a column of times.

    Raises:
        DataError: no such source, it cannot be read, a column occurs twice, or a cell is not a
            time.
    """
    frame = _flatten_tickers(source, read_frame(source))
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    frame = frame.reset_index(drop=True)
    refuse_several_symbols(source, frame)
    names = list(frame.columns)
    quotes = _find_quotes(source, names)
    times = _read_row_times(source, frame, need_times)
    left = [name for name in names if name not in quotes.values()]
    rest = tuple(name for name in left if not is_known_other(name, names))
    notes: tuple[str, ...] = ()
    if times.size > 1 and {OPEN, HIGH, LOW} <= set(quotes) and (times[1:] < times[:-1]).all():
        frame, times = frame.iloc[::-1], times[::-1]
        notes = (f"{source}: written newest first, read oldest first",)
    return PriceTable(source, times, frame, quotes, rest, notes)


def read_frame(source: str) -> pd.DataFrame:
    """Read the content of a source, unchanged.

    Raises:
        DataError: no such source, or it cannot be read.
    """
    if source.startswith("arch:"):
        return _read_packaged(source.removeprefix("arch:"))
    return _read_file(source)


def _find_quotes(source: str, names: list[str]) -> dict[str, str]:
    """Return the column of each quote.

    Raises:
        DataError: a quote has several columns.
    """
    quotes = {}
    for quote, columns in find_quote_columns(names).items():
        if len(columns) > 1:
            problem = f"{len(columns)} columns named '{quote}' among {', '.join(names)}"
            raise DataError(f"{source}: {problem}; one is needed: drop the others")
        quotes[quote] = columns[0]
    return quotes


def compute_adjustment(table: PriceTable) -> F8:
    """Return adjusted over plain close (T,), the factor of all prices; ones without such a column.

    Raises:
        DataError: an adjusted close is not above 0.
    """
    if ADJUSTED not in table.quotes or CLOSE not in table.quotes:
        return np.ones(len(table.frame))
    adjusted, plain = (table.read_numbers(table.quotes[name], name) for name in (ADJUSTED, CLOSE))
    wrong = np.flatnonzero(~(np.isfinite(adjusted) & (adjusted > 0)) & np.isfinite(plain))
    if wrong.size:
        row, price = table.row_number(int(wrong[0])), adjusted[wrong[0]]
        problem = f"{table.source}: row {row}: adj close {price:g} must be a price above 0"
        raise DataError(f"{problem}: correct it or drop the column")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: F8 = np.where(adjusted == plain, 1.0, adjusted / plain)
    return ratio


def _read_packaged(name: str) -> pd.DataFrame:
    if name not in PACKAGED:
        raise DataError(f"arch:{name}: {describe_unknown(name, PACKAGED)}")
    frame: pd.DataFrame = importlib.import_module(f"arch.data.{name}").load().dropna(how="all")
    if frame.shape[1] == 1:
        frame.columns = pd.Index(["close"])
    return frame.rename_axis("date").reset_index()


def _read_file(source: str) -> pd.DataFrame:
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES:
        rule = "convert the file or correct the name"
        raise DataError(f"{source}: neither a .csv or .parquet file nor arch:NAME: {rule}")
    if not is_file(path):
        raise DataError(f"{source}: no such file (looked in {path.parent}): correct the path")
    try:
        if path.suffix.lower() == ".parquet":
            return _index_to_columns(pd.read_parquet(path.absolute()))
        return read_text(source, path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: cannot be read ({error}): save the file as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(
            f"{source}: is empty, a header and rows are needed: save it again"
        ) from error
    except pa.ArrowException as error:
        raise _unreadable(source, error, "save it again as Parquet, or as CSV") from error
    except pd.errors.ParserError as error:
        raise _unreadable(source, error, "remove lines that are not of the table") from error
    except (ValueError, OSError) as error:
        raise _unreadable(source, error, "save it again, as a file that you may read") from error


def _unreadable(source: str, error: Exception, remedy: str) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(f"{source}: cannot be read ({reason}): {remedy}")


def _index_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn an index that pandas stores beside the columns into columns, unless it counts the
    rows.
    """
    index = frame.index
    if isinstance(index, pd.MultiIndex):
        return frame.reset_index()
    if isinstance(index, pd.RangeIndex) or (
        index.dtype.kind in "iu" and (index < MAX_ROW_COUNT).all()
    ):
        return frame
    return frame.reset_index(names="date" if index.name is None else str(index.name))


def _flatten_tickers(source: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Remove the second level of names, the tickers of yfinance, from the columns."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    levels = [[str(name) for name in frame.columns.get_level_values(level)] for level in (0, 1)]
    names, others = sorted(levels, key=lambda level: -len(find_quote_columns(level)))
    tickers = sorted(
        {
            name
            for name in others
            if name and not name.startswith("Unnamed") and normalise_name(name) != "date"
        }
    )
    if len(tickers) > 1:
        problem = f"{source}: bars of {len(tickers)} tickers ({', '.join(tickers[:5])})"
        rule = "one at a time can be read: write a file of each, or one of closes only"
        raise DataError(f"{problem}; {rule}")
    flat = frame.copy()
    flat.columns = pd.Index([name or other for name, other in zip(names, others, strict=True)])
    return flat


def refuse_several_symbols(source: str, frame: pd.DataFrame) -> None:
    """Refuse rows of several symbols, because their prices do not form one series."""
    for name in frame.columns:
        cells = frame[name]
        is_symbol = normalise_name(name) in SYMBOL_NAMES
        if not is_symbol or cells.isna().all() or cells.dtype.kind in "iuf":
            continue
        symbols = [str(symbol) for symbol in cells.dropna().unique()]
        if len(symbols) > 1:
            row = int(np.flatnonzero(cells.astype(str) != symbols[0])[0])
            problem = f"{name} '{cells.iloc[row]}' after '{symbols[0]}', {len(symbols)} in all"
            rule = "a file holds one series: write a file of each"
            raise DataError(f"{source}: row {row}: {problem}; {rule}")


def _read_row_times(source: str, frame: pd.DataFrame, needed: bool) -> Times:
    names = list(frame.columns)
    candidates = find_time_columns(names)
    unnamed = [
        name
        for name in names
        if normalise_name(name) == "unnamed0" and not _is_row_count(frame[name])
    ]
    candidates = candidates or unnamed
    same = [name for name in candidates if normalise_name(name) == "date"]
    known = ", ".join(names)
    if len(same) > 1:
        problem = f"{len(same)} columns named 'date' among {known}"
        raise DataError(f"{source}: {problem}; one is needed: drop the others")
    if needed and not candidates:
        problem = f"no column of times among {known}"
        raise DataError(f"{source}: {problem}; one is needed: name it 'date', or add it")
    if not candidates:
        return np.empty(0, dtype="datetime64[D]")
    column = frame[candidates[0]]
    clocks = [
        name
        for name in candidates[1:]
        if normalise_name(name) == CLOCK_NAME and is_clock(frame[name])
    ]
    clock = (
        frame[clocks[0]] if clocks and normalise_name(candidates[0]) in ("date", "data") else None
    )
    return choose_row_times(read_times(source, column, clock))


def _is_row_count(column: "pd.Series[Any]") -> bool:
    """Return True if a column only numbers the rows."""
    return column.dtype.kind in "iu" and bool((column.to_numpy() < MAX_ROW_COUNT).all())


__all__ = [
    "CLOSE",
    "HIGH",
    "LOW",
    "OPEN",
    "QUOTES",
    "PriceTable",
    "compute_adjustment",
    "read_frame",
    "read_table",
    "refuse_several_symbols",
]
