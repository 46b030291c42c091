"""What a model of returns is, and the two forms its forecast takes; both are asked for the tail of a portfolio."""

from abc import abstractmethod
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from pydantic import SerializeAsAny

from sim.component import Component
from sim.margin.base import make_registry_validator
from sim.margin.registry import MODELS
from sim.margin.tail.risk_measures import Convention, Measure, ReturnLaw, compute_tail_weights
from sim.margin.tail.top_losses import sum_worst_losses
from sim.numerics.matrix_roots import compute_triangular_root
from sim.types import F8


class TailSpec(NamedTuple):
    """What is asked of a forecast."""

    measure: Measure
    level: float  # confidence
    convention: Convention  # how a sample's VaR is read


class ReturnForecast(Protocol):
    """A view of the next return of U underlyings."""

    def compute_tail_loss(self, exposure: F8, tail: TailSpec) -> F8:
        """Tail loss of portfolios, (A,), at least nil, in the unit of ``exposure`` (A, U); positively homogeneous."""
        ...

    def scenario_returns(self) -> F8:
        """Equally likely returns that stand for it, (S, U): for what does not lose in proportion to a return."""
        ...


class SampleForecast(NamedTuple):
    """Equally likely returns, (S, U). The log return is taken for the relative one, as the published tables do."""

    returns: F8

    def compute_tail_loss(self, exposure: F8, tail: TailSpec) -> F8:
        """See :class:`Forecast`."""
        weights = compute_tail_weights(len(self.returns), tail.level, tail.measure, tail.convention)
        return sum_worst_losses(exposure, self.returns, weights)

    def scenario_returns(self) -> F8:
        """See :class:`Forecast`."""
        return self.returns


class EllipticForecast(NamedTuple):
    """Joint normal or Student-t returns of mean nil."""

    covariance: F8  # (U, U)
    law: ReturnLaw

    def compute_tail_loss(self, exposure: F8, tail: TailSpec) -> F8:
        """See :class:`Forecast`."""
        variance = np.einsum("au,uv,av->a", exposure, self.covariance, exposure)
        found: F8 = np.sqrt(np.maximum(variance, 0.0)) * self.law.measure_tail(
            tail.measure, tail.level
        )
        return found

    def scenario_returns(self) -> F8:
        """See :class:`Forecast`: fixed points that fill the unit cube evenly (Sobol 1967) mapped to the law, and their
        opposites.
        """
        root = compute_triangular_root(self.covariance)
        half = self.law.generate_points(len(root), N_SOBOL_POINTS // 2) @ root.T
        return np.concatenate([half, -half])


N_SOBOL_POINTS = 16_384
"""Scenarios that stand for a law: a power of two, which Sobol's points need."""


class Forecaster(Protocol):
    """A model at work: fed one return at a time, oldest first."""

    def learn(self, row: F8) -> None:
        """One more return of each underlying, (U,)."""
        ...

    def forecast(self) -> ReturnForecast | None:
        """Of the next return; none while too little is known."""
        ...


class ModelComponent(Component):
    """A model of returns: the parameters of a :class:`Forecaster`."""

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """The family as registered by now."""
        return list(MODELS.values())

    @abstractmethod
    def bind(self, columns: int, every: float) -> Forecaster:
        """A fresh forecaster.

        Args:
            columns: U, underlyings.
            every: seconds between the returns it will be fed.
        """

    @abstractmethod
    def n_returns_needed(self, every: float) -> int:
        """Returns it must have seen before it forecasts."""


AnyModel = Annotated[SerializeAsAny[ModelComponent], make_registry_validator(MODELS)]
