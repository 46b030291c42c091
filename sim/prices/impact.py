"""The part of spot that this market moves (IDX-2)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.types import F8


class SpotImpact(Component):
    """How far trading in spot moves one underlying's index, and how fast that fades.

    The index is exp(x + impact). Net buying of ``depth`` at once raises it by 1%, selling lowers it by as much in
    logs, in proportion (a linear law: no round trip gains); each half-life halves what is left.

    Calibration: what counts is depth relative to open interest, so state both on the scale of the simulated market:
    depth = (real notional within 1% of mid, summed over the spot venues that arbitrageurs reach) / (real open interest)
    x (simulated open interest). For scale: Binance's bitcoin book held on average $16.53M within 1% in 2025, and $3.50M
    within 0.1%. The smaller depth is against open interest, the more liquidations feed back into the index; none,
    the default, is an outside market that never notices.
    """

    depth: float | None = Field(
        default=None, gt=0, description="net notional that moves spot 1% (quote); none = never"
    )
    half_life: float = Field(
        default=3_600.0, gt=0, description="time in which half of the impact fades (s)"
    )

    @property
    def log_slope(self) -> float:
        """Log price per unit of quote currency bought; 0 = none."""
        return 0.0 if self.depth is None else math.log(1.01) / self.depth


class ImpactDynamics(NamedTuple):
    """The impact of U underlyings, ready to step."""

    log_slope: F8  # (U,) log price per unit of quote currency
    decay_factor: F8  # (U,) share of impact left after a step

    @classmethod
    def from_config(cls, impacts: Sequence[SpotImpact], dt: float) -> "ImpactDynamics":
        """Impact at a step of ``dt`` seconds."""
        return cls(
            np.array([impact.log_slope for impact in impacts], dtype=np.float64),
            np.array([0.5 ** (dt / impact.half_life) for impact in impacts], dtype=np.float64),
        )

    def advance_impact(self, state: F8, net_notional: F8) -> F8:
        """Log impact (U,) after a step: the old fades, then ``net_notional`` (U,) bought in spot (quote) joins."""
        return state * self.decay_factor + self.log_slope * net_notional
