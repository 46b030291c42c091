"""Noise traders: leveraged traders who choose their side at random (AGT-1)."""

from typing import Literal

import numpy as np
from pydantic import Field

from agents.leveraged import LeveragedTrader, LognormalLeverage
from sim.types import F8, I8, Observation

__all__ = ["LeveragedTrader", "NoiseTraders"]


class NoiseTraders(LognormalLeverage):
    """Noise traders (Black 1986): they enter on a random side, independent of prices."""

    kind: Literal["traders"] = "traders"
    name: str = Field(
        "traders", min_length=1, description="name of the population, unique in the market (text)"
    )
    long_share: float = Field(
        0.5, ge=0, le=1, description="probability that an entry buys (probability)"
    )

    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        return np.where(draws < self.long_share, 1.0, -1.0) * self._members.target_leverage[rows]
