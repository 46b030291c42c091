"""Funding of perpetuals (FUND-1): longs pay shorts what the book trades above the oracle."""

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
    """What a rule has seen of the market since it last made a rate."""

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """One observation, (K,) ticks each, bid and ask NaN where a side is empty."""
        ...

    def take_average(self) -> F8 | None:
        """What they come to, None without observations; starts anew."""
        ...


class PremiumAverage:
    """The mean of [max(0, bid - oracle) - max(0, oracle - ask)] / oracle, (K,).

    Best bid and ask stand for impact bid and ask: the impact notional is taken as nil.
    """

    def __init__(self) -> None:
        self._sum: F8 | float = 0.0
        self._count = 0

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """See :class:`Observations`; an empty side counts as no premium on that side."""
        over = np.fmax(0.0, bid - oracle)  # unlike maximum, fmax passes over what is missing
        under = np.fmax(0.0, oracle - ask)
        self._sum = self._sum + (over - under) / oracle
        self._count += 1

    def take_average(self) -> F8 | None:
        """See :class:`Observations`."""
        if not self._count:
            return None
        mean = np.asarray(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        return mean


class PriceAverages:
    """The averages of the mid and of the oracle, (2, K), in units of the oracle's."""

    def __init__(self) -> None:
        self._sums: F8 | None = None

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """See :class:`Observations`; where a side is empty the oracle stands for the mid."""
        mid = (bid + ask) / 2
        row = np.stack([np.where(np.isnan(mid), oracle, mid), oracle])
        self._sums = row if self._sums is None else self._sums + row

    def take_average(self) -> F8 | None:
        """See :class:`Observations`."""
        if self._sums is None:
            return None
        averages: F8 = self._sums / self._sums[1]
        self._sums = None
        return averages


class FundingRule(Component):
    """What every rule shares: observations of one step each, and a rate when an interval ends."""

    interval: float = Field(default=EIGHT_HOURS, gt=0, description="time between payments (s)")

    _next_payment: float | None = PrivateAttr(default=None)
    _observations: FundingObservations = PrivateAttr(default_factory=PremiumAverage)
    _year_seconds: "F8 | float" = PrivateAttr(default=YEAR_SECONDS)

    def set_year_lengths(self, year: F8) -> None:
        """Take the seconds of the run's clock in a year of each instrument, (K,): 365 days before."""
        self._year_seconds = year

    @abstractmethod
    def compute_rate(self, seen: F8) -> F8:
        """The rate of an interval, (K,) shares of notional, from what its observations come to."""

    def add_sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Take one observation; see :class:`Observations`."""
        self._observations.add_sample(bid, ask, oracle)

    def close_interval(self) -> F8 | None:
        """The rate of the interval that ends, (K,) shares of notional; None without observations. Starts the next."""
        seen = self._observations.take_average()
        return None if seen is None else self.compute_rate(seen)

    def prepare_run(self, stamps: NDArray[np.datetime64], seconds: float) -> None:
        """Get ready for a run of so many seconds, with exchange times (T + 1,) of its steps where prices are replayed.

        Raises:
            ConfigError: the run cannot have this funding.
        """

    def take_due_rate(self, seconds: float, stamp: np.datetime64 | None = None) -> F8 | None:
        """The rate (K,) if a payment falls now, else None.

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

    F = [P + clamp(I - P, -c, c)] x interval / period, capped; P is the mean premium (Binance FAQ "Introduction to
    funding rates", form of 2025-09-18, period 8 h; Hyperliquid documentation, "Funding", 2025: period 8 h, paid every
    hour, cap 4%).
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
        default=None, gt=0, description="time that rates are quoted for; none = the interval (s)"
    )

    def compute_rate(self, seen: F8) -> F8:
        """See :class:`FundingRule`; of the mean premium."""
        rate = seen + np.clip(self.interest - seen, -self.clamp, self.clamp)
        if self.period is not None:
            rate = rate * (self.interval / self.period)
        return np.clip(rate, -self.cap, self.cap)


def annualise_rate(rate: float, period: float) -> float:
    """What a rate per period (s) makes in a year, compounded."""
    return float((1.0 + rate) ** (YEAR_SECONDS / period) - 1.0)
