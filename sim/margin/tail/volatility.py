"""Volatility from past returns: exponential weights and GARCH(1,1)."""

import functools
import math
from typing import TypeVar

import numpy as np

from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8

Number = TypeVar("Number", float, F8)


def update_ewma(variance: Number, square: Number, decay: float) -> Number:
    """Return the next variance σ² ← λ σ² + (1 - λ) r² (RiskMetrics 1996).

    For covariances, ``square`` is r r' in place of r².
    """
    return decay * variance + (1 - decay) * square


def compute_half_life(decay: float) -> float:
    """Return the steps in which a weight halves."""
    return math.log(0.5) / math.log(decay)


def update_garch(
    variance: Number, square: Number, parameters: tuple[Number, Number, Number]
) -> Number:
    """Return the next variance σ² ← w + a r² + b σ² (Bollerslev 1986).

    ``parameters`` are w, a, b.
    """
    omega, alpha, beta = parameters
    return omega + alpha * square + beta * variance


def compute_long_run_variance(parameters: tuple[float, float, float]) -> float:
    """Return the variance to which a GARCH(1,1) reverts, w / (1 - a - b), or infinity if none."""
    omega, alpha, beta = parameters
    return omega / (1 - alpha - beta) if alpha + beta < 1 else math.inf


def sum_weights(dt: float, half_life: float, seen: int) -> float:
    """Return the sum of the weights of some returns."""
    return float(1 - 0.5 ** (seen * dt / half_life))


@functools.lru_cache(maxsize=8)
def list_weight_sums(dt: float, half_life: float, steps: int, before: int = 0) -> F8:
    """Return the sums of the weights after 0 to ``steps`` returns, which runs of one length share.

    ``before`` returns precede the first.
    """
    seen = range(before, before + steps + 1)
    sums = np.array([sum_weights(dt, half_life, each) for each in seen])
    sums.flags.writeable = False
    return sums


class RunningVolatility:
    """Volatility that a venue computes from the oracle's returns (IDX-3).

    It is an EWMA by half-life, annualised over the trading time. Weights are scaled to sum to one;
    otherwise, the volatility in the first half-life is understated.

    Args:
        dt: seconds between returns.
        year: seconds of the same clock in a year, of each column or of all; 365 days where the
            market never closes.
        half_life: half-life of a squared return's weight (s).
    """

    def __init__(
        self, dt: float, year: F8 | float = YEAR_SECONDS, half_life: float = 86_400.0
    ) -> None:
        self.dt, self.year, self.half_life = dt, year, half_life
        self.variance: F8 | float = 0.0
        self.before = 0  # steps before the start of the run from which it has learned
        self._seen = 0

    def learn(self, returns: F8) -> F8:
        """Return the volatility after one more return of each column, (n,)."""
        self._seen += 1
        square = returns**2 * (self.year / self.dt)
        self.variance = self.variance + self.update_weight * (square - self.variance)
        seen = self.before + self._seen
        return np.sqrt(self.variance / sum_weights(self.dt, self.half_life, seen))

    def learn_past(self, returns: F8, steps: int) -> F8:
        """Return the volatility after returns before the start, (n, columns), oldest first.

        Each covers some steps, and weighs as much as they would together.
        """
        weight = 1 - 0.5 ** (steps * self.dt / self.half_life)
        for row in returns:
            square = row**2 * (self.year / (steps * self.dt))
            self.variance = self.variance + weight * (square - self.variance)
        self.before += steps * len(returns)
        return np.sqrt(self.variance / sum_weights(self.dt, self.half_life, self.before))

    @property
    def update_weight(self) -> float:
        """Weight of the newest return."""
        return float(1 - 0.5 ** (self.dt / self.half_life))

    def resume(self, variance: F8, seen: int) -> None:
        """Continue from a variance after some returns."""
        self.variance, self._seen = variance, seen
