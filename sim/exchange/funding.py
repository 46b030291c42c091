"""Funding of perpetuals (FUND-1): longs pay shorts what the book trades above the oracle."""

from abc import abstractmethod
from typing import Literal

import numpy as np
from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.types import F8

YEAR = 365 * 86_400.0
EIGHT_HOURS = 28_800.0


class FundingRule(Component):
    """What every rule shares: observations of one step each, and a rate when an interval ends."""

    interval: float = Field(default=EIGHT_HOURS, gt=0, description="time between payments (s)")

    _due: float | None = PrivateAttr(default=None)

    @abstractmethod
    def sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Take one observation, (K,) ticks each, bid and ask NaN where a side is empty."""

    @abstractmethod
    def rate(self) -> F8 | None:
        """The rate of the interval that ends, (K,) shares of notional; None without observations. Starts the next."""

    def due(self, seconds: float) -> F8 | None:
        """The rate (K,) if a payment falls now, else None."""
        if self._due is None:
            self._due = seconds + self.interval
        if seconds < self._due:
            return None
        rate = self.rate()
        if rate is not None:
            self._due += self.interval
        return rate


class Premiums:
    """The mean of [max(0, bid - oracle) - max(0, oracle - ask)] / oracle since it was last taken.

    Best bid and ask stand for impact bid and ask: the impact notional is taken as nil.
    """

    def __init__(self) -> None:
        self._sum: F8 | float = 0.0
        self._count = 0

    def sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """One observation; an empty side counts as no premium on that side."""
        over = np.fmax(0.0, bid - oracle)  # unlike maximum, fmax passes over what is missing
        under = np.fmax(0.0, oracle - ask)
        self._sum = self._sum + (over - under) / oracle
        self._count += 1

    def take(self) -> F8 | None:
        """The mean, (K,), or None without observations; starts anew."""
        if not self._count:
            return None
        mean = np.asarray(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        return mean


class Funding(FundingRule):
    """Average premium plus clamped interest, exchanged every interval.

    F = [P + clamp(I - P, -c, c)] x interval / period, capped; P is the mean premium (Binance FAQ "Introduction to
    funding rates", form of 2025-09-18, period 8 h; Hyperliquid documentation, "Funding", 2025: period 8 h, paid every
    hour, cap 4%).
    """

    kind: Literal["premium"] = Field(default="premium", description="average premium and clamped interest (name)")
    interest: float = Field(default=0.0001, description="interest I per period (rate)")
    clamp: float = Field(default=0.0005, ge=0, description="clamp c of interest less premium (rate)")
    cap: float = Field(default=0.02, ge=0, description="largest rate per interval, either sign (rate)")
    period: float | None = Field(
        default=None, gt=0, description="time that rates are quoted for; none = the interval (s)"
    )

    _premiums: Premiums = PrivateAttr(default_factory=Premiums)

    def sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """See :class:`FundingRule`."""
        self._premiums.sample(bid, ask, oracle)

    def rate(self) -> F8 | None:
        """See :class:`FundingRule`."""
        premium = self._premiums.take()
        if premium is None:
            return None
        rate = premium + np.clip(self.interest - premium, -self.clamp, self.clamp)
        if self.period is not None:
            rate = rate * (self.interval / self.period)
        return np.clip(rate, -self.cap, self.cap)


def annualised(rate: float, period: float) -> float:
    """What a rate per period (s) makes in a year, compounded."""
    return float((1.0 + rate) ** (YEAR / period) - 1.0)
