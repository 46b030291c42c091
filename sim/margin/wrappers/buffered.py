"""EMIR's tool (a): a buffer that is built in calm and used up in stress."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.tail.models.history import RollingWindow, count_rows
from sim.margin.wrappers.scaling_wrapper import AntiProcyclicalityMargin
from sim.types import F8, Contracts


class MarginBuffer(RequirementWrapper):
    """M → (1 + buffer) M while M is no higher than its quantile P over the look-back, else max(M, (1 + buffer) P).

    Delegated Regulation (EU) 153/2013, Article 28(1)(a), asks for a buffer of at least 25% that may be exhausted when
    requirements rise significantly, and does not say how. Release here: what is asked stays where it stood at P while
    M climbs from P to (1 + buffer) P, and the buffer is gone from there on (our rule).
    """

    kind: Literal["buffered"] = Field(
        default="buffered", description="a buffer released in stress (name)"
    )
    inner: AnyRequirement = Field(description="the requirement that is steadied (component)")
    buffer: float = Field(default=0.25, ge=0, description="added in calm (share of margin)")
    quantile: float = Field(
        default=0.9, gt=0, le=1, description="of past margins, above which it is released (share)"
    )
    window: float = Field(
        default=216_000_000, gt=0, description="look-back of that quantile (s; 2,500 days)"
    )
    least: float = Field(
        default=43_200_000, gt=0, description="past needed before it acts (s; 500 days)"
    )
    every: float = Field(default=86_400, gt=0, description="clock on which margin is recorded (s)")

    def look_back(self) -> float:
        """That of the inner requirement, and what the tool needs to act; today counts."""
        return self.inner.look_back() + (count_rows(self.least, self.every) - 1) * self.every

    def bind(self, contracts: Contracts, unit: int) -> AntiProcyclicalityMargin:
        """See :class:`RequirementComponent`."""
        return AntiProcyclicalityMargin(
            self.inner.bind(contracts, unit), BufferTool(self), self.every, self.inner.look_back()
        )


class BufferTool:
    """Remembers margins of the look-back."""

    def __init__(self, rule: MarginBuffer) -> None:
        self.rule, self.least = rule, count_rows(rule.least, rule.every)
        self.window: RollingWindow | None = None

    def adjust_rates(self, rate: F8) -> F8:
        """See :class:`sim.margin.wrappers.scaling_wrapper.AntiProcyclicalityTool`."""
        if self.window is None:
            self.window = RollingWindow(count_rows(self.rule.window, self.rule.every), rate.size)
        self.window.push(rate)
        rows, up = self.window.rows(), 1 + self.rule.buffer
        if len(rows) < self.least:
            return up * rate
        high = np.quantile(rows, self.rule.quantile, axis=0)
        return np.where(rate <= high, up * rate, np.maximum(rate, up * high))
