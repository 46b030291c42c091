"""Funding of perpetuals (FUND-1): longs pay shorts what the book trades above the oracle."""

import numpy as np
from pydantic import Field, PrivateAttr

from sim.component import Component
from sim.types import F8


class Funding(Component):
    """Average premium plus clamped interest, exchanged every interval.

    F = P + clamp(I - P, -c, c), capped; P = mean of [max(0, bid - oracle) - max(0, oracle - ask)] / oracle over the
    interval (Binance FAQ "Introduction to funding rates", form of 2025-09-18; the impact notional is taken as nil:
    best bid and ask stand for impact bid and ask).
    """

    interval: float = Field(default=28_800.0, gt=0, description="time between payments (s)")
    interest: float = Field(default=0.0001, description="interest I per interval (rate)")
    clamp: float = Field(default=0.0005, ge=0, description="clamp c of interest less premium (rate)")
    cap: float = Field(default=0.02, ge=0, description="largest rate per interval, either sign (rate)")

    _sum: F8 | float = PrivateAttr(default=0.0)
    _count: int = PrivateAttr(default=0)
    _due: float | None = PrivateAttr(default=None)

    def sample(self, bid: F8, ask: F8, oracle: F8) -> None:
        """Take one observation of the premium; an empty side counts as no premium on that side."""
        over = np.fmax(0.0, bid - oracle)  # unlike maximum, fmax passes over what is missing
        under = np.fmax(0.0, oracle - ask)
        self._sum = self._sum + (over - under) / oracle
        self._count += 1

    def due(self, seconds: float) -> F8 | None:
        """The rate (K,) if a payment falls now, else None; resets the average."""
        if self._due is None:
            self._due = seconds + self.interval
        if seconds < self._due or not self._count:
            return None
        premium = np.asarray(self._sum / self._count)
        self._due, self._sum, self._count = self._due + self.interval, 0.0, 0
        rate = premium + np.clip(self.interest - premium, -self.clamp, self.clamp)
        return np.clip(rate, -self.cap, self.cap)
