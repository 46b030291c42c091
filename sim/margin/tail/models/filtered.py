"""Filtered historical simulation: past returns at today's volatility (Hull and White 1998, J. Risk 1(1))."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.tail.models.base import ModelComponent, Sample
from sim.margin.tail.models.history import Scaled, Window, needed, rows_of
from sim.types import F8


class Filtered(ModelComponent):
    """r* = r x volatility of now ÷ that of its day, by EWMA (Gurrola-Perez and Murphy 2015, BoE working paper 525)."""

    kind: Literal["filtered"] = Field(default="filtered", description="past returns at today's volatility (name)")
    window: float = Field(default=43_200_000, gt=0, description="past that is kept (s; 500 days)")
    least: float | None = Field(default=None, gt=0, description="past needed first; none = the whole window (s)")
    decay: float = Field(default=0.97, gt=0, lt=1, description="EWMA weight of the past, per return (1)")
    seed: int = Field(default=100, ge=2, description="returns whose mean square starts the EWMA (count)")

    def needs(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        return max(needed(self.window, self.least, every), self.seed)

    def bind(self, columns: int, every: float) -> "FilteredForecaster":
        """See :class:`ModelComponent`."""
        window = Window(rows_of(self.window, every), columns)
        return FilteredForecaster(window, Scaled(columns, self.decay, self.seed), self.needs(every))


class FilteredForecaster:
    """Keeps a window of scaled returns."""

    def __init__(self, window: Window, scaled: Scaled, needs: int) -> None:
        self.window, self.scaled, self.needs = window, scaled, needs
        self.seen = 0

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.seen += 1
        for each in self.scaled.learn(row):
            self.window.push(each)

    def forecast(self) -> Sample | None:
        """See :class:`Forecaster`."""
        if self.seen < self.needs or self.scaled.variance is None:
            return None
        return Sample(self.window.rows() * np.sqrt(self.scaled.variance))
