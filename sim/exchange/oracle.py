"""The oracle (IDX-3): what the venue is told of the index."""

from collections import deque

import numpy as np
from pydantic import Field, PrivateAttr
from scipy.special import ndtri

from sim.component import Component
from sim.types import F8


class Window(Component):
    """A stretch of time."""

    at: float = Field(ge=0, description="start (s from the start of the run)")
    duration: float = Field(gt=0, description="length (s)")

    def covers(self, seconds: float) -> bool:
        """Whether the time lies inside."""
        return self.at <= seconds < self.at + self.duration


class Manipulation(Window):
    """Some sources are moved away from the index."""

    size: float = Field(gt=-1, description="relative error of the moved sources (share)")
    sources: int = Field(ge=1, description="how many sources are moved (count)")


class Oracle(Component):
    """Median of several noisy, delayed, sampled sources; keeps its last value through an outage."""

    delay: float = Field(default=0.0, ge=0, description="age of what is published (s)")
    interval: float = Field(default=0.0, ge=0, description="time between samples; 0 = every step (s)")
    noise: float = Field(default=0.0, ge=0, lt=0.1, description="standard deviation of a source's error (log)")
    sources: int = Field(default=1, ge=1, le=25, description="independent sources (count)")
    outages: tuple[Window, ...] = Field(default=(), description="when nothing is published (windows)")
    manipulations: tuple[Manipulation, ...] = Field(default=(), description="when sources are moved (windows)")

    _past: deque[F8] = PrivateAttr(default_factory=deque)
    _published: F8 | None = PrivateAttr(default=None)
    _due: float = PrivateAttr(default=0.0)

    def publish(self, seconds: float, index: F8, draws: F8, dt: float) -> tuple[F8, bool]:
        """What is known of the index now, and whether it is fresh.

        Args:
            seconds: time since the start of the run.
            index: (U,) quote currency.
            draws: (U, sources) uniform; (U, 0) where sources make no error.
            dt: seconds per step.
        """
        self._past.append(index)
        if len(self._past) > round(self.delay / dt) + 1:
            self._past.popleft()
        out = any(window.covers(seconds) for window in self.outages)
        if self._published is None or (not out and seconds >= self._due):
            self._published = self._sample(seconds, draws)
            self._due = seconds + self.interval
        return self._published, not out

    def _sample(self, seconds: float, draws: F8) -> F8:
        if not self.noise and not self.manipulations:
            return self._past[0]
        told = np.repeat(self._past[0][:, None], self.sources, axis=1)
        if self.noise:
            told *= np.exp(self.noise * ndtri(np.clip(draws, 1e-15, 1 - 1e-15)))
        for window in self.manipulations:
            if window.covers(seconds):
                told[:, : window.sources] *= 1 + window.size
        median: F8 = np.median(told, axis=1)
        return median
