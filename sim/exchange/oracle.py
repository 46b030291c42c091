"""Oracle of a venue: noisy, delayed and sampled observations of the index (IDX-3)."""

from collections import deque

import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from sim.component import Component
from sim.types import F8


class TimeWindow(Component):
    """Interval of time."""

    at: float = Field(ge=0, description="start (s from the start of the run)")
    duration: float = Field(gt=0, description="length (s)")

    def contains(self, seconds: float) -> bool:
        """Return whether the time lies in the interval."""
        return self.at <= seconds < self.at + self.duration


class Manipulation(TimeWindow):
    """Interval in which some sources are moved away from the index."""

    size: float = Field(gt=-1, description="relative error of the moved sources (share)")
    sources: int = Field(ge=1, description="number of sources that are moved (count)")


class Oracle(Component):
    """Median of several noisy, delayed, sampled sources.

    It keeps its last value during an outage.
    """

    delay: float = Field(default=0.0, ge=0, description="age of the published price (s)")
    interval: float = Field(
        default=0.0, ge=0, description="time between samples; 0 = every step (s)"
    )
    noise: float = Field(
        default=0.0, ge=0, lt=0.1, description="standard deviation of a source's error (log)"
    )
    sources: int = Field(default=1, ge=1, le=25, description="independent sources (count)")
    outages: tuple[TimeWindow, ...] = Field(
        default=(), description="periods without publication (windows)"
    )
    manipulations: tuple[Manipulation, ...] = Field(
        default=(), description="periods in which sources are moved (windows)"
    )

    _recent_prices: deque[F8] = PrivateAttr(default_factory=deque)
    _published: F8 | None = PrivateAttr(default=None)
    _next_sample: float = PrivateAttr(default=0.0)

    def publish(self, seconds: float, index: F8, draws: F8, dt: float) -> tuple[F8, bool]:
        """Return the published price of the index, (U,), and whether it is fresh.

        Args:
            seconds: time since the start of the run.
            index: (U,) quote currency.
            draws: (U, sources) uniform; (U, 0) where sources make no error.
            dt: seconds per step.
        """
        self._recent_prices.append(index)
        if len(self._recent_prices) > round(self.delay / dt) + 1:
            self._recent_prices.popleft()
        is_out = any(window.contains(seconds) for window in self.outages)
        if self._published is None or (not is_out and seconds >= self._next_sample):
            self._published = self._sample_sources(seconds, draws)
            self._next_sample = seconds + self.interval
        return self._published, not is_out

    @property
    def is_exact(self) -> bool:
        """True if the price published is always the index of the same step."""
        return not (self.delay or self.interval or self.noise or self.outages or self.manipulations)

    def resume(self, price: F8) -> None:
        """Continue after a step in which an exact oracle published a price, (U,)."""
        self._recent_prices.clear()
        self._recent_prices.append(price)
        self._published = price

    def _sample_sources(self, seconds: float, draws: F8) -> F8:
        if not self.noise and not self.manipulations:
            return self._recent_prices[0]
        reported = np.repeat(self._recent_prices[0][:, None], self.sources, axis=1)
        if self.noise:
            reported *= np.exp(self.noise * ndtri(np.clip(draws, 1e-15, 1 - 1e-15)))
        for window in self.manipulations:
            if window.contains(seconds):
                reported[:, : window.sources] *= 1 + window.size
        median: F8 = np.median(reported, axis=1)
        return median
