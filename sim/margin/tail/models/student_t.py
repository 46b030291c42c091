"""Student-t returns: EWMA covariances, and a tail fitted to the kurtosis of the window."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.tail.models.base import EllipticForecast, ModelComponent
from sim.margin.tail.models.ewma import EwmaForecaster, EwmaModel
from sim.margin.tail.models.history import (
    ReturnScaler,
    RollingWindow,
    count_returns_needed,
    count_rows,
)
from sim.margin.tail.risk_measures import ReturnLaw
from sim.types import F8

MAX_DEGREES, MIN_DEGREES = 100.0, 4.1
"""Bounds on the degrees of freedom.

Above the first, Student's t is practically normal. Below the second, the fourth moment does not
exist, by which the degrees are fitted.
"""


class StudentTModel(ModelComponent):
    """Student-t model with degrees of freedom by moments, 4 + 6 / (kurtosis - 3).

    The kurtosis is that of returns over the volatility of their own day.
    """

    kind: Literal["student_t"] = Field(
        default="student_t", description="Student-t with fitted tails (name)"
    )
    window: float = Field(
        default=43_200_000, gt=0, description="past to which the tail is fitted (s; 500 days)"
    )
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

    def bind(self, columns: int, every: float) -> "StudentTForecaster":
        """See :class:`ModelComponent`."""
        return StudentTForecaster(self, columns, every)


class StudentTForecaster:
    """Student-t forecaster with an EWMA and a window of scaled returns for the tail."""

    def __init__(self, rule: StudentTModel, columns: int, every: float) -> None:
        self.n_returns_needed, self.n_returns = rule.n_returns_needed(every), 0
        self.window = RollingWindow(count_rows(rule.window, every), columns)
        self.scaler = ReturnScaler(columns, rule.decay, rule.seed)
        self.inner = EwmaForecaster(EwmaModel(decay=rule.decay, seed=rule.seed))

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.n_returns += 1
        self.inner.learn(row)
        for each in self.scaler.learn(row):
            self.window.push(each)

    def forecast(self) -> EllipticForecast | None:
        """See :class:`Forecaster`."""
        inner = self.inner.forecast()
        if self.n_returns < self.n_returns_needed or inner is None:
            return None
        return EllipticForecast(inner.covariance, ReturnLaw(estimate_degrees(self.window.rows())))


def estimate_degrees(scaled: F8) -> float:
    """Return the degrees of freedom from the mean kurtosis of columns (T, U).

    Columns that never move are left out.
    """
    square = np.square(scaled).mean(axis=0)
    moving = square > 0
    if not moving.any():
        return MAX_DEGREES
    kurtosis = float(
        (np.power(scaled[:, moving], 4).mean(axis=0) / np.square(square[moving])).mean()
    )
    return float(np.clip(4 + 6 / max(kurtosis - 3, 1e-9), MIN_DEGREES, MAX_DEGREES))
