"""Filtered historical simulation: past returns at today's volatility.

Source: Hull and White 1998, J. Risk 1(1).
"""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.tail.models.base import ModelComponent, SampleForecast, SampleState
from sim.margin.tail.models.history import (
    ReturnScaler,
    RollingWindow,
    count_returns_needed,
    count_rows,
)
from sim.types import F8


class FilteredModel(ModelComponent):
    """Past returns at the present volatility: r* = r x volatility now ÷ volatility of its day.

    Volatilities are EWMAs. Source: Gurrola-Perez and Murphy 2015, BoE working paper 525.
    """

    kind: Literal["filtered"] = Field(
        default="filtered", description="past returns at today's volatility (name)"
    )
    window: float = Field(default=43_200_000, gt=0, description="past that is kept (s; 500 days)")
    least: float | None = Field(
        default=None, gt=0, description="past needed first; none = the whole window (s)"
    )
    decay: float = Field(
        default=0.97, gt=0, lt=1, description="EWMA weight of the past, per return (1)"
    )
    seed: int = Field(
        default=100,
        ge=2,
        description="returns whose mean square is the first value of the EWMA (count)",
    )

    def n_returns_needed(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        return max(count_returns_needed(self.window, self.least, every), self.seed)

    def bind(self, columns: int, every: float) -> "FilteredForecaster":
        """See :class:`ModelComponent`."""
        window = RollingWindow(count_rows(self.window, every), columns)
        return FilteredForecaster(
            window, ReturnScaler(columns, self.decay, self.seed), self.n_returns_needed(every)
        )


class FilteredForecaster:
    """Filtered forecaster with a window of scaled returns."""

    def __init__(self, window: RollingWindow, scaled: ReturnScaler, needs: int) -> None:
        self.window, self.scaler, self.n_returns_needed = window, scaled, needs
        self.n_returns = np.zeros(1, dtype=np.int64)

    @property
    def sample_state(self) -> SampleState:
        """See :class:`SampleForecaster`."""
        return SampleState(
            *self.window.state,
            self.n_returns,
            self.n_returns_needed,
            1,
            *self.scaler.state,
            self.scaler.decay,
        )

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.n_returns[0] += 1
        for each in self.scaler.learn(row):
            self.window.push(each)

    def forecast(self) -> SampleForecast | None:
        """See :class:`Forecaster`."""
        variance = self.scaler.variance
        if self.n_returns[0] < self.n_returns_needed or variance is None:
            return None
        return SampleForecast(self.window.rows() * np.sqrt(variance))
