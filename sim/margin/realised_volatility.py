"""Realised volatility of a pool's underlyings, from the oracle's returns alone."""

import math

import numpy as np

from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import F8, Contracts, MarketView


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
        self._seen = 0

    def observe(self, market: MarketView) -> None:
        """Update the variances with the returns since the last call."""
        weight = 1 - math.exp(-math.log(2) * market.dt / self.half_life)
        per_year = find_seconds_per_year(market) / market.dt
        for row in market.returns[self._seen :, self.underlying]:
            self.variance = self.variance + weight * (np.square(row) * per_year - self.variance)
        self._seen = len(market.returns)

    @property
    def volatility(self) -> F8:
        """Volatility of each instrument's underlying, (K,), annualised."""
        return np.sqrt(self.variance)
