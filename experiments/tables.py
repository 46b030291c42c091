"""Files of prices as their sources write them: separators, headers, times, adjusted closes."""

import importlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments.columns import (
    ADJUSTED,
    CLOCK,
    CLOSE,
    HEADLESS,
    HIGH,
    LOW,
    OPEN,
    QUOTES,
    is_other,
    key,
    quotes_among,
    times_among,
)
from experiments.times import Times, as_rows, is_clock, read_times
from sim.errors import DataError, not_one_of
from sim.packaged import is_file
from sim.types import F8

PACKAGED = ("sp500", "nasdaq", "wti", "vix")
"""Daily series that arch ships: US dollars or index points. wti and vix have closes only."""

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
            raise DataError(f"{told}: correct it")
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
    names = list(frame.columns)
    found = quotes_among(names)
    for quote, columns in found.items():
        if len(columns) > 1:
            raise DataError(
                f"{source}: {len(columns)} columns named '{quote}' among {', '.join(names)}; one is needed: rename"
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
        frame = pd.read_parquet(path.absolute()) if path.suffix.lower() == ".parquet" else _separated(path)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{source}: cannot be read ({str(error).splitlines()[0]}): check the file") from error
    return frame.reset_index() if isinstance(frame.index, pd.DatetimeIndex) else frame


def _separated(path: Path) -> pd.DataFrame:
    """A text file with commas, semicolons or tabs, with or without a header."""
    text = path.read_text(encoding="utf-8-sig")
    head, _, below = text.partition("\n")
    if head.startswith("http"):  # CryptoDataDownload names itself first
        text, (head, _, below) = below, below.partition("\n")
    mark = max(",;\t", key=head.count)
    fields = [field.strip().strip('"') for field in head.split(mark)]
    names = HEADLESS.get(len(fields))
    if names is not None and _is_row(fields):
        return pd.read_csv(io.StringIO(text), sep=mark, header=None, names=list(names))
    if fields[0] == "Price" and below.startswith("Ticker"):  # yfinance: names, tickers, the name of the index
        frame = pd.read_csv(io.StringIO(text), sep=mark, header=[0, 1], index_col=0).reset_index(names="Date")
        return frame[frame["Date"].astype(str) != "Date"]
    return pd.read_csv(io.StringIO(text), sep=mark)


def _is_row(fields: list[str]) -> bool:
    """Whether a first line is one of numbers, its first field a time."""
    numbers = pd.to_numeric(pd.Series(fields[1:]), errors="coerce")
    return bool(numbers.notna().all() and pd.Series(fields[:1]).str.contains(r"^\d{4,}|^\d{4}-\d\d-\d\d").all())


def _single_ticker(source: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose names have no second level of tickers."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    tickers = sorted({str(lower) for _, lower, *_ in frame.columns if lower and not str(lower).startswith("Unnamed")})
    if len(tickers) > 1:
        told = f"{source}: bars of {len(tickers)} tickers ({', '.join(tickers[:5])})"
        raise DataError(f"{told}; one at a time can be read: write a file of each, or one of closes only")
    flat = frame.copy()
    flat.columns = pd.Index([str(upper) for upper, *_ in frame.columns])
    return flat


def _times(source: str, frame: pd.DataFrame, needed: bool) -> Times:
    names = list(frame.columns)
    candidates = times_among(names)
    unnamed = [name for name in names if key(name) == "unnamed0" and not _counts(frame[name])]
    candidates = candidates or unnamed
    same = [name for name in candidates if key(name) == "date"]
    if len(same) > 1 or (needed and not candidates):
        told = ", ".join(names)
        raise DataError(f"{source}: {len(same)} columns named 'date' among {told}; one is needed: rename")
    if not candidates:
        return np.empty(0, dtype="datetime64[D]")
    column = frame[candidates[0]]
    clocks = [name for name in candidates[1:] if key(name) == CLOCK and is_clock(frame[name])]
    clock = frame[clocks[0]] if clocks and key(candidates[0]) in ("date", "data") else None
    return as_rows(read_times(source, column, clock))


def _counts(column: "pd.Series[Any]") -> bool:
    """Whether a column merely numbers the rows."""
    return column.dtype.kind in "iu" and bool((column.to_numpy() < 100_000_000).all())


__all__ = ["CLOSE", "HIGH", "LOW", "OPEN", "QUOTES", "Table", "adjustment", "read_frame", "read_table"]
