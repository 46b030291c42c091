"""Recorded funding: historical rates with their times, in place of a rule."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, model_validator

from sim.errors import ConfigError, DataError
from sim.exchange.funding import FundingRule
from sim.types import F8

RateFileReader = Callable[[str], tuple[str, tuple[tuple[float, float], ...]]]
"""Function from a path to the origin of times, and (time, rate) of each payment."""


class RecordedFunding(FundingRule):
    """Recorded rates, each paid at the first step at or after its time.

    Rates that fall into one step (a night) are added. Times count from the start of the run, or
    from 1970 (UTC). The latter are exchange times if prices are replayed; otherwise the run begins
    at the first of them. Rates are filled in from ``source`` when a configuration is loaded, so
    that a result does not depend on the file.
    """

    rate_file_reader: ClassVar[RateFileReader | None] = None
    """Function that reads a file; set by the code that loads runs, since this package reads no
    files.
    """

    kind: Literal["recorded"] = Field(default="recorded", description="rates of a file (name)")
    source: str = Field(
        default="",
        description="CSV or Parquet file of time and rate, read if rates are empty (path)",
    )
    since: Literal["start", "1970"] = Field(
        default="start", description="origin of the times (name)"
    )
    rates: tuple[tuple[float, float], ...] = Field(
        default=(),
        description="time and rate of each payment, filled in from the file (s, share of notional)",
    )

    _next_row: int = PrivateAttr(default=0)
    _origin: float = PrivateAttr(default=0.0)

    @model_validator(mode="before")
    @classmethod
    def _load_rates(cls, data: Any) -> Any:
        """Read the rates of a file into the configuration, so that they are part of its hash."""
        data = _convert_rates_to_tuples(data)
        source = data.get("source") if isinstance(data, dict) and not data.get("rates") else None
        if not source or not isinstance(source, str) or cls.rate_file_reader is None:
            return data
        try:
            since, rates = cls.rate_file_reader(source)
        except DataError as error:
            raise ValueError(f"source: {error}") from error
        return {**data, "since": since, "rates": rates}

    @model_validator(mode="after")
    def _check_rate_order(self) -> Self:
        times = [time for time, _ in self.rates]
        unordered = [row for row in range(1, len(times)) if times[row] <= times[row - 1]]
        if unordered:
            row = unordered[0]
            is_repeated = times[row] == times[row - 1]
            problem = (
                "repeats the time before, drop one"
                if is_repeated
                else "is earlier than the time before, sort them"
            )
            raise ValueError(f"rates.{row}: {times[row]:.15g} s {problem}")
        too_large = [row for row, (_, rate) in enumerate(self.rates) if abs(rate) >= 1]
        if too_large:
            row = too_large[0]
            raise ValueError(
                f"rates.{row}: {self.rates[row][1]:.15g}, a rate is a share of notional below 1, "
                "divide percent by 100"
            )
        return self

    def prepare_run(self, stamps: NDArray[np.datetime64], seconds: float) -> None:
        """Skip the payments before the run.

        Raises:
            ConfigError: there are no rates, or none during the run.
        """
        if not self.rates:
            raise ConfigError(
                [
                    "funding.rates: none, a recorded funding needs them: "
                    "give rates, or a file as source"
                ]
            )
        times = self._payment_times()
        self._origin = times[0] if self.since == "1970" else 0.0
        first, last = self._span(stamps, seconds)
        self._next_row = int(np.searchsorted(times, first))
        if not np.any((times >= first) & (times <= last)):
            given = self._format_span(times[0], times[-1])
            required = self._format_span(first, last)
            raise ConfigError(
                [
                    f"funding.rates: from {given}, none in the run's {required}: "
                    "give rates of that time, or a file that has them"
                ]
            )

    def describe_unpaid_time(self, stamps: NDArray[np.datetime64], seconds: float) -> str:
        """Describe the part of a run without rates, and the remedy; empty if rates cover all of it.

        Args:
            stamps: exchange time of each step, empty without a replay.
            seconds: length of the run.
        """
        times = self._payment_times()
        if times.size < 2:
            return ""
        first, last = self._span(stamps, seconds)
        usual_gap, problems = float(np.median(np.diff(times))), []
        if times[0] - usual_gap > first:
            begin = _format_time(times[0], self.since)
            problems.append(f"begin at {begin}, the run at {_format_time(first, self.since)}")
        if times[-1] + usual_gap <= last:
            end = _format_time(times[-1], self.since)
            problems.append(f"end at {end}, the run at {_format_time(last, self.since)}")
        if not problems:
            return ""
        listed = " and ".join(problems)
        return f"rates {listed}: nothing is paid in between, add the rates of that time"

    def _span(self, stamps: NDArray[np.datetime64], seconds: float) -> tuple[float, float]:
        """Return the beginning and the end of a run on the clock of the rates."""
        if self.since == "1970" and stamps.size:
            return _to_unix_seconds(stamps[0]), _to_unix_seconds(stamps[-1])
        origin = self.rates[0][0] if self.since == "1970" else 0.0
        return origin, origin + seconds

    def _format_span(self, first: float, last: float) -> str:
        return f"{_format_time(first, self.since)} to {_format_time(last, self.since)}"

    def _payment_times(self) -> F8:
        return np.array([time for time, _ in self.rates])

    def compute_rate(self, observed: F8) -> F8:
        """Return the observations unchanged; recorded rates need none."""
        return observed

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Ignore the observation; recorded rates do not depend on the market."""

    def take_due_rate(self, seconds: float, stamp: np.datetime64 | None = None) -> F8 | None:
        """Return the sum of the rates (K,) that have become due, or None."""
        now = self._origin + seconds
        if self.since == "1970" and stamp is not None:
            now = _to_unix_seconds(stamp)
        rates: Sequence[float] = []
        while self._next_row < len(self.rates) and self.rates[self._next_row][0] <= now:
            rates = [*rates, self.rates[self._next_row][1]]
            self._next_row += 1
        return np.full(np.shape(self._year_seconds), sum(rates)) if rates else None


def _to_unix_seconds(stamp: "np.datetime64") -> float:
    """Return an exchange time in seconds since 1970 (UTC)."""
    return float(stamp.astype("datetime64[s]").astype(np.int64))


def _convert_rates_to_tuples(data: Any) -> Any:
    """Return the data with lists of rates as tuples, as strict validation of plain data needs."""
    rates = data.get("rates") if isinstance(data, dict) else None
    if not isinstance(rates, list):
        return data
    return {
        **data,
        "rates": tuple(tuple(each) if isinstance(each, list) else each for each in rates),
    }


def _format_time(time: float, since: str) -> str:
    return str(np.datetime64(round(time), "s")) if since == "1970" else f"{time:g} s"
