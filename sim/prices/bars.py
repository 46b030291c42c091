"""Bars as a replay needs them, of days or shorter: read elsewhere, checked here, handed over as arrays."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError
from sim.types import B1, F8, I8

Days = NDArray[np.datetime64]

DAY = 86_400.0
"""Length of a daily bar (s)."""


class Bars(NamedTuple):
    """D bars of one underlying, oldest first; prices in quote currency.

    ``open``, ``high`` and ``low`` are all NaN where the source has closes only.
    """

    day: Days  # (D,) datetime64[D], or [s] the beginning of a shorter bar; strictly increasing
    open: F8  # (D,)
    high: F8  # (D,)
    low: F8  # (D,)
    close: F8  # (D,)
    digest: str  # sha256 of the days and prices
    length: float = DAY  # of a bar (s); a day's is what the process says of it

    @property
    def intraday(self) -> bool:
        """Whether bars are shorter than a day."""
        return self.length < DAY

    @property
    def weekends(self) -> bool:
        """Whether any bar is of a Saturday: the market trades on all days of the week."""
        return has_saturdays(self.day)

    @property
    def open_time(self) -> float:
        """Time of a usual day that has bars (s): the median number of bars of a date, times their length.

        The first and the last date, which a file may hold in part, count where there are no others; of two the longer.
        """
        _, counts = np.unique(self.day.astype("datetime64[D]"), return_counts=True)
        return float(np.median(counts[1:-1]) if counts.size > 2 else counts.max()) * self.length

    @property
    def ranged(self) -> bool:
        """Whether opens, highs and lows are known."""
        return not bool(np.isnan(self.open[0]))

    def take(self, days: Days) -> "Bars":
        """The bars of some of the days, with the digest of what is left."""
        keep = np.isin(self.day, days)
        prices = np.stack([self.open, self.high, self.low, self.close], axis=1)
        return _bars(self.day[keep], prices[keep], self.length)


def has_saturdays(times: Days) -> bool:
    """Whether any of some times is of a Saturday."""
    weekday = (times.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 0 = Monday; 1970 began on a Thursday
    return bool((weekday == 5).any())


def validated(source: str, day: Days, prices: F8, length: float = DAY, rows: I8 | None = None) -> Bars:
    """Bars from ``prices`` (D, 4): open, high, low, close; the first three all NaN for closes only.

    Args:
        source: what an error message calls the data.
        day: (D,) dates, or the beginnings of shorter bars.
        prices: (D, 4) quote currency.
        length: of a bar (s).
        rows: (D,) numbers of the rows in the source, for messages; none = 0, 1, 2 and so on.

    Raises:
        DataError: on the first value that breaks a rule, named with its row, the rule and the remedy.
    """
    day = day.astype("datetime64[D]" if length >= DAY else "datetime64[s]")
    rows = np.arange(day.size) if rows is None else rows
    prices = np.ascontiguousarray(prices, dtype=np.float64)
    if day.size == 0:
        raise DataError(f"{source}: 0 rows, at least one day is needed: widen start and end or check the file")
    bars = _bars(day, prices, length)
    _check_days(source, day, rows)

    def refuse(name: str, wrong: B1, rule: str) -> None:
        places = np.flatnonzero(wrong)
        if places.size:
            place = int(places[0])
            value = float(getattr(bars, name)[place])
            raise DataError(f"{source}: row {rows[place]} ({day[place]}): {name} {value!r} must be {rule}")

    for name in ("close",) if np.isnan(prices[:, :3]).all() else ("open", "high", "low", "close"):
        column: F8 = getattr(bars, name)
        refuse(name, ~(np.isfinite(column) & (column > 0)), "a price above 0: fill or drop the row")
    refuse("high", bars.high < np.maximum(bars.open, bars.close), "at least open and close: correct it")
    refuse("high", bars.high < bars.low, "at least the low: correct it")
    refuse("low", bars.low > np.minimum(bars.open, bars.close), "at most open and close: correct it")
    return bars


def common(bars: Mapping[str, Bars]) -> dict[str, Bars]:
    """The same bars on the days (or moments) that all of them have.

    Raises:
        DataError: no day is in all of them, or their bars differ in length.
    """
    if len({series.length for series in bars.values()}) > 1:
        told = ", ".join(f"{name} {series.length:g} s" for name, series in bars.items())
        raise DataError(f"replay: bars differ in length ({told}); replays of one run need the same: convert one file")
    shared: Days | None = None
    for series in bars.values():
        shared = series.day if shared is None else np.intersect1d(shared, series.day, assume_unique=True)
    if shared is not None and shared.size == 0:
        spans = ", ".join(f"{name} {series.day[0]} to {series.day[-1]}" for name, series in bars.items())
        raise DataError(f"replay: no day is in all of {spans}; replays need common days: choose overlapping dates")
    return {name: series if shared is None else series.take(shared) for name, series in bars.items()}


def _bars(day: Days, prices: F8, length: float) -> Bars:
    """The record and its digest; canonical NaN so that equal bars have equal digests."""
    prices = np.where(np.isnan(prices), np.nan, prices)
    digest = hashlib.sha256(day.astype(np.int64).tobytes() + prices.tobytes()).hexdigest()
    first, highest, lowest, last = (np.ascontiguousarray(column) for column in prices.T)
    return Bars(day, first, highest, lowest, last, digest, length)


def _check_days(source: str, day: Days, rows: I8) -> None:
    late = np.flatnonzero(np.isnat(day))
    if late.size:
        told = f"{source}: row {rows[late[0]]}: the date is missing"
        raise DataError(f"{told}; every row needs one: fill or drop the row")
    late = np.flatnonzero(day[1:] <= day[:-1])
    if late.size:
        row = int(late[0]) + 1
        if day[row] == day[row - 1]:
            how = "repeats the row before"
            remedy = "drop the repeat, or write times of day with the dates if bars are shorter than a day"
        else:
            how, remedy = f"stands after {day[row - 1]}", "sort the rows"
        raise DataError(f"{source}: row {rows[row]}: {day[row]} {how}; days must increase: {remedy}")
