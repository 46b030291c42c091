"""Files of prices as their sources write them: separators, headers, times, adjusted closes."""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.columns import (
    ADJUSTED,
    CLOCK,
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    QUOTES,
    SYMBOLS,
    is_other,
    key,
    quotes_among,
    times_among,
)
from experiments.texts import read_text, remedy_of
from experiments.times import Times, as_rows, is_clock, read_times
from sim.errors import DataError, not_one_of
from sim.packaged import is_file
from sim.types import F8

PACKAGED = ("sp500", "nasdaq", "wti", "vix")
"""Daily series that arch ships: US dollars or index points. wti and vix have closes only."""

COUNTS = 100_000_000
"""Whole numbers below it number the rows where a column has no name; from it on they are times since 1970."""

SUFFIXES = (".csv", ".txt", ".parquet")


class Table(NamedTuple):
    """Rows of a source, oldest first."""

    source: str
    times: Times  # (T,) datetime64[D] of days, [s] of shorter bars; (0,) without a column of times
    frame: pd.DataFrame  # as it was read, names stripped
    quotes: dict[str, str]  # open, high, low, close, adj close: the column of each that is there
    rest: tuple[str, ...]  # columns that are neither times nor quotes, nor known to hold no price
    notes: tuple[str, ...]  # what a user should know of how it was read

    @property
    def dated(self) -> bool:
        """Whether rows have times."""
        return bool(self.times.size)

    def numbers(self, column: str, name: str) -> F8:
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
            told = f"{self.source}: row {self.row(row)}: {name} '{cells.iloc[row]}' is not a number"
            raise DataError(f"{told}: {remedy_of(cells.iloc[row])}")
        return numbers.to_numpy(dtype=np.float64)

    def row(self, place: int) -> int:
        """The number that the file's own order gives a row."""
        return int(self.frame.index[place])


def read_table(source: str, *, need_times: bool = False) -> Table:
    """The rows of a source, oldest first.

    Times may be called date, timestamp, open time and the like, and be written as ISO 8601, 20080915 or numbers since
    1970 (s, ms, us, ns). Bars that are written newest first are turned round.

    Args:
        source: ``arch:NAME``, or the path of a ``.csv``, ``.txt`` or ``.parquet`` file.
        need_times: refuse a file without a column of times.

    Raises:
        DataError: no such source, it cannot be read, a column is there twice, or a cell is no time.
    """
    frame = _single_ticker(source, read_frame(source))
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    frame = frame.reset_index(drop=True)
    refuse_several(source, frame)
    names = list(frame.columns)
    found = quotes_among(names)
    for quote, columns in found.items():
        if len(columns) > 1:
            raise DataError(
                f"{source}: {len(columns)} columns named '{quote}' among {', '.join(names)}; one is needed: "
                "drop the others"
            )
    quotes = {quote: columns[0] for quote, columns in found.items()}
    times = _times(source, frame, need_times)
    left = [name for name in names if name not in quotes.values()]
    rest = tuple(name for name in left if not is_other(name, names))
    notes: tuple[str, ...] = ()
    if times.size > 1 and {OPEN, HIGH, LOW} <= set(quotes) and (times[1:] < times[:-1]).all():
        frame, times = frame.iloc[::-1], times[::-1]
        notes = (f"{source}: written newest first, read oldest first",)
    return Table(source, times, frame, quotes, rest, notes)


def read_frame(source: str) -> pd.DataFrame:
    """What a source holds, as it is.

    Raises:
        DataError: no such source, or it cannot be read.
    """
    return _packaged(source.removeprefix("arch:")) if source.startswith("arch:") else _file(source)


def adjustment(table: Table) -> F8:
    """Adjusted over plain close, (T,): by what open, high, low and close are multiplied; ones without such a column.

    Raises:
        DataError: an adjusted close is not above 0.
    """
    if ADJUSTED not in table.quotes or CLOSE not in table.quotes:
        return np.ones(len(table.frame))
    adjusted, plain = (table.numbers(table.quotes[name], name) for name in (ADJUSTED, CLOSE))
    wrong = np.flatnonzero(~(np.isfinite(adjusted) & (adjusted > 0)) & np.isfinite(plain))
    if wrong.size:
        row = table.row(int(wrong[0]))
        told = f"{table.source}: row {row}: adj close {adjusted[wrong[0]]:g} must be a price above 0"
        raise DataError(f"{told}: correct it or drop the column")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: F8 = np.where(adjusted == plain, 1.0, adjusted / plain)
    return ratio


