"""What a model of returns is, and the two forms its forecast takes; both are asked for the tail of a portfolio."""

from abc import abstractmethod
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from pydantic import SerializeAsAny

from sim import margin
from sim.component import Component
from sim.margin.base import _pick
from sim.margin.tail.risk_measures import (
    Convention,
    Law,
    Measure,
    tail_weights,
)
from sim.margin.tail.top_losses import worst
from sim.numerics.matrix_roots import triangular_root
from sim.types import F8


class Tail(NamedTuple):
    """What is asked of a forecast."""

    measure: Measure
    level: float  # confidence
    convention: Convention  # how a sample's VaR is read


class Forecast(Protocol):
    """A view of the next return of U underlyings."""

    def loss(self, exposure: F8, tail: Tail) -> F8:
        """Tail loss of portfolios, (A,), at least nil, in the unit of ``exposure`` (A, U); positively homogeneous."""
        ...

    def scenarios(self) -> F8:
        """Equally likely returns that stand for it, (S, U): for what does not lose in proportion to a return."""
        ...


class Sample(NamedTuple):
    """Equally likely returns, (S, U). The log return is taken for the relative one, as the published tables do."""

    returns: F8

    def loss(self, exposure: F8, tail: Tail) -> F8:
        """See :class:`Forecast`."""
        weights = tail_weights(len(self.returns), tail.level, tail.measure, tail.convention)
        return worst(exposure, self.returns, weights)

    def scenarios(self) -> F8:
        """See :class:`Forecast`."""
        return self.returns


class Elliptic(NamedTuple):
    """Joint normal or Student-t returns of mean nil."""

    covariance: F8  # (U, U)
    law: Law

    def loss(self, exposure: F8, tail: Tail) -> F8:
        """See :class:`Forecast`."""
        variance = np.einsum("au,uv,av->a", exposure, self.covariance, exposure)
        found: F8 = np.sqrt(np.maximum(variance, 0.0)) * self.law.tail(tail.measure, tail.level)
        return found

    def scenarios(self) -> F8:
        """See :class:`Forecast`: fixed points that fill the unit cube evenly (Sobol 1967) mapped to the law, and their
        opposites.
        """
        root = triangular_root(self.covariance)
        half = self.law.points(len(root), POINTS // 2) @ root.T
        return np.concatenate([half, -half])


POINTS = 16_384
"""Scenarios that stand for a law: a power of two, which Sobol's points need."""


class Forecaster(Protocol):
    """A model at work: fed one return at a time, oldest first."""

    def learn(self, row: F8) -> None:
        """One more return of each underlying, (U,)."""
        ...

    def forecast(self) -> Forecast | None:
        """Of the next return; none while too little is known."""
        ...


class ModelComponent(Component):
    """A model of returns: the parameters of a :class:`Forecaster`."""

    @classmethod
    def variants(cls) -> list[type[Component]]:
        """The family as registered by now."""
        return list(margin.MODELS.values())

    @abstractmethod
    def bind(self, columns: int, every: float) -> Forecaster:
        """A fresh forecaster.

        Args:
            columns: U, underlyings.
            every: seconds between the returns it will be fed.
        """

    @abstractmethod
    def needs(self, every: float) -> int:
        """Returns it must have seen before it forecasts."""


AnyModel = Annotated[SerializeAsAny[ModelComponent], _pick("MODELS")]
