"""Funding rates from files, filled into a configuration when it is loaded."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.price_files.columns import normalise_name
from experiments.price_files.tables import read_frame, refuse_several_symbols
from experiments.price_files.texts import suggest_remedy
from experiments.price_files.times import read_times
from sim.errors import DataError
from sim.types import F8

TIMES = (
    *(
        "time",
        "calctime",
        "fundingtime",
        "fundingratetimestamp",
        "timestamp",
        "datetime",
        "date",
        "seconds",
        "unix",
    ),
    "effectiveat",
)
RATES = ("rate", "realizedrate", "fundingrate", "lastfundingrate", "funding")
"""Columns of Binance, Bybit, OKX, ccxt, dYdX and plain files, the preferred first.

Binance calls them calc_time and last_funding_rate.
"""

KNOWN_COLUMNS = {"time": TIMES, "rate": RATES}

DATES = (19000101, 21001231)
"""Range of numbers that are dates such as 20080915, not seconds since the start."""


def read_funding_rates(source: str) -> tuple[str, tuple[tuple[float, float], ...]]:
    """Read funding rates of a file.

    Args:
        source: a CSV or Parquet file with a column of times and one of rates. Times are seconds
            since the start of the run, or any that ``read_times`` accepts. Rates are per payment,
            as shares of notional.

    Returns:
        Origin of the times (``start`` or ``1970``), and (time, rate) of each row.

    Raises:
        DataError: it cannot be read, a column is missing, a cell is wrong, or times do not ascend.
    """
    frame = read_frame(source)
    refuse_several_symbols(source, frame)
    names = [str(name) for name in frame.columns]
    columns = {kind: _find_column(source, names, kind) for kind in KNOWN_COLUMNS}
    times, rates = frame[columns["time"]], frame[columns["rate"]]
    numbers = _read_numbers(source, *_parse_percentages(rates), "rate")
    since, moments = _read_moments(source, times)
    if moments.size > 1 and (np.diff(moments) < 0).all():
        moments, numbers, times = moments[::-1], numbers[::-1], times.iloc[::-1]
    if not moments.size:
        raise DataError(f"{source}: 0 rows, at least one payment is needed: add rows")
    _check_order(source, times, moments)
    pairs = zip(moments.tolist(), numbers.tolist(), strict=True)
    return since, tuple(pairs)


def _check_order(source: str, times: "pd.Series[Any]", moments: F8) -> None:
    """Refuse times that do not ascend.

    Raises:
        DataError: names the first such row.
    """
    late = np.flatnonzero(np.diff(moments) <= 0)
    if late.size:
        row = int(late[0]) + 1
        place = f"{source}: row {times.index[row]}"
        remedy = "drop the repeat" if moments[row] == moments[row - 1] else "sort the rows"
        raise DataError(
            f"{place}: time '{times.iloc[row]}' does not come after the one before: {remedy}"
        )


def _read_moments(source: str, times: "pd.Series[Any]") -> tuple[str, F8]:
    """Return the origin of times and their seconds; whole ones since 1970.

    Exchanges are some milliseconds late.
    """
    is_number = times.dtype.kind in "if"
    if is_number and (times < 1e8).all() and not times.between(DATES[0], DATES[1]).all():
        return "start", _read_numbers(source, times, times, "time")
    exact = read_times(source, times).exact
    return "1970", exact.astype("datetime64[s]").astype(np.float64)


def _find_column(source: str, names: list[str], what: str) -> str:
    """Return the column of a time or a rate."""
    for word in KNOWN_COLUMNS[what]:
        columns = [name for name in names if normalise_name(name) == word]
        if len(columns) == 1:
            return columns[0]
        if columns:
            problem = f"{len(columns)} columns of {what}s ({', '.join(columns)})"
            raise DataError(f"{source}: {problem}; one is needed: drop the others")
    raise DataError(
        f"{source}: no column of {what}s among {', '.join(names)}; one is needed: name it '{what}'"
    )


def _parse_percentages(cells: "pd.Series[Any]") -> tuple[Any, Any]:
    """Return rates as shares of notional, percentages (0.0100%) divided by 100, and their cells."""
    text = cells.astype(str).str.strip()
    if not text.str.endswith("%").all():
        return cells, cells
    return pd.to_numeric(text.str.removesuffix("%"), errors="coerce") / 100, cells


def _read_numbers(source: str, values: Any, cells: Any, name: str) -> F8:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        cell = str(cells.iloc[wrong[0]])
        remedy = (
            "write all rates in percent or none"
            if cell.strip().endswith("%")
            else suggest_remedy(cell)
        )
        raise DataError(f"{source}: row {wrong[0]}: {name} '{cell}' is not a number: {remedy}")
    return numbers
