"""Normal or Student-t returns with the covariances of a window.

Alternatively, the volatilities of the window are combined with a given correlation matrix.
"""

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.errors import ConfigError
from sim.margin.tail.models.base import EllipticForecast, ModelComponent
from sim.margin.tail.models.history import RollingWindow, count_returns_needed, count_rows
from sim.margin.tail.risk_measures import ReturnLaw
from sim.numerics.matrix_roots import find_correlation_fault
from sim.types import F8


class CovarianceModel(ModelComponent):
    """Variance-covariance method: equal weights, mean zero."""

    kind: Literal["covariance"] = Field(
        default="covariance", description="variance and covariance of a window (name)"
    )
    window: float = Field(default=43_200_000, gt=0, description="past that is kept (s; 500 days)")
    least: float | None = Field(
        default=None, gt=0, description="past needed first; none = the whole window (s)"
    )
    df: float | None = Field(
        default=None, gt=2, description="degrees of freedom of Student's t; none = normal (1)"
    )
    correlation: tuple[tuple[float, ...], ...] | None = Field(
        default=None,
        description=(
            "correlations of the pool's underlyings, in their order; none = the window's "
            "(matrix, 1)"
        ),
    )

    @model_validator(mode="after")
    def _check_correlation(self) -> Self:
        if self.correlation is not None and (
            fault := find_correlation_fault(self.correlation, len(self.correlation))
        ):
            raise ValueError(fault)
        return self

    def n_returns_needed(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        return count_returns_needed(self.window, self.least, every)

    def bind(self, columns: int, every: float) -> "CovarianceForecaster":
        """See :class:`ModelComponent`."""
        if self.correlation is not None and len(self.correlation) != columns:
            raise ConfigError(
                [
                    f"requirement.model.correlation: {len(self.correlation)} rows, "
                    f"the pool has {columns} underlyings, give one row each"
                ]
            )
        return CovarianceForecaster(
            self,
            RollingWindow(count_rows(self.window, every), columns),
            self.n_returns_needed(every),
        )


class CovarianceForecaster:
    """Covariance forecaster with a window of returns."""

    def __init__(self, rule: CovarianceModel, window: RollingWindow, needs: int) -> None:
        self.window, self.n_returns_needed = window, needs
        self.law = ReturnLaw(math.inf if rule.df is None else rule.df)
        self.correlation = None if rule.correlation is None else np.array(rule.correlation)

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.window.push(row)

    def forecast(self) -> EllipticForecast | None:
        """See :class:`Forecaster`."""
        rows = self.window.rows()
        if len(rows) < self.n_returns_needed:
            return None
        covariance = rows.T @ rows / len(rows)
        if self.correlation is not None:
            spread = np.sqrt(np.diag(covariance))
            covariance = self.correlation * np.outer(spread, spread)
        return EllipticForecast(covariance, self.law)
