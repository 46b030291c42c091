"""Daily bars as a replay needs them: read elsewhere, checked here, handed over as arrays."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError
from sim.types import B1, F8

Days = NDArray[np.datetime64]


class Bars(NamedTuple):
    """D days of one underlying, oldest first; prices in quote currency.

    ``open``, ``high`` and ``low`` are all NaN where the source has closes only.
    """

    day: Days  # (D,) datetime64[D], strictly increasing
    open: F8  # (D,)
    high: F8  # (D,)
    low: F8  # (D,)
    close: F8  # (D,)
    digest: str  # sha256 of the days and prices

    @property
    def ranged(self) -> bool:
        """Whether opens, highs and lows are known."""
        return not bool(np.isnan(self.open[0]))

    def take(self, days: Days) -> "Bars":
        """The bars of some of the days, with the digest of what is left."""
        keep = np.isin(self.day, days)
        return _bars(self.day[keep], np.stack([self.open, self.high, self.low, self.close], axis=1)[keep])


def validated(source: str, day: Days, prices: F8) -> Bars:
    """Bars from ``prices`` (D, 4): open, high, low, close; the first three all NaN for closes only.

    Args:
        source: what an error message calls the data.
        day: (D,) dates.
        prices: (D, 4) quote currency.

    Raises:
        DataError: on the first value that breaks a rule, named with its row, the rule and the remedy.
    """
    day = day.astype("datetime64[D]")
    prices = np.ascontiguousarray(prices, dtype=np.float64)
    if day.size == 0:
        raise DataError(f"{source}: 0 rows, at least one day is needed: widen start and end or check the file")
    bars = _bars(day, prices)
    _check_days(source, day)
    for name in ("close",) if np.isnan(prices[:, :3]).all() else ("open", "high", "low", "close"):
        column: F8 = getattr(bars, name)
        _refuse(source, bars, name, ~(np.isfinite(column) & (column > 0)), "a price above 0: fill or drop the row")
    _refuse(source, bars, "high", bars.high < np.maximum(bars.open, bars.close), "at least open and close: correct it")
    _refuse(source, bars, "high", bars.high < bars.low, "at least the low: correct it")
    _refuse(source, bars, "low", bars.low > np.minimum(bars.open, bars.close), "at most open and close: correct it")
    return bars


def common(bars: Mapping[str, Bars]) -> dict[str, Bars]:
    """The same bars on the days that all of them have.

    Raises:
        DataError: no day is in all of them.
    """
    shared: Days | None = None
    for series in bars.values():
        shared = series.day if shared is None else np.intersect1d(shared, series.day, assume_unique=True)
    if shared is not None and shared.size == 0:
        spans = ", ".join(f"{name} {series.day[0]} to {series.day[-1]}" for name, series in bars.items())
        raise DataError(f"replay: no day is in all of {spans}; replays need common days: choose overlapping dates")
    return {name: series if shared is None else series.take(shared) for name, series in bars.items()}


def _bars(day: Days, prices: F8) -> Bars:
    """The record and its digest; canonical NaN so that equal bars have equal digests."""
    prices = np.where(np.isnan(prices), np.nan, prices)
    digest = hashlib.sha256(day.astype(np.int64).tobytes() + prices.tobytes()).hexdigest()
    first, highest, lowest, last = (np.ascontiguousarray(column) for column in prices.T)
    return Bars(day, first, highest, lowest, last, digest)


def _check_days(source: str, day: Days) -> None:
    late = np.flatnonzero(np.isnat(day))
    if late.size:
        raise DataError(f"{source}: row {late[0]}: the date is missing; every row needs one: fill or drop the row")
    late = np.flatnonzero(day[1:] <= day[:-1])
    if late.size:
        row = int(late[0]) + 1
        how = "repeats" if day[row] == day[row - 1] else "comes after"
        raise DataError(f"{source}: row {row}: {day[row]} {how} {day[row - 1]}; days must increase: sort, drop repeats")


def _refuse(source: str, bars: Bars, name: str, wrong: B1, rule: str) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        row = int(rows[0])
        value = float(getattr(bars, name)[row])
        raise DataError(f"{source}: row {row} ({bars.day[row]}): {name} {value!r} must be {rule}")
