"""Brownian motion with jumps."""

import math
from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import pdtr

from sim.errors import ConfigError
from sim.prices.process import LARGEST, Process, Tape, normal
from sim.types import F8


class MertonJump(Process):
    """Merton's jump diffusion (Merton 1976, J. Financial Economics 3), compensated.

    Normal log jumps arrive by a Poisson clock. The compensator takes their mean growth out of the drift, so the
    expected price grows at ``drift`` whatever the jumps. Correlation is carried by the diffusion; jumps are the
    underlying's own. Variance of a year's log return: volatility^2 + intensity days_per_year (jump_mean^2 + jump_sd^2).
    """

    kind: Literal["merton_jump"] = "merton_jump"
    drift: float = Field(default=0.0, ge=-LARGEST, le=LARGEST, description="growth rate of the expected price (1/year)")
    volatility: float = Field(
        ge=0, le=LARGEST, description="standard deviation of log returns between jumps (1/sqrt(year))"
    )
    intensity: float = Field(ge=0, le=LARGEST, description="expected number of jumps (1/day)")
    jump_mean: float = Field(default=0.0, ge=-10, le=10, description="mean of a jump in the log price (1)")
    jump_sd: float = Field(default=0.0, ge=0, le=10, description="standard deviation of a jump in the log price (1)")

    def increments(self, z: F8, tape: Tape) -> F8:
        """Log returns per step, (steps,).

        Raises:
            ConfigError: too many jumps in a step.
        """
        years, expected = self.years(tape.dt), self.intensity * tape.dt / self.day
        if expected > LARGEST:
            told = f"process.intensity: {self.intensity:g} a day are {expected:.3g} jumps a step"
            raise ConfigError([f"{told}, must be at most {LARGEST:g}: lower it or dt, or raise the day"])
        growth = math.expm1(self.jump_mean + self.jump_sd**2 / 2)
        draws = tape.uniform("jumps", len(z), 2)
        number = poisson(draws[:, 0], expected)
        jumps = number * self.jump_mean + np.sqrt(number) * self.jump_sd * normal(draws[:, 1])
        steady = (self.drift - self.volatility**2 / 2) * years - expected * growth
        returns: F8 = steady + self.volatility * years**0.5 * z + jumps
        return returns


def poisson(uniform: F8, mean: float) -> F8:
    """Poisson numbers by inversion: one uniform each."""
    longest = math.ceil(mean + 12 * math.sqrt(mean) + 24)  # beyond this the tail is under 2**-53
    return np.searchsorted(pdtr(np.arange(longest), mean), uniform, side="right").astype(np.float64)
