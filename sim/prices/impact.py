"""Impact of this market's spot trading on the index (IDX-2)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.numerics.jit import kernel
from sim.types import F8


class SpotImpact(Component):
    """Impact of spot trading on one underlying's index, and the speed at which it fades.

    The index is exp(x + impact). Net buying of ``depth`` at once raises it by 1%; selling lowers it
    by as much in logs. The impact is linear, so that no round trip gains. Each half-life halves the
    remaining impact.

    Calibration: the ratio of depth to open interest matters, so state both on the scale of the
    simulated market. depth = (real notional within 1% of mid, summed over the spot venues that
    arbitrageurs reach) / (real open interest) x (simulated open interest). For scale: Binance's
    bitcoin book held on average $16.53M within 1% in 2025, and $3.50M within 0.1%. The smaller
    depth is against open interest, the more liquidations feed back into the index. The default,
    none, is an outside market without impact.
    """

    depth: float | None = Field(
        default=None,
        gt=0,
        description="net notional that moves spot by 1% (quote); none = no impact",
    )
    half_life: float = Field(
        default=3_600.0, gt=0, description="time in which half of the impact fades (s)"
    )

    @property
    def log_slope(self) -> float:
        """Return the log price per unit of quote currency bought; 0 = no impact."""
        return 0.0 if self.depth is None else math.log(1.01) / self.depth


class ImpactDynamics(NamedTuple):
    """Impact of U underlyings at a fixed step."""

    log_slope: F8  # (U,) log price per unit of quote currency
    decay_factor: F8  # (U,) share of impact left after a step

    @classmethod
    def from_config(cls, impacts: Sequence[SpotImpact], dt: float) -> "ImpactDynamics":
        """Return the impact at a step of ``dt`` seconds."""
        return cls(
            np.array([impact.log_slope for impact in impacts], dtype=np.float64),
            np.array([0.5 ** (dt / impact.half_life) for impact in impacts], dtype=np.float64),
        )

    def advance_impact(self, state: F8, net_notional: F8) -> F8:
        """Return the log impact (U,) after a step.

        The old impact fades, then that of ``net_notional`` (U,) bought in spot (quote) is added.
        """
        return state * self.decay_factor + self.log_slope * net_notional


@kernel
def compute_index(log_price: F8, log_impact: F8) -> F8:
    """Return the index with impact, (U,) quote currency (IDX-1, IDX-2)."""
    index = np.empty(log_price.size)
    for u in range(index.size):
        index[u] = np.exp(log_price[u] + log_impact[u])
    return index


@kernel
def compute_log_returns(price: F8, before: F8) -> F8:
    """Return the log returns of prices, (U,)."""
    returns = np.empty(price.size)
    for u in range(returns.size):
        returns[u] = np.log(price[u] / before[u])
    return returns
