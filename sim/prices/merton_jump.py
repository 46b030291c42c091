"""Brownian motion with jumps."""

import math
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import pdtr

from sim.errors import ConfigError
from sim.prices.process import MAX_PARAMETER, PriceProcess, ProcessInputs, invert_normal
from sim.types import F8


class MertonJump(PriceProcess):
    """Jump diffusion of Merton (1976, J. Financial Economics 3), compensated.

    Normal log jumps arrive as a Poisson process. The compensator removes their mean growth from the
    drift, so the expected price grows at ``drift`` whatever the jumps. The diffusion carries the
    correlation of underlyings; jumps of different underlyings are independent. The variance of a
    year's log return is volatility^2 + intensity days_per_year (jump_mean^2 + jump_sd^2).
    """

    kind: Literal["merton_jump"] = "merton_jump"
    drift: float = Field(
        default=0.0,
        ge=-MAX_PARAMETER,
        le=MAX_PARAMETER,
        description="growth rate of the expected price (1/year)",
    )
    volatility: float = Field(
        ge=0,
        le=MAX_PARAMETER,
        description="standard deviation of log returns between jumps (1/sqrt(year))",
    )
    intensity: float = Field(ge=0, le=MAX_PARAMETER, description="expected number of jumps (1/day)")
    jump_mean: float = Field(
        default=0.0, ge=-10, le=10, description="mean of a jump in the log price (1)"
    )
    jump_sd: float = Field(
        default=0.0, ge=0, le=10, description="standard deviation of a jump in the log price (1)"
    )

    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log returns per step, (steps,).

        Raises:
            ConfigError: a step has too many jumps.
        """
        years, expected = self.years_per_step(inputs.dt), self.intensity * inputs.dt / self.day
        if expected > MAX_PARAMETER:
            problem = f"process.intensity: {self.intensity:g} a day are {expected:.3g} jumps a step"
            raise ConfigError(
                [f"{problem}, must be at most {MAX_PARAMETER:g}: lower it or dt, or raise the day"]
            )
        growth = math.expm1(self.jump_mean + self.jump_sd**2 / 2)
        draws = inputs.draw_uniform("jumps", len(z), 2)
        number = invert_poisson(draws[:, 0], expected)
        jumps = number * self.jump_mean + np.sqrt(number) * self.jump_sd * invert_normal(
            draws[:, 1]
        )
        steady = (self.drift - self.volatility**2 / 2) * years - expected * growth
        returns: F8 = steady + self.volatility * years**0.5 * z + jumps
        return returns


def invert_poisson(uniform: F8, mean: float) -> F8:
    """Return Poisson numbers by inversion of one uniform each."""
    n_values = math.ceil(mean + 12 * math.sqrt(mean) + 24)  # beyond this the tail is under 2**-53
    return np.searchsorted(pdtr(np.arange(n_values), mean), uniform, side="right").astype(
        np.float64
    )
