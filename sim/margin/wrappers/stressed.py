"""EMIR's anti-procyclicality tool (b): a weight for stressed observations."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.wrappers.scaling_wrapper import AntiProcyclicalityMargin
from sim.types import F8, Contracts


class StressWeight(RequirementWrapper):
    """Weighted mean of the margin M and its maximum so far.

    M → (1 - weight) M + weight x the largest M so far. Delegated Regulation (EU) 153/2013, Article
    28(1)(b), requires a weight of at least 25% for stressed observations of the look-back, and
    leaves the form open. The running maximum as the stressed margin is the project's own choice.
    """

    kind: Literal["stressed"] = Field(default="stressed", description="a weight for stress (name)")
    inner: AnyRequirement = Field(description="requirement that is smoothed (component)")
    weight: float = Field(
        default=0.25, ge=0, le=1, description="weight of the stressed margin (share)"
    )
    every: float = Field(default=86_400, gt=0, description="clock on which margin is recorded (s)")

    def spacing(self) -> float:
        """Return the shorter of its clock and the spacing of the inner requirement (s)."""
        return min(self.every, self.inner.spacing())

    def bind(self, contracts: Contracts, unit: int) -> AntiProcyclicalityMargin:
        """See :class:`RequirementComponent`."""
        return AntiProcyclicalityMargin(
            self.inner.bind(contracts, unit),
            StressTool(self.weight),
            len(contracts.names),
            every=self.every,
            since=self.look_back(),
        )


class StressTool:
    """Stress rule with the largest margin so far."""

    name = "stressed"

    def __init__(self, weight: float) -> None:
        self.weight, self.acts = weight, True
        self.highest: F8 | None = None

    def adjust_rates(self, rate: F8) -> F8:
        """See :class:`sim.margin.wrappers.scaling_wrapper.AntiProcyclicalityTool`."""
        self.highest = rate.copy() if self.highest is None else np.maximum(self.highest, rate)
        return (1 - self.weight) * rate + self.weight * self.highest
