"""Funding rates from files, filled into a configuration when it is loaded."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.columns import key
from experiments.tables import read_frame, refuse_several
from experiments.texts import remedy_of
from experiments.times import read_times
from sim.errors import DataError

TIMES = (
    *("time", "calctime", "fundingtime", "fundingratetimestamp", "timestamp", "datetime", "date", "seconds", "unix"),
    "effectiveat",
)
RATES = ("rate", "realizedrate", "fundingrate", "lastfundingrate", "funding")
"""Columns of Binance (calc_time, last_funding_rate), Bybit, OKX, ccxt, dYdX and plain files, the preferred first."""

KNOWN = {"time": TIMES, "rate": RATES}

DATES = (19000101, 21001231)
"""Numbers between these are dates such as 20080915, not seconds since the start."""


def read_rates(source: str) -> tuple[str, tuple[tuple[float, float], ...]]:
    """What times count from (``start`` or ``1970``), and (time, rate) of each row.

    Args:
        source: a CSV or Parquet file with a column of times (seconds since the start of the run, or any that
            ``read_times`` takes) and one of rates per payment, shares of notional.

    Raises:
        DataError: it cannot be read, a column is missing, a cell is wrong, or times do not ascend.
    """
    frame = read_frame(source)
    refuse_several(source, frame)
    names = [str(name) for name in frame.columns]
    found = {what: _preferred(source, names, what) for what in KNOWN}
    times, rates = frame[found["time"]], frame[found["rate"]]
    numbers = _numbers(source, *_shares(rates), "rate")
    if times.dtype.kind in "if" and (times < 1e8).all() and not times.between(DATES[0], DATES[1]).all():
        since, moments = "start", _numbers(source, times, times, "time")
    else:
        since = "1970"  # whole seconds: exchanges are some milliseconds late
        moments = read_times(source, times).exact.astype("datetime64[s]").astype(np.float64)
    if moments.size > 1 and (np.diff(moments) < 0).all():
        moments, numbers, times = moments[::-1], numbers[::-1], times.iloc[::-1]
    late = np.flatnonzero(np.diff(moments) <= 0)
    if not moments.size:
        raise DataError(f"{source}: 0 rows, at least one payment is needed: add rows")
    if late.size:
        row = int(late[0]) + 1
        told = f"{source}: row {times.index[row]}: time '{times.iloc[row]}' does not come after the one before"
        raise DataError(f"{told}: {'drop the repeat' if moments[row] == moments[row - 1] else 'sort the rows'}")
    return since, tuple((float(time), float(rate)) for time, rate in zip(moments, numbers, strict=True))


def _preferred(source: str, names: list[str], what: str) -> str:
    """The column of a time or a rate."""
    for word in KNOWN[what]:
        columns = [name for name in names if key(name) == word]
        if len(columns) == 1:
            return columns[0]
        if columns:
            told = f"{len(columns)} columns of {what}s ({', '.join(columns)})"
            raise DataError(f"{source}: {told}; one is needed: drop the others")
    raise DataError(f"{source}: no column of {what}s among {', '.join(names)}; one is needed: name it '{what}'")


def _shares(cells: "pd.Series[Any]") -> tuple[Any, Any]:
    """Rates as shares of notional, those in percent (0.0100%) divided by 100, and the cells they come from."""
    text = cells.astype(str).str.strip()
    if not text.str.endswith("%").all():
        return cells, cells
    return pd.to_numeric(text.str.removesuffix("%"), errors="coerce") / 100, cells


def _numbers(source: str, values: Any, cells: Any, name: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        cell = str(cells.iloc[wrong[0]])
        remedy = "write all rates in percent or none" if cell.strip().endswith("%") else remedy_of(cell)
        raise DataError(f"{source}: row {wrong[0]}: {name} '{cell}' is not a number: {remedy}")
    return numbers
