"""Files of prices as their sources write them: separators, headers, times, adjusted closes."""

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
"""Daily series that arch ships: US dollars or index points. wti and vix have closes only."""

MAX_ROW_COUNT = 100_000_000
"""Whole numbers below it number the rows where a column has no name; from it on they are times since 1970."""

SUFFIXES = (".csv", ".txt", ".parquet")


class PriceTable(NamedTuple):
    """Rows of a source, oldest first."""

    source: str
    times: Times  # (T,) datetime64[D] of days, [s] of shorter bars; (0,) without a column of times
    frame: pd.DataFrame  # as it was read, names stripped
    quotes: dict[str, str]  # open, high, low, close, adj close: the column of each that is there
    other_columns: tuple[
        str, ...
    ]  # columns that are neither times nor quotes, nor known to hold no price
    notes: tuple[str, ...]  # what a user should know of how it was read

    @property
    def has_times(self) -> bool:
        """Whether rows have times."""
        return bool(self.times.size)

    def read_numbers(self, column: str, name: str) -> F8:
        """A column as numbers, (T,), NaN where a cell is empty.

        Args:
            column: as the file names it.
            name: what an error message calls it.

        Raises:
            DataError: a cell is no number.
        """
        cells = self.frame[column]
        numbers = pd.to_numeric(cells, errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & cells.notna())
        if wrong.size:
            row = int(wrong[0])
            told = f"{self.source}: row {self.row_number(row)}: {name} '{cells.iloc[row]}' is not a number"
            raise DataError(f"{told}: {suggest_remedy(cells.iloc[row])}")
        return numbers.to_numpy(dtype=np.float64)

    def row_number(self, place: int) -> int:
        """The number that the file's own order gives a row."""
        return int(self.frame.index[place])


def read_table(source: str, *, need_times: bool = False) -> PriceTable:
    """The rows of a source, oldest first.

    Times may be called date, timestamp, open time and the like, and be written as ISO 8601, 20080915 or numbers since
    1970 (s, ms, us, ns). Bars that are written newest first are turned round.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv``, ``.txt`` or ``.parquet`` file.
        need_times: refuse a file without a column of times.

    Raises:
        DataError: no such source, it cannot be read, a column is there twice, or a cell is no time.
    """
    frame = _flatten_tickers(source, read_frame(source))
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    frame = frame.reset_index(drop=True)
    refuse_several_symbols(source, frame)
    names = list(frame.columns)
    found = find_quote_columns(names)
    for quote, columns in found.items():
        if len(columns) > 1:
            raise DataError(
                f"{source}: {len(columns)} columns named '{quote}' among {', '.join(names)}; one is needed: "
                "drop the others"
            )
    quotes = {quote: columns[0] for quote, columns in found.items()}
    times = _read_row_times(source, frame, need_times)
    left = [name for name in names if name not in quotes.values()]
    rest = tuple(name for name in left if not is_known_other(name, names))
    notes: tuple[str, ...] = ()
    if times.size > 1 and {OPEN, HIGH, LOW} <= set(quotes) and (times[1:] < times[:-1]).all():
        frame, times = frame.iloc[::-1], times[::-1]
        notes = (f"{source}: written newest first, read oldest first",)
    return PriceTable(source, times, frame, quotes, rest, notes)


def read_frame(source: str) -> pd.DataFrame:
    """What a source holds, as it is.

    Raises:
        DataError: no such source, or it cannot be read.
    """
    return (
        _read_packaged(source.removeprefix("arch:"))
        if source.startswith("arch:")
        else _read_file(source)
    )


def compute_adjustment(table: PriceTable) -> F8:
    """Adjusted over plain close, (T,): by what open, high, low and close are multiplied; ones without such a column.

    Raises:
        DataError: an adjusted close is not above 0.
    """
    if ADJUSTED not in table.quotes or CLOSE not in table.quotes:
        return np.ones(len(table.frame))
    adjusted, plain = (table.read_numbers(table.quotes[name], name) for name in (ADJUSTED, CLOSE))
    wrong = np.flatnonzero(~(np.isfinite(adjusted) & (adjusted > 0)) & np.isfinite(plain))
    if wrong.size:
        row = table.row_number(int(wrong[0]))
        told = (
            f"{table.source}: row {row}: adj close {adjusted[wrong[0]]:g} must be a price above 0"
        )
        raise DataError(f"{told}: correct it or drop the column")
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
        raise DataError(
            f"{source}: neither a .csv or .parquet file nor arch:NAME: convert the file or correct the name"
        )
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
        told = str(error).splitlines()[0]
        raise DataError(
            f"{source}: cannot be read ({told}): save it again as Parquet, or as CSV"
        ) from error
    except pd.errors.ParserError as error:
        told = str(error).splitlines()[0]
        raise DataError(
            f"{source}: cannot be read ({told}): remove lines that are not of the table"
        ) from error
    except (ValueError, OSError) as error:
        told = str(error).splitlines()[0]
        raise DataError(
            f"{source}: cannot be read ({told}): save it again, as a file that you may read"
        ) from error


def _index_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose index, which pandas stores beside the columns, is made columns unless it merely counts the rows."""
    index = frame.index
    if isinstance(index, pd.MultiIndex):
        return frame.reset_index()
    if isinstance(index, pd.RangeIndex) or (
        index.dtype.kind in "iu" and (index < MAX_ROW_COUNT).all()
    ):
        return frame
    return frame.reset_index(names="date" if index.name is None else str(index.name))


def _flatten_tickers(source: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose names have no second level of tickers; yfinance has it below or above the names of prices."""
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
        told = f"{source}: bars of {len(tickers)} tickers ({', '.join(tickers[:5])})"
        raise DataError(
            f"{told}; one at a time can be read: write a file of each, or one of closes only"
        )
    flat = frame.copy()
    flat.columns = pd.Index([name or other for name, other in zip(names, others, strict=True)])
    return flat


def refuse_several_symbols(source: str, frame: pd.DataFrame) -> None:
    """Refuse rows of several symbols below one another: their prices are no series."""
    for name in frame.columns:
        cells = frame[name]
        if (
            normalise_name(name) not in SYMBOL_NAMES
            or cells.isna().all()
            or cells.dtype.kind in "iuf"
        ):
            continue
        symbols = [str(each) for each in cells.dropna().unique()]
        if len(symbols) > 1:
            row = int(np.flatnonzero(cells.astype(str) != symbols[0])[0])
            told = f"{source}: row {row}: {name} '{cells.iloc[row]}' after '{symbols[0]}', {len(symbols)} in all"
            raise DataError(f"{told}; a file holds one series: write a file of each")


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
    told = ", ".join(names)
    if len(same) > 1:
        raise DataError(
            f"{source}: {len(same)} columns named 'date' among {told}; one is needed: drop the others"
        )
    if needed and not candidates:
        raise DataError(
            f"{source}: no column of times among {told}; one is needed: name it 'date', or add it"
        )
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
    """Whether a column merely numbers the rows."""
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
