"""Bars for a replay, of days or shorter: read elsewhere, checked here, passed on as arrays."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import DataError
from sim.types import B1, F8, I8

Dates = NDArray[np.datetime64]

DAY_SECONDS = 86_400.0
"""Length of a daily bar (s)."""


class Bars(NamedTuple):
    """Bars of one underlying, oldest first, (D,); prices in quote currency.

    ``open``, ``high`` and ``low`` are all NaN if the source has closes only.
    """

    day: Dates  # (D,) datetime64[D], or [s] at the start of shorter bars; strictly increasing
    open: F8  # (D,)
    high: F8  # (D,)
    low: F8  # (D,)
    close: F8  # (D,)
    digest: str  # sha256 of the days and prices
    length: float = DAY_SECONDS  # of a bar (s); the process defines that of a day

    @property
    def is_intraday(self) -> bool:
        """Return whether bars are shorter than a day."""
        return self.length < DAY_SECONDS

    @property
    def has_weekends(self) -> bool:
        """Return whether any bar is of a Saturday: the market then trades every day."""
        return has_saturdays(self.day)

    @property
    def open_time(self) -> float:
        """Return the time of a usual day that has bars (s).

        It is the median number of bars of a date, times their length. A file may hold the first and
        the last date in part. They count only if there are no others, and of two the longer one
        counts.
        """
        _, counts = np.unique(self.day.astype("datetime64[D]"), return_counts=True)
        return float(np.median(counts[1:-1]) if counts.size > 2 else counts.max()) * self.length

    @property
    def has_ranges(self) -> bool:
        """Return whether opens, highs and lows are known."""
        return not bool(np.isnan(self.open[0]))

    def take(self, days: Dates) -> "Bars":
        """Return the bars of some of the days, with a new digest."""
        keep = np.isin(self.day, days)
        prices = np.stack([self.open, self.high, self.low, self.close], axis=1)
        return _make_bars(self.day[keep], prices[keep], self.length)


def has_saturdays(times: Dates) -> bool:
    """Return whether any of some times is of a Saturday."""
    # 0 = Monday; 1970 began on a Thursday
    weekday = (times.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return bool((weekday == 5).any())


def validate_bars(
    source: str, day: Dates, prices: F8, length: float = DAY_SECONDS, rows: I8 | None = None
) -> Bars:
    """Return checked bars from ``prices`` (D, 4): open, high, low, close.

    The first three columns are all NaN if the data have closes only.

    Args:
        source: name of the data in messages.
        day: (D,) dates, or the beginnings of shorter bars.
        prices: (D, 4) quote currency.
        length: length of a bar (s).
        rows: (D,) numbers of the rows in the source, for messages; none = 0, 1, 2, ...

    Raises:
        DataError: a value breaks a rule. The message has its row, the rule and the remedy.
    """
    day = day.astype("datetime64[D]" if length >= DAY_SECONDS else "datetime64[s]")
    rows = np.arange(day.size) if rows is None else rows
    prices = np.ascontiguousarray(prices, dtype=np.float64)
    if day.size == 0:
        raise DataError(
            f"{source}: 0 rows, at least one day is needed: widen start and end or check the file"
        )
    bars = _make_bars(day, prices, length)
    _check_days(source, day, rows)
    for name, is_wrong, rule in _find_wrong_prices(bars):
        wrong = np.flatnonzero(is_wrong)
        if wrong.size:
            place = int(wrong[0])
            value = float(getattr(bars, name)[place])
            raise DataError(
                f"{source}: row {rows[place]} ({day[place]}): {name} {value!r} must be {rule}"
            )
    return bars


def _find_wrong_prices(bars: Bars) -> Iterator[tuple[str, B1, str]]:
    """Yield the rules on prices: column, rows that break the rule, rule and remedy."""
    lower = np.minimum(bars.open, bars.close)
    upper = np.maximum(bars.open, bars.close)
    has_closes_only = np.isnan([bars.open, bars.high, bars.low]).all()
    for name in ("close",) if has_closes_only else ("open", "high", "low", "close"):
        column: F8 = getattr(bars, name)
        is_price = np.isfinite(column) & (column > 0)
        yield name, ~is_price, "a price above 0: fill or drop the row"
    yield "high", bars.high < upper, "at least open and close: correct it"
    yield "high", bars.high < bars.low, "at least the low: correct it"
    yield "low", bars.low > lower, "at most open and close: correct it"


def select_common_bars(bars: Mapping[str, Bars]) -> dict[str, Bars]:
    """Return the same bars on the days (or times) that all of them have.

    Raises:
        DataError: no day is in all of them, or their bars differ in length.
    """
    if len({series.length for series in bars.values()}) > 1:
        lengths = ", ".join(f"{name} {series.length:g} s" for name, series in bars.items())
        raise DataError(
            f"replay: bars differ in length ({lengths}); replays of one run need the same: "
            "convert one file"
        )
    shared: Dates | None = None
    for series in bars.values():
        shared = (
            series.day if shared is None else np.intersect1d(shared, series.day, assume_unique=True)
        )
    if shared is not None and shared.size == 0:
        spans = ", ".join(
            f"{name} {series.day[0]} to {series.day[-1]}" for name, series in bars.items()
        )
        raise DataError(
            f"replay: no day is in all of {spans}; replays need common days: "
            "choose overlapping dates"
        )
    return {
        name: series if shared is None else series.take(shared) for name, series in bars.items()
    }


def _make_bars(day: Dates, prices: F8, length: float) -> Bars:
    """Return the record and its digest; NaN is made canonical, so equal bars have equal digests."""
    prices = np.where(np.isnan(prices), np.nan, prices)
    digest = hashlib.sha256(day.astype(np.int64).tobytes() + prices.tobytes()).hexdigest()
    first, highest, lowest, last = (np.ascontiguousarray(column) for column in prices.T)
    return Bars(day, first, highest, lowest, last, digest, length)


def _check_days(source: str, day: Dates, rows: I8) -> None:
    undated = np.flatnonzero(np.isnat(day))
    if undated.size:
        problem = f"{source}: row {rows[undated[0]]}: the date is missing"
        raise DataError(f"{problem}; every row needs one: fill or drop the row")
    unordered = np.flatnonzero(day[1:] <= day[:-1])
    if unordered.size:
        row = int(unordered[0]) + 1
        if day[row] == day[row - 1]:
            problem = "repeats the row before"
            remedy = (
                "drop the repeat, or write times of day with the dates "
                "if bars are shorter than a day"
            )
        else:
            problem, remedy = f"stands after {day[row - 1]}", "sort the rows"
        raise DataError(
            f"{source}: row {rows[row]}: {day[row]} {problem}; days must increase: {remedy}"
        )
