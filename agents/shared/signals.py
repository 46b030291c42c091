"""Indicators of past prices: moving averages of log prices, and volatility."""

from collections.abc import Sequence

import numpy as np

from agents.base import DAY
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8


class LogPriceTracker:
    """Exponentially weighted averages of m log prices, and their variance.

    The variance is the tracker's own estimate, whose weights sum to one from the first return. A
    venue's estimate starts at zero and needs a day to converge.

    Args:
        dt: seconds per step.
        half_lives: half-lives of the averages, seconds.
        memory: half-life of the variance, seconds.
        year: seconds of the run's clock in a year, of each price or one for all.
    """

    def __init__(
        self,
        dt: float,
        half_lives: Sequence[float],
        memory: float = DAY,
        *,
        year: F8 | float = YEAR_SECONDS,
    ) -> None:
        self._update_weights = 1 - 0.5 ** (dt / np.array(half_lives))[:, None]
        self._variance_decay, self._steps_per_year, self._seconds_per_year = (
            0.5 ** (dt / memory),
            year / dt,
            year,
        )
        self._variance_weight = 0.0
        self._mean_squares: F8 = np.zeros(0)
        self.log_prices: F8 = np.zeros(0)  # (m,) last log prices
        self.averages: F8 = np.zeros((0, 0))  # (h, m), starting at the first prices

    def add_prices(self, price: F8) -> None:
        """Update the averages and the variance with one more price of each, (m,)."""
        log = np.log(price)
        if not self.log_prices.size:
            self._mean_squares, self.log_prices, self.averages = (
                np.zeros(log.size),
                log,
                np.tile(log, (len(self._update_weights), 1)),
            )
            return
        self._variance_weight = (
            self._variance_decay * self._variance_weight + 1 - self._variance_decay
        )
        self._mean_squares = (
            self._variance_decay * self._mean_squares
            + (1 - self._variance_decay) * (log - self.log_prices) ** 2
        )
        self.averages = self.averages + self._update_weights * (log - self.averages)
        self.log_prices = log

    @property
    def variance(self) -> F8:
        """Variance of returns per year, (m,); zero before the first return."""
        return self._mean_squares * (self._steps_per_year / (self._variance_weight or 1.0))

    def standardise_deviation(self, deviation: F8, over: float) -> F8:
        """Return log deviations in standard deviations of the move over a time, (m,).

        The result is zero where the variance is zero.

        Args:
            deviation: (m,) log deviations.
            over: time of the move, seconds.
        """
        scale = np.sqrt(self.variance * over / self._seconds_per_year)
        return np.divide(deviation, scale, out=np.zeros_like(scale), where=scale > 0)
