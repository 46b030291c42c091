"""EMIR's anti-procyclicality tool (c): margin of at least its level over a long look-back."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.tail.models.history import RollingWindow, count_rows
from sim.margin.wrappers.scaling_wrapper import AntiProcyclicalityMargin
from sim.types import F8, Contracts


class LongRunFloor(RequirementWrapper):
    """Floor at the long-run mean of the margin: M → max(M, mean of M over the look-back).

    Delegated Regulation (EU) 153/2013, Article 28(1)(c), requires at least the margin of a
    volatility estimated over ten years. Here the mean of the margin itself over that time replaces
    it; this form is the project's own.
    """

    kind: Literal["floored"] = Field(
        default="floored", description="margin of at least its own long-run mean (name)"
    )
    inner: AnyRequirement = Field(description="requirement that is smoothed (component)")
    window: float = Field(default=216_000_000, gt=0, description="look-back (s; 2,500 days)")
    least: float = Field(
        default=43_200_000, gt=0, description="past needed before the tool acts (s; 500 days)"
    )
    every: float = Field(default=86_400, gt=0, description="clock on which margin is recorded (s)")

    def look_back(self) -> float:
        """Return the look-back of the inner requirement plus the past that the tool needs (s).

        The present entry counts.
        """
        return self.inner.look_back() + (count_rows(self.least, self.every) - 1) * self.every

    def spacing(self) -> float:
        """Return the shorter of its clock and the spacing of the inner requirement (s)."""
        return min(self.every, self.inner.spacing())

    def bind(self, contracts: Contracts, unit: int) -> AntiProcyclicalityMargin:
        """See :class:`RequirementComponent`."""
        tool = FloorTool(count_rows(self.window, self.every), count_rows(self.least, self.every))
        return AntiProcyclicalityMargin(
            self.inner.bind(contracts, unit),
            tool,
            len(contracts.names),
            every=self.every,
            since=self.inner.look_back(),
        )


class FloorTool:
    """Floor rule with the margins of the look-back."""

    name = "floored"

    def __init__(self, window: int, least: int) -> None:
        self.size, self.least, self.acts = window, least, False
        self.window: RollingWindow | None = None

    def adjust_rates(self, rate: F8) -> F8:
        """See :class:`sim.margin.wrappers.scaling_wrapper.AntiProcyclicalityTool`."""
        if self.window is None:
            self.window = RollingWindow(self.size, rate.size)
        self.window.push(rate)
        rows = self.window.rows()
        self.acts = len(rows) >= self.least
        return rate if len(rows) < self.least else np.maximum(rate, rows.mean(axis=0))
