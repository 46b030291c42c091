"""Indicators of past prices: moving averages of log prices, and volatility."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from agents.base import DAY
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.prices.past import PastReturns
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8, I8


class TrackedPrices(NamedTuple):
    """State of the averages of m prices over h half-lives, in place."""

    weights: F8  # (h,) of the newest price
    decay: F8  # (1,) of the variance, per step
    variance_weight: F8  # (1,) sum of the weights of all returns; negative = no price yet
    mean_squares: F8  # (m,)
    log_prices: F8  # (m,)
    averages: F8  # (h, m)


class PriceScales(NamedTuple):
    """Scales of a variance per year from a mean square, and of a standard deviation."""

    variance_weight: F8  # (1,) see ``TrackedPrices``
    mean_squares: F8  # (m,)
    steps_per_year: F8  # (m,)
    seconds_per_year: F8  # (m,)


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
        self._dt, self._year = dt, year
        self._weights = 1 - 0.5 ** (dt / np.array(half_lives))
        self._decay = np.array([0.5 ** (dt / memory)])
        self._allocate(np.size(year) if np.ndim(year) else 0)

    def _allocate(self, count: int) -> None:
        """Begin with a number of prices."""
        squares, log_prices = np.zeros((2, count))
        averages = np.zeros((self._weights.size, count))
        self.state = TrackedPrices(
            self._weights, self._decay, np.full(1, -1.0), squares, log_prices, averages
        )
        year = np.full(count, self._year) if count else np.zeros(0)
        self.scales = PriceScales(
            self.state.variance_weight, self.state.mean_squares, year / self._dt, year
        )

    def add_prices(self, price: F8) -> None:
        """Update the averages and the variance with one more price of each, (m,)."""
        if self.log_prices.size != price.size:
            self._allocate(price.size)
        track_prices(0, price, np.arange(price.size), *self.state)

    def bind_prices(self, prices: F8, places: I8) -> BoundKernel:
        """Return the kernel that adds the prices at some places, in each step."""
        if self.log_prices.size != places.size:
            self._allocate(places.size)
        return bind_kernel(track_prices, prices, places, *self.state)

    def learn_past(self, past: PastReturns, prices: F8, columns: I8) -> None:
        """Begin with the prices before the start of a run.

        A return over several steps moves averages and variance as far as as many steps do: the
        price stands at its last value, and its square is spread evenly.

        Args:
            past: log returns of U underlyings.
            prices: (m,) prices at the start.
            columns: (m,) their underlyings.
        """
        every, state = np.arange(prices.size), self.state
        for segment in past.iterate_segments():
            returns = segment.returns[:, columns]
            later = past.near[:, columns].sum(axis=0) if segment.before else np.zeros(prices.size)
            ahead = np.append(np.cumsum(returns[::-1], axis=0)[::-1], np.zeros((1, prices.size)), 0)
            levels = prices * np.exp(-(ahead + later))
            steps, first = segment.steps, self.state.variance_weight[0] < 0
            if first and state.log_prices.size != prices.size:
                self._allocate(prices.size)
                state = self.state
            weights, decay = 1 - (1 - state.weights) ** steps, state.decay**steps
            state.mean_squares[:] *= steps
            for price in levels if first else levels[1:]:
                track_prices(0, price, every, weights, decay, *state[2:])
            state.mean_squares[:] /= steps

    @property
    def log_prices(self) -> F8:
        """Last log prices, (m,)."""
        return self.state.log_prices

    @property
    def averages(self) -> F8:
        """Averages (h, m), starting at the first prices."""
        return self.state.averages

    @property
    def variance(self) -> F8:
        """Variance of returns per year, (m,); zero before the first return."""
        return np.array(
            [
                measure_variance(place, *self.scales[:3])
                for place in range(self.state.mean_squares.size)
            ]
        )

    def standardise_deviation(self, deviation: F8, over: float) -> F8:
        """Return log deviations in standard deviations of the move over a time, (m,).

        The result is zero where the variance is zero.

        Args:
            deviation: (m,) log deviations.
            over: time of the move, seconds.
        """
        return np.array(
            [standardise(each, place, over, *self.scales) for place, each in enumerate(deviation)]
        )


@kernel
def track_prices(
    tick: int,
    prices: F8,
    places: I8,
    weights: F8,
    decay: F8,
    variance_weight: F8,
    mean_squares: F8,
    log_prices: F8,
    averages: F8,
) -> int:
    """Add one more price of each to the averages and the variance; see ``TrackedPrices``.

    Args:
        tick: present tick.
        prices: prices of which those at ``places``, (m,), are tracked.
        places: (m,).
        weights, decay, variance_weight, mean_squares, log_prices, averages: the state.
    """
    is_first, rest = variance_weight[0] < 0, 1 - decay[0]
    variance_weight[0] = 0.0 if is_first else decay[0] * variance_weight[0] + 1 - decay[0]
    for m in range(places.size):
        log = np.log(prices[places[m]])
        change = 0.0 if is_first else log - log_prices[m]
        mean_squares[m] = decay[0] * mean_squares[m] + rest * (change * change)
        for h in range(weights.size):
            former = log if is_first else averages[h, m]
            averages[h, m] = former + weights[h] * (log - former)
        log_prices[m] = log
    return 0


@kernel
def measure_variance(
    place: int, variance_weight: F8, mean_squares: F8, steps_per_year: F8
) -> float:
    """Return the variance per year of one price, zero before its first return."""
    weight = variance_weight[0] if variance_weight[0] > 0 else 1.0
    variance: float = mean_squares[place] * (steps_per_year[place] / weight)
    return variance


@kernel
def standardise(
    deviation: float,
    place: int,
    over: float,
    variance_weight: F8,
    mean_squares: F8,
    steps_per_year: F8,
    seconds_per_year: F8,
) -> float:
    """Return a log deviation of one price in standard deviations of the move over a time."""
    variance = measure_variance(place, variance_weight, mean_squares, steps_per_year)
    scale = np.sqrt(variance * over / seconds_per_year[place])
    return deviation / scale if scale > 0 else 0.0
