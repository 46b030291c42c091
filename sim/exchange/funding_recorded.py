"""Funding that was paid: rates with their times, in place of a rule."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, model_validator

from sim.errors import ConfigError, DataError
from sim.exchange.funding import FundingRule
from sim.types import F8

Reader = Callable[[str], tuple[str, tuple[tuple[float, float], ...]]]
"""From a path to what times count from, and (time, rate) of each payment."""


class Recorded(FundingRule):
    """Each rate is paid at the first step at or after its time; those that fall into one step (a night) are added.

    Times count from the start of the run, or from 1970 (UTC). The latter are exchange times where prices are replayed;
    elsewhere the run begins at the first of them. Rates are filled in from ``source`` when a configuration is loaded,
    so that a result does not depend on the file.
    """

    reader: ClassVar[Reader | None] = None
    """Reads a file; set where runs are loaded, since nothing here does."""

    kind: Literal["recorded"] = Field(default="recorded", description="rates of a file (name)")
    source: str = Field(default="", description="CSV or Parquet file of time and rate, read if rates are empty (path)")
    since: Literal["start", "1970"] = Field(default="start", description="what times count from (name)")
    rates: tuple[tuple[float, float], ...] = Field(
        default=(), description="time and rate of each payment, filled in from the file (s, share of notional)"
    )

    _next: int = PrivateAttr(default=0)
    _origin: float = PrivateAttr(default=0.0)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_file(cls, data: Any) -> Any:
        """Rates of a file belong to the configuration: results are named by them, and stay what they were."""
        data = _paired(data)
        source = data.get("source") if isinstance(data, dict) and not data.get("rates") else None
        if not source or not isinstance(source, str) or cls.reader is None:
            return data
        try:
            since, rates = cls.reader(source)
        except DataError as error:
            raise ValueError(f"source: {error}") from error
        return {**data, "since": since, "rates": rates}

    @model_validator(mode="after")
    def _rates_are_in_order(self) -> Self:
        times = [time for time, _ in self.rates]
        late = [row for row in range(1, len(times)) if times[row] <= times[row - 1]]
        if late:
            again = times[late[0]] == times[late[0] - 1]
            told = "repeats the time before, drop one" if again else "is earlier than the time before, sort them"
            raise ValueError(f"rates.{late[0]}: {times[late[0]]:.15g} s {told}")
        wild = [row for row, (_, rate) in enumerate(self.rates) if abs(rate) >= 1]
        if wild:
            told = f"rates.{wild[0]}: {self.rates[wild[0]][1]:.15g}, a rate is a share of notional below 1"
            raise ValueError(f"{told}, divide percent by 100")
        return self

    def begin(self, stamps: NDArray[np.datetime64], seconds: float) -> None:
        """Pass over payments before the run.

        Raises:
            ConfigError: there are no rates, or none in the time of the run.
        """
        if not self.rates:
            raise ConfigError(["funding.rates: none, a recorded funding needs them: give rates, or a file as source"])
        times = self._times()
        self._origin = times[0] if self.since == "1970" else 0.0
        first, last = self._span(stamps, seconds)
        self._next = int(np.searchsorted(times, first))
        if not np.any((times >= first) & (times <= last)):
            told = f"funding.rates: from {_when(times[0], self.since)} to {_when(times[-1], self.since)}"
            told = f"{told}, none in the run's {_when(first, self.since)} to {_when(last, self.since)}"
            raise ConfigError([f"{told}: give rates of that time, or a file that has them"])

    def unpaid(self, stamps: NDArray[np.datetime64], seconds: float) -> str:
        """Say which part of a run the rates do not reach, and what helps; empty where they reach all of it.

        Args:
            stamps: exchange time of each step, empty without a replay.
            seconds: length of the run.
        """
        times = self._times()
        if times.size < 2:
            return ""
        first, last = self._span(stamps, seconds)
        usual, told = float(np.median(np.diff(times))), []
        if times[0] - usual > first:
            told.append(f"begin at {_when(times[0], self.since)}, the run at {_when(first, self.since)}")
        if times[-1] + usual <= last:
            told.append(f"end at {_when(times[-1], self.since)}, the run at {_when(last, self.since)}")
        if not told:
            return ""
        return f"rates {' and '.join(told)}: nothing is paid in between, add the rates of that time"

    def _span(self, stamps: NDArray[np.datetime64], seconds: float) -> tuple[float, float]:
        """Beginning and end of a run on the clock of the rates."""
        if self.since == "1970" and stamps.size:
            first, last = (float(each.astype("datetime64[s]").astype(np.int64)) for each in (stamps[0], stamps[-1]))
            return first, last
        origin = self.rates[0][0] if self.since == "1970" else 0.0
        return origin, origin + seconds

    def _times(self) -> F8:
        return np.array([time for time, _ in self.rates])

    def rate_of(self, seen: F8) -> F8:
        """See :class:`FundingRule`; not used."""
        return seen

    def sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """See :class:`FundingRule`; the market does not matter."""

    def due(self, seconds: float, stamp: np.datetime64 | None = None) -> F8 | None:
        """The sum of the rates (K,) that have fallen due, None where none has."""
        now = self._origin + seconds
        if self.since == "1970" and stamp is not None:
            now = float(stamp.astype("datetime64[s]").astype(np.int64))
        rates: Sequence[float] = []
        while self._next < len(self.rates) and self.rates[self._next][0] <= now:
            rates = [*rates, self.rates[self._next][1]]
            self._next += 1
        return np.full(np.shape(self._year), sum(rates)) if rates else None


def _paired(data: Any) -> Any:
    """The same with lists of rates as tuples, which is what strict validation of plain data takes."""
    rates = data.get("rates") if isinstance(data, dict) else None
    if not isinstance(rates, list):
        return data
    return {**data, "rates": tuple(tuple(each) if isinstance(each, list) else each for each in rates)}


def _when(time: float, since: str) -> str:
    return str(np.datetime64(round(time), "s")) if since == "1970" else f"{time:g} s"
