"""Funding of perpetuals (FUND-1): longs pay shorts if the book trades above the oracle."""

from abc import abstractmethod
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8

EIGHT_HOURS = 28_800.0


class FundingObservations(Protocol):
    """Observations of the market since the last funding rate was computed."""

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Add one observation, (K,) ticks each; bid and ask are NaN if a side is empty."""
        ...

    def take_average(self) -> F8 | None:
        """Return the average of the observations, None without any, and start anew."""
        ...


class PremiumAverage:
    """Mean premium [max(0, bid - oracle) - max(0, oracle - ask)] / oracle, (K,).

    Best bid and ask replace impact bid and ask: the impact notional is taken as zero.
    """

    def __init__(self) -> None:
        self._sum: F8 | float = 0.0
        self._count = 0

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Add one observation (see :class:`FundingObservations`); an empty side has no premium."""
        over = np.fmax(0.0, bid - oracle)  # unlike maximum, fmax ignores NaN
        under = np.fmax(0.0, oracle - ask)
        self._sum = self._sum + (over - under) / oracle
        self._count += 1

    def take_average(self) -> F8 | None:
        """Return the mean premium; see :class:`FundingObservations`."""
        if not self._count:
            return None
        mean = np.asarray(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        return mean

    @property
    def state(self) -> tuple[F8 | float, int]:
        """Sum of the premia since the last average, and their number."""
        return self._sum, self._count

    def resume(self, total: F8, count: int) -> None:
        """Continue from a sum of premia and their number."""
        self._sum, self._count = total, count


class PriceAverages:
    """Averages of the mid and of the oracle, (2, K), over the average of the oracle."""

    def __init__(self) -> None:
        self._sums: F8 | None = None

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Add one observation, with the oracle in place of a missing mid.

        See :class:`FundingObservations`.
        """
        mid = (bid + ask) / 2
        row = np.stack([np.where(np.isnan(mid), oracle, mid), oracle])
        self._sums = row if self._sums is None else self._sums + row

    def take_average(self) -> F8 | None:
        """Return both averages; see :class:`FundingObservations`."""
        if self._sums is None:
            return None
        averages: F8 = self._sums / self._sums[1]
        self._sums = None
        return averages


class FundingRule(Component):
    """Base of the funding rules: one observation per step and a rate at each interval's end."""

    interval: float = Field(default=EIGHT_HOURS, gt=0, description="time between payments (s)")

    _next_payment: float | None = PrivateAttr(default=None)
    _observations: FundingObservations = PrivateAttr(default_factory=PremiumAverage)
    _year_seconds: "F8 | float" = PrivateAttr(default=YEAR_SECONDS)

    def set_year_lengths(self, year: F8) -> None:
        """Set the seconds of the run's clock in a year of each instrument, (K,).

        The default is 365 days.
        """
        self._year_seconds = year

    @property
    def next_payment(self) -> float:
        """Time of the next payment (s), minus infinity before the first step."""
        return -np.inf if self._next_payment is None else self._next_payment

    @property
    def observations(self) -> FundingObservations:
        """Observations since the last rate."""
        return self._observations

    @abstractmethod
    def compute_rate(self, observed: F8) -> F8:
        """Return the rate of an interval, (K,) shares of notional, from averaged observations."""

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Add one observation; see :class:`FundingObservations`."""
        self._observations.add_sample(bid, ask, oracle)

    def close_interval(self) -> F8 | None:
        """Return the rate of the interval that ends, (K,) shares of notional; start the next one.

        Without observations the rate is None.
        """
        observed = self._observations.take_average()
        return None if observed is None else self.compute_rate(observed)

    def prepare_run(self, stamps: NDArray[np.datetime64], seconds: float) -> None:
        """Prepare a run of some length.

        Args:
            stamps: (T + 1,) exchange times of its steps where prices are replayed, else empty.
            seconds: length of the run.

        Raises:
            ConfigError: the run cannot have this funding.
        """

    def take_due_rate(self, seconds: float, stamp: np.datetime64 | None = None) -> F8 | None:
        """Return the rate (K,) if a payment is due now, else None.

        Args:
            seconds: time since the start of the run.
            stamp: exchange time, where prices are replayed.
        """
        if self._next_payment is None:
            self._next_payment = seconds + self.interval
        if seconds < self._next_payment:
            return None
        rate = self.close_interval()
        if rate is not None:
            self._next_payment += self.interval
        return rate


class PremiumFunding(FundingRule):
    """Average premium plus clamped interest, exchanged every interval.

    F = [P + clamp(I - P, -c, c)] x interval / period, capped. P is the mean premium. Sources:
    Binance FAQ "Introduction to funding rates", form of 2025-09-18, period 8 h; Hyperliquid
    documentation, "Funding", 2025: period 8 h, paid every hour, cap 4%.
    """

    kind: Literal["premium"] = Field(
        default="premium", description="average premium and clamped interest (name)"
    )
    interest: float = Field(default=0.0001, description="interest I per period (rate)")
    clamp: float = Field(
        default=0.0005, ge=0, description="clamp c of interest less premium (rate)"
    )
    cap: float = Field(
        default=0.02, ge=0, description="largest rate per interval, either sign (rate)"
    )
    period: float | None = Field(
        default=None, gt=0, description="time to which rates refer; none = the interval (s)"
    )

    def compute_rate(self, observed: F8) -> F8:
        """Return the rate from the mean premium; see :class:`FundingRule`."""
        rate = observed + np.clip(self.interest - observed, -self.clamp, self.clamp)
        if self.period is not None:
            rate = rate * (self.interval / self.period)
        return np.clip(rate, -self.cap, self.cap)


def annualise_rate(rate: float, period: float) -> float:
    """Return the compounded annual rate of a rate per period (s)."""
    return float((1.0 + rate) ** (YEAR_SECONDS / period) - 1.0)
