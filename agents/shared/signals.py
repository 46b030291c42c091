"""What traders learn from past prices: moving averages of log prices, and volatility."""

from collections.abc import Sequence

import numpy as np

from agents.base import DAY
from sim.pricing.instrument_values import YEAR
from sim.types import F8


class Tracker:
    """Exponentially weighted averages of m log prices, and their variance.

    The variance is one of this observer's own, with weights that sum to one from the first return on: a venue's
    estimate starts at nil and takes a day to fill.

    Args:
        dt: seconds per step.
        half_lives: of the averages, seconds.
        memory: half-life of the variance, seconds.
        year: seconds of the run's clock in a year, of each price or of all.
    """

    def __init__(self, dt: float, half_lives: Sequence[float], memory: float = DAY, *, year: F8 | float = YEAR) -> None:
        self._learn = 1 - 0.5 ** (dt / np.array(half_lives))[:, None]
        self._forget, self._per_year, self._year = 0.5 ** (dt / memory), year / dt, year
        self._weight = 0.0
        self._squares: F8 = np.zeros(0)
        self.log: F8 = np.zeros(0)  # (m,) last log prices
        self.averages: F8 = np.zeros((0, 0))  # (h, m), starting at the first prices

    def learn(self, price: F8) -> None:
        """One more price of each, (m,)."""
        log = np.log(price)
        if not self.log.size:
            self._squares, self.log, self.averages = np.zeros(log.size), log, np.tile(log, (len(self._learn), 1))
            return
        self._weight = self._forget * self._weight + 1 - self._forget
        self._squares = self._forget * self._squares + (1 - self._forget) * (log - self.log) ** 2
        self.averages = self.averages + self._learn * (log - self.averages)
        self.log = log

    @property
    def variance(self) -> F8:
        """Variance of returns per year, (m,); nil before the first of them."""
        return self._squares * (self._per_year / (self._weight or 1.0))

    def strength(self, deviation: F8, over: float) -> F8:
        """Log deviations in standard deviations of the move over so many seconds, (m,); nil where nothing moves."""
        scale = np.sqrt(self.variance * over / self._year)
        return np.divide(deviation, scale, out=np.zeros_like(scale), where=scale > 0)
