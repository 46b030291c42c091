"""Noise traders: leveraged traders who choose their side at random (AGT-1)."""

from typing import Literal

import numpy as np
from pydantic import Field

from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.leveraged_binding import LeveragedBinding
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel
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

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledPopulation`."""
        binding = LeveragedBinding.begin(step, members, self._members.scope, self.latency)
        binding.arrays.hazard[:] = self._members.entry_probability
        signals = binding.draw_sides(self.long_share, self._members.target_leverage)
        return self._bind_members(binding, signals=[signals])
