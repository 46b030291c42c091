"""Smiles: implied volatility of one expiry as a function of k = ln(strike / forward)."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.component import Component
from sim.pricing import forwards, options, years
from sim.types import F8, MarketView


class SmileComponent(Component):
    """Implied volatility of one underlying at one expiry."""

    underlying: str = Field(description="name of the underlying")
    expiry: float = Field(gt=0, description="expiry it is for (s on the run's clock)")

    @classmethod
    def variants(cls) -> list[type[Component]]:
        """The smiles there are."""
        return list(SMILES.values())

    @abstractmethod
    def vol(self, k: ArrayLike, years: float) -> F8:
        """Annualised volatility at log-moneynesses k of options with some years to go, above nil."""


class Svi(SmileComponent):
    """Total variance w(k) = a + b (rho (k - m) + sqrt((k - m)² + sigma²)); volatility = sqrt(w / years).

    Gatheral, "A parsimonious arbitrage-free implied volatility parameterization" (2004), raw form. The wings may not
    be steeper than 2, above which no distribution has such prices (Lee 2004).
    """

    kind: Literal["svi"] = Field(default="svi", description="Gatheral's five parameters (name)")
    a: float = Field(description="level (variance)")
    b: float = Field(ge=0, description="slope of the wings (variance per unit of log-moneyness)")
    rho: float = Field(gt=-1, lt=1, description="skew (ratio)")
    m: float = Field(default=0.0, description="shift (log-moneyness)")
    sigma: float = Field(gt=0, description="width of the bend (log-moneyness)")

    @model_validator(mode="after")
    def _is_a_variance(self) -> Self:
        least = self.a + self.b * self.sigma * math.sqrt(1 - self.rho**2)
        if least <= 0:
            raise ValueError(f"a: {self.a:.15g}, the least total variance is {least:.3g}, must be above zero: raise a")
        steepest = self.b * (1 + abs(self.rho))
        if steepest > 2:
            raise ValueError(f"b: {self.b:.15g}, the steeper wing has slope {steepest:.3g}, may not exceed 2: lower b")
        return self

    def vol(self, k: ArrayLike, years: float) -> F8:
        """See :class:`SmileComponent`."""
        off = np.asarray(k) - self.m
        total = self.a + self.b * (self.rho * off + np.sqrt(off**2 + self.sigma**2))
        return np.sqrt(total / years)


class Quadratic(SmileComponent):
    """Volatility = level + skew k + curvature k², no less than the floor."""

    kind: Literal["quadratic"] = Field(default="quadratic", description="a parabola in log-moneyness (name)")
    level: float = Field(gt=0, description="at the money (annualised volatility)")
    skew: float = Field(default=0.0, description="slope at the money (volatility per unit of log-moneyness)")
    curvature: float = Field(default=0.0, ge=0, description="curvature (volatility per squared log-moneyness)")
    floor: float = Field(default=0.01, gt=0, description="least volatility, annualised (rate)")

    def vol(self, k: ArrayLike, years: float) -> F8:
        """See :class:`SmileComponent`."""
        k = np.asarray(k, dtype=np.float64)
        return np.maximum(self.level + self.skew * k + self.curvature * k * k, self.floor)


SMILES: dict[str, type[Component]] = {
    "svi": Svi,
    "quadratic": Quadratic,
}


def implied(market: MarketView, smiles: Sequence[SmileComponent]) -> MarketView:
    """The same market, every option at the volatility that the smile of its underlying and expiry gives its strike.

    Options without a smile keep the volatility they have.
    """
    vol, contracts = market.vol.copy(), market.contracts
    forward, left, column = forwards(market), years(market), options(market)
    for smile in smiles:
        underlying = contracts.underlyings.index(smile.underlying)
        its = column[(contracts.underlying[column] == underlying) & (contracts.expiry[column] == smile.expiry)]
        its = its[left[its] > 0]
        if its.size:
            vol[its] = smile.vol(np.log(contracts.strike[its] / forward[its]), float(left[its[0]]))
    return market._replace(vol=vol)
