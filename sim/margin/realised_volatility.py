"""Realised volatility of a pool's underlyings, from the oracle's returns alone."""

import math

import numpy as np

from sim.margin.compiled import LearningArrays, LearningStep
from sim.margin.past import PastView
from sim.numerics.bound_kernels import bind_kernel
from sim.numerics.jit import kernel
from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import F8, I8, Contracts, MarketView


class RealisedVolatility:
    """Exponentially weighted variance that starts at a reference.

    Nothing is scaled before returns have been observed.

    Args:
        contracts: the pool's instruments.
        half_life: time in which the weight of a squared return halves (s).
        reference: volatility at the start (annualised).
    """

    def __init__(self, contracts: Contracts, half_life: float, reference: float) -> None:
        self.underlying, self.half_life = contracts.underlying, half_life
        self.variance = np.full(len(contracts.names), reference**2)  # (K,) annualised
        self._seen = np.zeros(1, dtype=np.int64)

    def observe(self, market: MarketView) -> None:
        """Update the variances with the returns since the last call."""
        weight, per_year = self._weigh(market.dt), find_seconds_per_year(market) / market.dt
        for row in market.returns[self._seen[0] :, self.underlying]:
            self.variance += weight * (np.square(row) * per_year - self.variance)
        self._seen[0] = len(market.returns)

    def learn_past(self, past: PastView) -> None:
        """Update the variances with returns before the start; longer ones weigh more."""
        returns, per_year = np.ascontiguousarray(past.returns), find_seconds_per_year(past.opening)
        weights = (per_year / past.seconds, self._weigh(past.seconds))
        seen = np.zeros(1, dtype=np.int64)
        update_variances(len(returns), returns, self.underlying, *weights, self.variance, seen)

    def bind_learning(self, arrays: LearningArrays) -> LearningStep:
        """Return the step that does what :meth:`observe` does."""
        dt, state = arrays.market.dt, (self.variance, self._seen)
        per_year = arrays.market.seconds_per_year / dt
        terms = (arrays.returns, self.underlying, per_year, self._weigh(dt))
        return LearningStep(bind_kernel(update_variances, *terms, *state))

    def _weigh(self, dt: float) -> float:
        """Return the weight of one return."""
        return 1 - math.exp(-math.log(2) * dt / self.half_life)

    @property
    def volatility(self) -> F8:
        """Volatility of each instrument's underlying, (K,), annualised."""
        return np.sqrt(self.variance)


@kernel
def update_variances(
    tick: int, returns: F8, underlying: I8, per_year: F8, weight: float, variance: F8, seen: I8
) -> int:
    """Update the variances with the returns that have not been seen."""
    for row in range(seen[0], tick):
        for k in range(variance.size):
            last = returns[row, underlying[k]]
            variance[k] += weight * (last * last * per_year[k] - variance[k])
    seen[0] = tick
    return 0
