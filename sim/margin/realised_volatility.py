"""Realised volatility of a pool's underlyings, from the oracle's returns alone."""

import math

import numpy as np

from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import F8, Contracts, MarketView


class RealisedVolatility:
    """EWMA by half-life, started at a reference, so that nothing is scaled before anything is known.

    Args:
        contracts: the pool's instruments.
        half_life: of the weight of a squared return (s).
        reference: volatility it starts at (annualised).
    """

    def __init__(self, contracts: Contracts, half_life: float, reference: float) -> None:
        self.underlying, self.half_life = contracts.underlying, half_life
        self.variance = np.full(len(contracts.names), reference**2)  # (K,) annualised
        self._seen = 0

    def observe(self, market: MarketView) -> None:
        """Take in the returns that have come since."""
        weight = 1 - math.exp(-math.log(2) * market.dt / self.half_life)
        per_year = find_seconds_per_year(market) / market.dt
        for row in market.returns[self._seen :, self.underlying]:
            self.variance = self.variance + weight * (np.square(row) * per_year - self.variance)
        self._seen = len(market.returns)

    @property
    def volatility(self) -> F8:
        """(K,) annualised."""
        return np.sqrt(self.variance)