def _packaged(name: str) -> pd.DataFrame:
    if name not in PACKAGED:
        raise DataError(f"arch:{name}: {not_one_of(name, PACKAGED)}")
    frame: pd.DataFrame = importlib.import_module(f"arch.data.{name}").load().dropna(how="all")
    if frame.shape[1] == 1:
        frame.columns = pd.Index(["close"])
    return frame.rename_axis("date").reset_index()


def _file(source: str) -> pd.DataFrame:
    path = Path(source)
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{source}: neither a .csv or .parquet file nor arch:NAME: convert the file or correct the name"
        )
    if not is_file(path):
        raise DataError(f"{source}: no such file (looked in {path.parent}): correct the path")
    try:
        if path.suffix.lower() == ".parquet":
            return _with_index(pd.read_parquet(path.absolute()))
        return read_text(source, path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: cannot be read ({error}): save the file as UTF-8") from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{source}: is empty, a header and rows are needed: save it again") from error
    except pa.ArrowException as error:
        told = str(error).splitlines()[0]
        raise DataError(f"{source}: cannot be read ({told}): save it again as Parquet, or as CSV") from error
    except pd.errors.ParserError as error:
        told = str(error).splitlines()[0]
        raise DataError(f"{source}: cannot be read ({told}): remove lines that are not of the table") from error
    except (ValueError, OSError) as error:
        told = str(error).splitlines()[0]
        raise DataError(f"{source}: cannot be read ({told}): save it again, as a file that you may read") from error


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose index, which pandas stores beside the columns, is made columns unless it merely counts the rows."""
    index = frame.index
    if isinstance(index, pd.MultiIndex):
        return frame.reset_index()
    if isinstance(index, pd.RangeIndex) or (index.dtype.kind in "iu" and (index < COUNTS).all()):
        return frame
    return frame.reset_index(names="date" if index.name is None else str(index.name))


def _single_ticker(source: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose names have no second level of tickers; yfinance has it below or above the names of prices."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    levels = [[str(name) for name in frame.columns.get_level_values(level)] for level in (0, 1)]
    names, others = sorted(levels, key=lambda level: -len(quotes_among(level)))
    tickers = sorted({name for name in others if name and not name.startswith("Unnamed") and key(name) != "date"})
    if len(tickers) > 1:
        told = f"{source}: bars of {len(tickers)} tickers ({', '.join(tickers[:5])})"
        raise DataError(f"{told}; one at a time can be read: write a file of each, or one of closes only")
    flat = frame.copy()
    flat.columns = pd.Index([name or other for name, other in zip(names, others, strict=True)])
    return flat


def refuse_several(source: str, frame: pd.DataFrame) -> None:
    """Refuse rows of several symbols below one another: their prices are no series."""
    for name in frame.columns:
        cells = frame[name]
        if key(name) not in SYMBOLS or cells.isna().all() or cells.dtype.kind in "iuf":
            continue
        symbols = [str(each) for each in cells.dropna().unique()]
        if len(symbols) > 1:
            row = int(np.flatnonzero(cells.astype(str) != symbols[0])[0])
            told = f"{source}: row {row}: {name} '{cells.iloc[row]}' after '{symbols[0]}', {len(symbols)} in all"
            raise DataError(f"{told}; a file holds one series: write a file of each")


def _times(source: str, frame: pd.DataFrame, needed: bool) -> Times:
    names = list(frame.columns)
    candidates = times_among(names)
    unnamed = [name for name in names if key(name) == "unnamed0" and not _counts(frame[name])]
    candidates = candidates or unnamed
    same = [name for name in candidates if key(name) == "date"]
    told = ", ".join(names)
    if len(same) > 1:
        raise DataError(f"{source}: {len(same)} columns named 'date' among {told}; one is needed: drop the others")
    if needed and not candidates:
        raise DataError(f"{source}: no column of times among {told}; one is needed: name it 'date', or add it")
    if not candidates:
        return np.empty(0, dtype="datetime64[D]")
    column = frame[candidates[0]]
    clocks = [name for name in candidates[1:] if key(name) == CLOCK and is_clock(frame[name])]
    clock = frame[clocks[0]] if clocks and key(candidates[0]) in ("date", "data") else None
    return as_rows(read_times(source, column, clock))


def _counts(column: "pd.Series[Any]") -> bool:
    """Whether a column merely numbers the rows."""
    return column.dtype.kind in "iu" and bool((column.to_numpy() < COUNTS).all())


__all__ = [
    "CLOSE",
    "HIGH",
    "LOW",
    "OPEN",
    "QUOTES",
    "Table",
    "adjustment",
    "read_frame",
    "read_table",
    "refuse_several",
]
