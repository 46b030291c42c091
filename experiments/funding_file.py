"""Funding rates from files, filled into a configuration when it is loaded."""

from typing import Any

import numpy as np
import pandas as pd

from experiments.columns import key
from experiments.tables import read_frame, refuse_several
from experiments.times import read_times
from sim.errors import DataError

TIMES = ("time", "timestamp", "date", "datetime", "calctime", "fundingtime", "fundingratetimestamp", "seconds", "unix")
RATES = ("rate", "fundingrate", "lastfundingrate", "funding", "realizedrate")
"""Columns of Binance (calc_time, last_funding_rate), Bybit, OKX, ccxt and plain files."""

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
    found = {what: [name for name in names if key(name) in known] for what, known in (("time", TIMES), ("rate", RATES))}
    for what, columns in found.items():
        if len(columns) != 1:
            told = f"{source}: {len(columns)} columns of a {what} among {', '.join(names)}"
            raise DataError(f"{told}; one is needed: name it '{what}'")
    times, rates = frame[found["time"][0]], frame[found["rate"][0]]
    numbers = _numbers(source, rates, "rate")
    if times.dtype.kind in "if" and (times < 1e8).all() and not times.between(DATES[0], DATES[1]).all():
        since, moments = "start", _numbers(source, times, "time")
    else:
        since = "1970"
        moments = read_times(source, times).exact.astype("datetime64[ms]").astype(np.int64) / 1000.0
    late = np.flatnonzero(np.diff(moments) <= 0)
    if late.size:
        row = int(late[0]) + 1
        raise DataError(
            f"{source}: row {row}: time '{times.iloc[row]}' does not come after the one before: sort the rows"
        )
    return since, tuple((float(time), float(rate)) for time, rate in zip(moments, numbers, strict=True))


def _numbers(source: str, cells: Any, name: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if wrong.size:
        raise DataError(f"{source}: row {wrong[0]}: {name} '{cells.iloc[wrong[0]]}' is not a number: correct it")
    return numbers
