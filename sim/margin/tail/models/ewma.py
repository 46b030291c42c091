"""Normal or Student-t returns with exponentially weighted covariances (RiskMetrics 1996)."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.tail.models.base import EllipticForecast, ModelComponent
from sim.margin.tail.risk_measures import ReturnLaw
from sim.margin.tail.volatility import update_ewma
from sim.types import F8


class EwmaModel(ModelComponent):
    """Covariances Σ ← λ Σ + (1 - λ) r r' with mean zero.

    They start at the mean of the first returns' products.
    """

    kind: Literal["ewma"] = Field(
        default="ewma", description="exponentially weighted covariances (name)"
    )
    decay: float = Field(default=0.97, gt=0, lt=1, description="weight of the past, per return (1)")
    seed: int = Field(
        default=100, ge=2, description="returns whose mean square is the first value (count)"
    )
    df: float | None = Field(
        default=None, gt=2, description="degrees of freedom of Student's t; none = normal (1)"
    )

    def n_returns_needed(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        return self.seed

    def bind(self, columns: int, every: float) -> "EwmaForecaster":
        """See :class:`ModelComponent`."""
        return EwmaForecaster(self)


class EwmaForecaster:
    """EWMA forecaster with one covariance matrix."""

    def __init__(self, rule: EwmaModel) -> None:
        self.rule, self.law = rule, ReturnLaw(math.inf if rule.df is None else rule.df)
        self.covariance: F8 | None = None
        self._early: list[F8] = []

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        if self.covariance is not None:
            self.covariance = update_ewma(self.covariance, np.outer(row, row), self.rule.decay)
            return
        self._early.append(row.copy())
        if len(self._early) == self.rule.seed:
            rows, self._early = self._early, []
            self.covariance = np.einsum("tu,tv->uv", rows, rows) / len(rows)
            for each in rows:
                self.learn(each)

    def forecast(self) -> EllipticForecast | None:
        """See :class:`Forecaster`."""
        return None if self.covariance is None else EllipticForecast(self.covariance, self.law)
