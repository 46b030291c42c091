"""Index of implied volatility: Heston's variance plus a premium."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.prices.heston import simulate_variance
from sim.prices.process import PriceProcess, ProcessInputs
from sim.types import F8


class VarianceIndex(PriceProcess):
    """Volatility index, sqrt(v + premium) up to a factor, with Heston's variance v.

    dv = reversion (volatility² - v) dt + vol_of_vol sqrt(v) dB (full-truncation Euler). It is for
    an underlying that is not a price but a level of volatility, in percent a year. Give it 100 x
    sqrt(volatility² + premium) as ``start``, and correlate it with the prices to which it belongs.
    Engines refer to it by name; no instrument need be listed on it. Carr and Wu (2009, Rev.
    Financial Studies) find that implied variance exceeds expected variance by a premium.
    """

    kind: Literal["variance_index"] = "variance_index"
    volatility: float = Field(gt=0, description="square root of the mean variance (1/sqrt(year))")
    reversion: float = Field(
        default=5.0, gt=0, description="speed at which variance returns to its mean (1/year)"
    )
    vol_of_vol: float = Field(
        default=0.5, ge=0, description="volatility of variance, at a variance of 1 (1/year)"
    )
    premium: float = Field(
        default=0.01, gt=0, description="implied less expected variance (1/year)"
    )

    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log changes of the index per step, (steps,)."""
        years = self.years_per_step(inputs.dt)
        swing = self.vol_of_vol * math.sqrt(years)
        variance = simulate_variance(
            np.append(z, 0.0), self.volatility**2, self.reversion * years, swing
        )
        increments: F8 = np.diff(np.log(variance + self.premium)) / 2
        return increments
