"""Stochastic volatility that rises as prices fall."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.numerics.jit import kernel
from sim.prices.process import MAX_PARAMETER, PriceProcess, ProcessInputs, invert_normal
from sim.types import F8


class Heston(PriceProcess):
    """Model of Heston (1993, Review of Financial Studies 6), by full-truncation Euler.

    d ln S = (drift - v/2) dt + sqrt(v) dW and dv = reversion (volatility^2 - v) dt + vol_of_vol
    sqrt(v) dB, with dW dB = correlation dt. With a correlation below zero, volatility rises as
    prices fall. If a step takes v below zero, zero is used for it in drift and diffusion, and v
    itself is kept. Of the Euler schemes this one has the least bias (Lord, Koekkoek and van Dijk
    2010, Quantitative Finance 10). v starts at its mean, volatility^2. Given v, a step's expected
    price grows at ``drift`` exactly.

    W carries the correlation of underlyings; the rest of B is independent of other underlyings.
    Choose a step well below 1 / reversion years. The defaults have the size estimated for stock
    indices (S&P 500, volatility near 0.2): variance forgets half a shock in seven weeks (365 ln 2 /
    5 days). The shape of v's distribution depends on 2 reversion volatility^2 / vol_of_vol^2 alone.
    An asset k times as volatile keeps it with vol_of_vol k times as large.
    """

    kind: Literal["heston"] = "heston"
    drift: float = Field(
        default=0.0,
        ge=-MAX_PARAMETER,
        le=MAX_PARAMETER,
        description="growth rate of the expected price (1/year)",
    )
    volatility: float = Field(
        gt=0,
        le=MAX_PARAMETER,
        description="square root of the mean variance of log returns (1/sqrt(year))",
    )
    reversion: float = Field(
        default=5.0,
        gt=0,
        le=MAX_PARAMETER,
        description="speed at which variance returns to its mean (1/year)",
    )
    vol_of_vol: float = Field(
        default=0.5,
        ge=0,
        le=MAX_PARAMETER,
        description="volatility of variance, at a variance of 1 (1/year)",
    )
    correlation: float = Field(
        default=-0.7, ge=-1, le=1, description="correlation of price and variance innovations (1)"
    )

    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log returns per step, (steps,)."""
        years = self.years_per_step(inputs.dt)
        own = invert_normal(inputs.draw_uniform("variance", len(z), 1)[:, 0])
        shocks = self.correlation * z + math.sqrt(1 - self.correlation**2) * own
        pull, swing = self.reversion * years, self.vol_of_vol * math.sqrt(years)
        variance = simulate_variance(shocks, self.volatility**2, pull, swing)
        returns: F8 = (self.drift - variance / 2) * years + np.sqrt(variance * years) * z
        return returns


@kernel
def simulate_variance(shocks: F8, mean: float, pull: float, swing: float) -> F8:
    """Return the variance per year that each step uses, (steps,), never below zero.

    It starts at its ``mean``.
    """
    used = np.empty_like(shocks)
    now = mean
    for step in range(len(shocks)):
        used[step] = now if now > 0.0 else 0.0
        now += pull * (mean - used[step]) + swing * math.sqrt(used[step]) * shocks[step]
    return used
