"""Models of returns, and the two forms of their forecasts.

Both give the tail loss of a portfolio.
"""

from abc import abstractmethod
from typing import Annotated, NamedTuple, Protocol, runtime_checkable

import numpy as np
from pydantic import SerializeAsAny

from sim.component import Component, has_own_rules
from sim.margin.base import make_registry_validator
from sim.margin.registry import MODELS
from sim.margin.tail.risk_measures import Convention, Measure, ReturnLaw, compute_tail_weights
from sim.margin.tail.top_losses import sum_worst_losses
from sim.numerics.matrix_roots import compute_triangular_root
from sim.types import B1, F8, I8


class TailSpec(NamedTuple):
    """Tail to compute from a forecast."""

    measure: Measure
    level: float  # confidence
    convention: Convention  # definition of a sample's VaR


class ReturnForecast(Protocol):
    """Forecast of the next return of U underlyings."""

    def compute_tail_loss(self, exposure: F8, tail: TailSpec) -> F8:
        """Return the tail loss of portfolios, (A,), >= 0, in the unit of ``exposure`` (A, U).

        It is positively homogeneous.
        """
        ...

    def scenario_returns(self) -> F8:
        """Return equally likely returns that represent the forecast, (S, U).

        They serve instruments whose loss is not proportional to a return.
        """
        ...


class SampleForecast(NamedTuple):
    """Equally likely returns, (S, U).

    The log return is used as the relative one, as in the published tables.
    """

    returns: F8

    def compute_tail_loss(self, exposure: F8, tail: TailSpec) -> F8:
        """See :class:`ReturnForecast`."""
        weights = compute_tail_weights(len(self.returns), tail.level, tail.measure, tail.convention)
        return sum_worst_losses(exposure, self.returns, weights)

    def scenario_returns(self) -> F8:
        """See :class:`ReturnForecast`."""
        return self.returns


class EllipticForecast(NamedTuple):
    """Joint normal or Student-t returns with mean zero."""

    covariance: F8  # (U, U)
    law: ReturnLaw

    def compute_tail_loss(self, exposure: F8, tail: TailSpec) -> F8:
        """See :class:`ReturnForecast`."""
        variance = np.einsum("au,uv,av->a", exposure, self.covariance, exposure)
        tail_deviations = self.law.measure_tail(tail.measure, tail.level)
        loss: F8 = np.sqrt(np.maximum(variance, 0.0)) * tail_deviations
        return loss

    def scenario_returns(self) -> F8:
        """See :class:`ReturnForecast`.

        They are fixed points that fill the unit cube evenly (Sobol 1967), mapped to the law, and
        their opposites.
        """
        root = compute_triangular_root(self.covariance)
        half = self.law.generate_points(len(root), N_SOBOL_POINTS // 2) @ root.T
        return np.concatenate([half, -half])


N_SOBOL_POINTS = 16_384
"""Scenarios that represent a law: a power of two, as Sobol points require."""


class Forecaster(Protocol):
    """Model that learns one return at a time, oldest first."""

    def learn(self, row: F8) -> None:
        """Learn one more return of each underlying, (U,)."""
        ...

    def forecast(self) -> ReturnForecast | None:
        """Return the forecast of the next return, or None while too few returns are known."""
        ...


class SampleState(NamedTuple):
    """State of a model whose forecast is a sample, in arrays that stay in place; U underlyings."""

    store: F8  # (2 size, U) returns of the window, scaled ones if the model filters them
    end: I8  # (1,) rows in use
    n_returns: I8  # (1,) returns learned so far
    needed: int  # returns that the model needs
    is_filtered: int  # one if returns are scaled by the volatility of their day
    variance: F8  # (U,) of the next return
    is_seeded: B1  # (1,) whether the variance is known
    decay: float


@runtime_checkable
class SampleForecaster(Protocol):
    """Forecaster whose forecast is a sample of its window."""

    @property
    def sample_state(self) -> SampleState:
        """State that learning changes."""
        ...


def read_sample_state(forecaster: Forecaster) -> SampleState | None:
    """Return the state of a model whose forecast is a sample, None if kernels cannot learn it."""
    if not isinstance(forecaster, SampleForecaster) or has_own_rules(forecaster, "sample_state"):
        return None
    return forecaster.sample_state


class ModelComponent(Component):
    """Model of returns: the parameters of a :class:`Forecaster`."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """Return the model classes that are registered now."""
        return list(MODELS.values())

    @abstractmethod
    def bind(self, columns: int, every: float) -> Forecaster:
        """Build a new forecaster.

        Args:
            columns: U, underlyings.
            every: seconds between the returns that it learns.
        """

    @abstractmethod
    def n_returns_needed(self, every: float) -> int:
        """Return the number of returns that the model needs before it forecasts."""


AnyModel = Annotated[SerializeAsAny[ModelComponent], make_registry_validator(MODELS)]
