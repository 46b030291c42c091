"""Geometric Brownian motion."""

from typing import Literal

from pydantic import Field

from sim.prices.process import MAX_PARAMETER, PriceProcess, ProcessInputs
from sim.types import F8


class Gbm(PriceProcess):
    """Geometric Brownian motion with independent normal log returns (Samuelson 1965).

    The expected price grows at ``drift``.
    """

    kind: Literal["gbm"] = "gbm"
    drift: float = Field(
        default=0.0,
        ge=-MAX_PARAMETER,
        le=MAX_PARAMETER,
        description="growth rate of the expected price (1/year)",
    )
    volatility: float = Field(
        ge=0, le=MAX_PARAMETER, description="standard deviation of log returns (1/sqrt(year))"
    )

    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log returns per step, (steps,)."""
        years = self.years_per_step(inputs.dt)
        returns: F8 = (
            self.drift - self.volatility**2 / 2
        ) * years + self.volatility * years**0.5 * z
        return returns
