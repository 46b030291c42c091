"""GARCH(1,1) volatilities with constant correlations.

They are fitted by maximum likelihood on a clock of their own.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.margin.tail.models.base import EllipticForecast, ModelComponent
from sim.margin.tail.models.history import RollingWindow, count_rows
from sim.margin.tail.risk_measures import ReturnLaw
from sim.margin.tail.volatility import update_garch
from sim.types import F8

PERCENT = 100.0
"""Scale of the returns that are fitted: the optimiser needs numbers near one."""

FALLBACK_PARAMETERS = (0.05, 0.9)
"""Parameters a and b if no fit converges; the variance is then that of the window."""

Distribution = Literal["normal", "t"]


class GarchModel(ModelComponent):
    """Variances σ² ← w + a r² + b σ² (Bollerslev 1986) with mean zero.

    Correlations are those of r over its volatility (Bollerslev 1990).
    """

    kind: Literal["garch"] = Field(
        default="garch", description="GARCH(1,1), fitted at intervals (name)"
    )
    window: float = Field(
        default=86_400_000, gt=0, description="past that is fitted (s; 1,000 days)"
    )
    least: float | None = Field(
        default=None, gt=0, description="past needed first; none = half the window (s)"
    )
    refit_interval: float = Field(
        default=5_400_000,
        gt=0,
        description="time between fits (s; 62.5 days, a quarter of trading)",
    )
    distribution: Distribution = Field(
        default="normal", description="law of the innovations: normal or t (name)"
    )

    def n_returns_needed(self, every: float) -> int:
        """See :class:`ModelComponent`."""
        least = self.window / 2 if self.least is None else min(self.least, self.window)
        return max(count_rows(least, every), 10)

    def bind(self, columns: int, every: float) -> "GarchForecaster":
        """See :class:`ModelComponent`."""
        return GarchForecaster(self, columns, every)


class GarchFit(NamedTuple):
    """Fitted parameters of U underlyings."""

    omega: F8  # (U,) squared returns
    alpha: F8
    beta: F8
    df: float  # infinite = normal


class GarchForecaster:
    """GARCH forecaster that updates the variances between fits."""

    def __init__(self, rule: GarchModel, columns: int, every: float) -> None:
        self.rule, self.n_returns_needed, self.n_returns = rule, rule.n_returns_needed(every), 0
        self.refit = count_rows(rule.refit_interval, every)
        self.window = RollingWindow(
            max(count_rows(rule.window, every), self.n_returns_needed), columns
        )
        self.fit: GarchFit | None = None
        self.variance = np.zeros(columns)
        self.correlation = np.eye(columns)

    def learn(self, row: F8) -> None:
        """See :class:`Forecaster`."""
        self.n_returns += 1
        self.window.push(row)
        if (
            self.n_returns >= self.n_returns_needed
            and (self.n_returns - self.n_returns_needed) % self.refit == 0
        ):
            self._fit()
        elif self.fit is not None:
            self.variance = update_variances(self.fit, self.variance, row)

    def _fit(self) -> None:
        rows = self.window.rows()
        self.fit = fit = fit_garch(rows, self.rule.distribution)
        variance, scaled = np.square(rows).mean(axis=0), np.empty_like(rows)
        for number, row in enumerate(rows):
            scaled[number] = np.divide(
                row, np.sqrt(variance), out=np.zeros_like(row), where=variance > 0
            )
            variance = update_variances(fit, variance, row)
        self.variance, self.correlation = variance, compute_correlation(scaled)

    def forecast(self) -> EllipticForecast | None:
        """See :class:`Forecaster`."""
        if self.fit is None:
            return None
        spread = np.sqrt(self.variance)
        return EllipticForecast(self.correlation * np.outer(spread, spread), ReturnLaw(self.fit.df))


def update_variances(fit: GarchFit, variance: F8, row: F8) -> F8:
    """Return the next variances, (U,)."""
    return update_garch(variance, np.square(row), (fit.omega, fit.alpha, fit.beta))


def fit_garch(rows: F8, distribution: Distribution) -> GarchFit:
    """Fit each column of ``rows`` (T, U) by maximum likelihood.

    The heaviest of the tails is used.
    """
    columns = [_fit_column(column, distribution) for column in rows.T]
    omega, alpha, beta, df = (np.array(values) for values in zip(*columns, strict=True))
    return GarchFit(omega, alpha, beta, float(df.min()))


def _fit_column(returns: F8, distribution: Distribution) -> tuple[float, float, float, float]:
    from arch import arch_model  # loading takes seconds, and only this model needs it

    mean_square = float(np.square(returns).mean())
    alpha, beta = FALLBACK_PARAMETERS
    fallback = (mean_square * (1 - alpha - beta), alpha, beta, math.inf)
    if np.unique(returns).size < 3:  # a price that does not move has no likelihood
        return fallback
    model = arch_model(
        returns * PERCENT, mean="Zero", vol="GARCH", p=1, q=1, dist=distribution, rescale=False
    )
    result = model.fit(disp="off", show_warning=False)
    if result.convergence_flag:
        return fallback
    p = result.params
    df = max(float(p["nu"]), 2.05) if distribution == "t" else math.inf
    return float(p["omega"]) / PERCENT**2, float(p["alpha[1]"]), float(p["beta[1]"]), df


def compute_correlation(scaled: F8) -> F8:
    """Return the correlations of columns (T, U) with mean zero.

    A column that never moves has correlation zero with all others.
    """
    second = scaled.T @ scaled
    size = np.sqrt(np.diag(second))
    sizes = np.outer(size, size)
    matrix = np.divide(second, sizes, out=np.zeros_like(second), where=sizes > 0)
    np.fill_diagonal(matrix, 1.0)
    return matrix
