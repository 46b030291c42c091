"""EMIR's anti-procyclicality tool (a): a buffer built in calm and used in stress."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.tail.models.history import RollingWindow, count_rows
from sim.margin.wrappers.scaling_wrapper import AntiProcyclicalityMargin
from sim.types import F8, Contracts


class MarginBuffer(RequirementWrapper):
    """Buffer on margin M in calm, released when M exceeds its quantile P over the look-back.

    M → (1 + buffer) M while M is at most P, else max(M, (1 + buffer) P). Delegated Regulation (EU)
    153/2013, Article 28(1)(a), requires a buffer of at least 25% that may be exhausted when
    requirements rise significantly. It does not define how. The release rule here is the project's
    own. The margin stays at its level at P while M rises from P to (1 + buffer) P, and beyond that
    the buffer is exhausted.
    """

    kind: Literal["buffered"] = Field(
        default="buffered", description="a buffer released in stress (name)"
    )
    inner: AnyRequirement = Field(description="requirement that is smoothed (component)")
    buffer: float = Field(default=0.25, ge=0, description="buffer added in calm (share of margin)")
    quantile: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="quantile of past margins above which the buffer is released (share)",
    )
    window: float = Field(
        default=216_000_000, gt=0, description="look-back of that quantile (s; 2,500 days)"
    )
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
        return AntiProcyclicalityMargin(
            self.inner.bind(contracts, unit),
            BufferTool(self),
            len(contracts.names),
            every=self.every,
            since=self.inner.look_back(),
        )


class BufferTool:
    """Buffer rule with the margins of the look-back."""

    name = "buffered"

    def __init__(self, rule: MarginBuffer) -> None:
        self.rule, self.least = rule, count_rows(rule.least, rule.every)
        self.window: RollingWindow | None = None
        self.acts = False

    def adjust_rates(self, rate: F8) -> F8:
        """See :class:`sim.margin.wrappers.scaling_wrapper.AntiProcyclicalityTool`."""
        if self.window is None:
            self.window = RollingWindow(count_rows(self.rule.window, self.rule.every), rate.size)
        self.window.push(rate)
        rows, up = self.window.rows(), 1 + self.rule.buffer
        self.acts = len(rows) >= self.least
        if not self.acts:
            return up * rate
        high = np.quantile(rows, self.rule.quantile, axis=0)
        return np.where(rate <= high, up * rate, np.maximum(rate, up * high))
