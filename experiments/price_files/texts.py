"""Text files of prices: separators, optional headers, preambles, rows that do not fit."""

import io
import re
from typing import Any

import pandas as pd

from experiments.price_files.columns import CLOSE, HEADERLESS_NAMES, HIGH, LOW, OPEN
from sim.errors import DataError

PREAMBLE = re.compile(r"(https?:|#|sep=)", re.IGNORECASE)
"""Beginnings of lines before a header: address of CryptoDataDownload, comments, Excel's
separator.
"""

COMMA_NUMBERS = re.compile(r"[-+]?\d[\d.,' ]*")
"""Numbers with decimal commas or with separators of thousands."""

MONEY = re.compile(r"\s*[$€£¥]")

BARS = (OPEN, HIGH, LOW, CLOSE)


def read_text(source: str, text: str) -> pd.DataFrame:
    """Read a text file with commas, semicolons or tabs, with or without a header.

    Raises:
        DataError: it has no header and is of no known kind, or rows have more fields than the
            header.
    """
    lines = text.splitlines()
    start = next(
        (row for row, line in enumerate(lines) if line.strip() and not PREAMBLE.match(line)), 0
    )
    lines = lines[start:]
    head, below = (*lines[:2], "", "")[:2]
    mark = max(",;\t", key=head.count)
    fields = [field.strip().strip('"') for field in head.split(mark)]
    if _has_counted_names(fields):  # names by pandas for unnamed columns
        lines, fields = lines[1:], [field.strip() for field in below.split(mark)]
        if head.startswith(mark):
            lines, fields = [line.partition(mark)[2] for line in lines], fields[1:]
    text = "\n".join(lines)
    if _is_data_row(fields):
        return _read_headerless(source, text, mark, fields)
    if _has_two_headers(fields, below.split(mark), lines[2:3], mark):
        return _read_two_headers(text, mark)
    frame = pd.read_csv(io.StringIO(text), sep=mark)
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    return _read_overfull_rows(source, text, mark, frame)


def suggest_remedy(cell: Any) -> str:
    """Return the remedy for a cell that is not a number."""
    text = str(cell).strip()
    if MONEY.match(text):
        return "write it without the sign of a currency"
    if COMMA_NUMBERS.fullmatch(text):
        return (
            "write numbers with a decimal point and without separators of thousands, "
            "such as 1234.56"
        )
    return "correct it, or fill or drop the row"


def _has_counted_names(fields: list[str]) -> bool:
    """Return True if a header only counts the columns: 0, 1, 2, ..., perhaps after an empty
    name.
    """
    counted = [str(number) for number in range(len(fields))]
    return len(fields) > 1 and (fields == counted or fields == ["", *counted[:-1]])


def _is_data_row(fields: list[str]) -> bool:
    """Return True if a first line holds numbers, its first field a number or a time."""
    numbers = pd.to_numeric(pd.Series(fields[1:], dtype=object), errors="coerce")
    time = re.match(r"^\d{4,}|^\d{4}-\d\d-\d\d|^[-+]?\d*\.?\d+(e[-+]?\d+)?$", fields[0])
    return bool(fields and time and numbers.notna().all())


def _read_headerless(source: str, text: str, mark: str, fields: list[str]) -> pd.DataFrame:
    """Read rows without a header, named by the number of columns; a single column is the series."""
    names = ("series",) if len(fields) == 1 else HEADERLESS_NAMES.get(len(fields))
    if names is None or (len(fields) > 1 and not re.match(r"\d{4}", fields[0])):
        known = ", ".join(map(str, HEADERLESS_NAMES))
        problem = f"{len(fields)} columns ({', '.join(fields[:4])}) are not one of {known}"
        rule = "add a first line of names, such as date,close"
        raise DataError(f"{source}: no header, and {problem} that begin with a time: {rule}")
    frame = pd.read_csv(io.StringIO(text), sep=mark, header=None, names=list(names))
    if set(BARS) <= set(names):
        _check_order(source, frame, names)
    return frame


def _check_order(source: str, frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Refuse columns of bars in another order, such as those of Bitfinex, Coinbase and Gate."""
    prices = frame[list(BARS)].apply(pd.to_numeric, errors="coerce")
    wrong = (prices[HIGH] < prices.max(axis=1)) | (prices[LOW] > prices.min(axis=1))
    if wrong.mean() > 0.2:
        row = int(wrong.to_numpy().argmax())
        taken = f"no header, so columns are taken for {', '.join(names[:5])}"
        rule = "add a first line with the names in the file's order"
        raise DataError(
            f"{source}: row {row}: {taken}; the high is no high in {int(wrong.sum())} rows: {rule}"
        )


def _has_two_headers(fields: list[str], second: list[str], third: list[str], mark: str) -> bool:
    """Return True if names of prices and tickers are on two lines, as yfinance writes them."""
    if {fields[0], second[0].strip()} == {"Price", "Ticker"}:
        return True
    return (fields[0], second[0].strip()) == ("", "") and third[:1] in (
        [f"{name}{mark * (len(fields) - 1)}"] for name in ("Date", "Datetime")
    )


def _read_two_headers(text: str, mark: str) -> pd.DataFrame:
    """Read a file with two lines of names, and a third with that of the index."""
    frame = pd.read_csv(io.StringIO(text), sep=mark, header=[0, 1], index_col=0).reset_index(
        names="Date"
    )
    return frame[~frame["Date"].astype(str).isin(("Date", "Datetime"))]


def _read_overfull_rows(source: str, text: str, mark: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Read rows that end in one more mark than the header; refuse other surplus fields."""
    columns = frame.columns.size
    surplus = frame.iloc[:, -1].isna().all() and frame.index.nlevels == 1
    if surplus:
        return pd.read_csv(io.StringIO(text), sep=mark, index_col=False, usecols=range(columns))
    n_fields = columns + frame.index.nlevels
    rule = "name every column, or write decimals with a point if the commas are decimal"
    raise DataError(
        f"{source}: row 0: {n_fields} fields, where the header has {columns} names: {rule}"
    )
