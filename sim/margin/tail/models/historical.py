"""Historical simulation: the past returns themselves are the scenarios."""

from typing import Literal

from pydantic import Field

from sim.margin.tail.models.base import ModelComponent, Sample
from sim.margin.tail.models.history import Window, needed, rows_of
from sim.types import F8


class Historical(ModelComponent):
    """The returns of a window, equally likely."""

    kind: Literal["historical"] = Field(default="historical", description="past returns as scenarios (name)")
    window: float = Field(default=43_200_000, gt=0, description="past that is kept (s; 500 days)")
    least: float | None = Field(default=None, gt=0, description="past needed first; none = the whole window (s)")

    def needs(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        return needed(self.window, self.least, every)

    def bind(self, columns: int, every: float) -> "HistoricalForecaster":
        """See :class:`ModelComponent`."""
        return HistoricalForecaster(Window(rows_of(self.window, every), columns), self.needs(every))


class HistoricalForecaster:
    """Keeps a window of returns."""

    def __init__(self, window: Window, needs: int) -> None:
        self.window, self.needs = window, needs

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.window.push(row)

    def forecast(self) -> Sample | None:
        """See :class:`Forecaster`."""
        return None if len(self.window) < self.needs else Sample(self.window.rows().copy())
