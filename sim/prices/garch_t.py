"""Clustered volatility with fat-tailed returns."""

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import gammaincinv

from sim.errors import ConfigError
from sim.jit import kernel
from sim.prices.process import LARGEST, Process, Tape
from sim.types import F8


class GarchT(Process):
    """GARCH(1,1) with Student-t innovations (Bollerslev 1987), stated by the day and run at any step.

    ``alpha`` and ``beta`` are what a fit to daily returns gives. A step that is a fraction h of a day runs the same
    recursion with alpha_h = alpha sqrt(h) and alpha_h + beta_h = (alpha + beta)^h: Nelson's (1990, J. Econometrics 45)
    approach to the diffusion. So the half-life of variance in seconds, the volatility of variance per day and the
    unconditional volatility (exactly) do not depend on dt. The recursion starts at the unconditional variance and
    sees x alone, never the index or the market (IDX-1).

    The t innovation is z sqrt((df - 2) / chi2): unit variance, and correlation carries over through z. ``drift`` is
    that of the log price, because the expected price of a log-t return is infinite.

    The defaults of alpha, beta and df are the maximum-likelihood fit to the daily closes of WTI oil 1986-2019
    (`arch:wti`, ``arch_model(dist="t")``); the same fit to the S&P 500 1999-2018 is .100, .900, 6.5.
    """

    kind: Literal["garch_t"] = "garch_t"
    drift: float = Field(default=0.0, ge=-LARGEST, le=LARGEST, description="mean of the log return (1/year)")
    volatility: float = Field(
        gt=0, le=LARGEST, description="unconditional standard deviation of log returns (1/sqrt(year))"
    )
    alpha: float = Field(default=0.066, ge=0, lt=1, description="weight of yesterday's squared return (1, daily)")
    beta: float = Field(default=0.927, ge=0, lt=1, description="weight of yesterday's variance (1, daily)")
    df: float = Field(default=6.1, gt=2, le=LARGEST, description="degrees of freedom of the innovations (1)")

    @model_validator(mode="after")
    def _stationary(self) -> Self:
        if self.alpha + self.beta >= 1:
            raise ValueError(f"alpha + beta is {self.alpha + self.beta:.15g}, must be below 1: lower one of them")
        return self

    def increments(self, z: F8, tape: Tape) -> F8:
        """Log returns per step, (steps,).

        Raises:
            ConfigError: the step is longer than the day.
        """
        years = self.years(tape.dt)
        alpha, beta = self.per_step(tape.dt)
        chi2 = 2 * gammaincinv(self.df / 2, tape.uniform("chi2", len(z), 1)[:, 0])
        shocks = z * np.sqrt((self.df - 2) / chi2)
        return self.drift * years + recurse(shocks, self.volatility**2 * years, alpha, beta)

    def per_step(self, dt: float) -> tuple[float, float]:
        """``alpha`` and ``beta`` of a step of ``dt`` seconds."""
        share = dt / self.day
        if share > 1:
            told = f"process.day: {self.day:.15g} s is shorter than the step of {dt:.15g} s"
            raise ConfigError([f"{told}: raise it, or lower dt to at most it"])
        alpha = self.alpha * math.sqrt(share)
        return alpha, (self.alpha + self.beta) ** share - alpha


@kernel
def recurse(shocks: F8, variance: float, alpha: float, beta: float) -> F8:
    """GARCH(1,1) returns from unit-variance ``shocks`` (steps,), starting at the unconditional ``variance``."""
    returns = np.empty_like(shocks)
    omega = (1.0 - alpha - beta) * variance
    now = variance
    for step in range(len(shocks)):
        returns[step] = math.sqrt(now) * shocks[step]
        now = omega + alpha * returns[step] * returns[step] + beta * now
    return returns
