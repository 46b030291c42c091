"""Clustered volatility with fat-tailed returns."""

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import gammaincinv

from sim.errors import ConfigError
from sim.numerics.jit import kernel
from sim.prices.process import MAX_PARAMETER, PriceProcess, ProcessInputs
from sim.types import F8


class GarchT(PriceProcess):
    """GARCH(1,1) with Student-t innovations (Bollerslev 1987), for daily parameters and any step.

    A fit to daily returns gives ``alpha`` and ``beta``. A step that is a fraction h of a day runs
    the same recursion with alpha_h = alpha sqrt(h) and alpha_h + beta_h = (alpha + beta)^h:
    Nelson's (1990, J. Econometrics 45) approach to the diffusion. The half-life of variance in
    seconds, the volatility of variance per day and the unconditional volatility (exactly) therefore
    do not depend on dt. The recursion starts at the unconditional variance. It depends on x alone,
    never on the index or the market (IDX-1).

    The t innovation is z sqrt((df - 2) / chi2). It has unit variance, and z carries the
    correlation. ``drift`` is that of the log price, because the expected price of a log-t return is
    infinite.

    The defaults of alpha, beta and df are the maximum-likelihood fit to the daily closes of WTI oil
    1986-2019 (`arch:wti`, ``arch_model(dist="t")``). The same fit to the S&P 500 1999-2018 gives
    0.100, 0.900 and 6.5.
    """

    kind: Literal["garch_t"] = "garch_t"
    drift: float = Field(
        default=0.0,
        ge=-MAX_PARAMETER,
        le=MAX_PARAMETER,
        description="mean of the log return (1/year)",
    )
    volatility: float = Field(
        gt=0,
        le=MAX_PARAMETER,
        description="unconditional standard deviation of log returns (1/sqrt(year))",
    )
    alpha: float = Field(
        default=0.066, ge=0, lt=1, description="weight of yesterday's squared return (1, daily)"
    )
    beta: float = Field(
        default=0.927, ge=0, lt=1, description="weight of yesterday's variance (1, daily)"
    )
    df: float = Field(
        default=6.1, gt=2, le=MAX_PARAMETER, description="degrees of freedom of the innovations (1)"
    )

    @model_validator(mode="after")
    def _check_stationary(self) -> Self:
        if self.alpha + self.beta >= 1:
            raise ValueError(
                f"alpha + beta is {self.alpha + self.beta:.15g}, must be below 1: lower one of them"
            )
        return self

    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log returns per step, (steps,).

        Raises:
            ConfigError: the step is longer than the day.
        """
        years = self.years_per_step(inputs.dt)
        alpha, beta = self.scale_to_step(inputs.dt)
        chi2 = 2 * gammaincinv(self.df / 2, inputs.draw_uniform("chi2", len(z), 1)[:, 0])
        shocks = z * np.sqrt((self.df - 2) / chi2)
        return self.drift * years + simulate_garch(shocks, self.volatility**2 * years, alpha, beta)

    def scale_to_step(self, dt: float) -> tuple[float, float]:
        """Return ``alpha`` and ``beta`` of a step of ``dt`` seconds."""
        share = dt / self.day
        if share > 1:
            problem = f"process.day: {self.day:.15g} s is shorter than the step of {dt:.15g} s"
            raise ConfigError([f"{problem}: raise it, or lower dt to at most it"])
        alpha = self.alpha * math.sqrt(share)
        return alpha, (self.alpha + self.beta) ** share - alpha


@kernel
def simulate_garch(shocks: F8, variance: float, alpha: float, beta: float) -> F8:
    """Return GARCH(1,1) returns from unit-variance ``shocks`` (steps,).

    They start at the unconditional ``variance``.
    """
    returns = np.empty_like(shocks)
    omega = (1.0 - alpha - beta) * variance
    now = variance
    for step in range(len(shocks)):
        returns[step] = math.sqrt(now) * shocks[step]
        now = omega + alpha * returns[step] * returns[step] + beta * now
    return returns
