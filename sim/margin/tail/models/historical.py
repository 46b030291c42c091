"""Historical simulation: the past returns themselves are the scenarios."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.tail.models.base import ModelComponent, SampleForecast, SampleState
from sim.margin.tail.models.history import RollingWindow, count_returns_needed, count_rows
from sim.types import F8


class HistoricalModel(ModelComponent):
    """Past returns of a window, equally likely."""

    kind: Literal["historical"] = Field(
        default="historical", description="past returns as scenarios (name)"
    )
    window: float = Field(default=43_200_000, gt=0, description="past that is kept (s; 500 days)")
    least: float | None = Field(
        default=None, gt=0, description="past needed first; none = the whole window (s)"
    )

    def n_returns_needed(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        return count_returns_needed(self.window, self.least, every)

    def bind(self, columns: int, every: float) -> "HistoricalForecaster":
        """See :class:`ModelComponent`."""
        return HistoricalForecaster(
            RollingWindow(count_rows(self.window, every), columns), self.n_returns_needed(every)
        )


class HistoricalForecaster:
    """Historical forecaster with a window of returns."""

    def __init__(self, window: RollingWindow, needs: int) -> None:
        self.window, self.n_returns_needed = window, needs
        self.n_returns = np.zeros(1, dtype=np.int64)

    @property
    def sample_state(self) -> SampleState:
        """See :class:`SampleForecaster`."""
        window, known = self.window.state, np.ones(1, dtype=np.bool_)
        unscaled = np.ones(window[0].shape[1])
        return SampleState(*window, self.n_returns, self.n_returns_needed, 0, unscaled, known, 1.0)

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.n_returns[0] += 1
        self.window.push(row)

    def forecast(self) -> SampleForecast | None:
        """See :class:`Forecaster`."""
        if len(self.window) < self.n_returns_needed:
            return None
        return SampleForecast(self.window.rows().copy())
