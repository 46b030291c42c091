"""Smiles: implied volatility of one expiry as a function of k = ln(strike / forward)."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.component import Component
from sim.pricing.instrument_values import find_forwards, find_option_columns, find_years_to_expiry
from sim.types import F8, MarketView


class SmileComponent(Component):
    """Implied volatility of one underlying at one expiry."""

    underlying: str = Field(description="name of the underlying")
    expiry: float = Field(gt=0, description="expiry of the options (s on the run's clock)")

    @classmethod
    def registered_variants(cls) -> list[type[Component]]:
        """Return the registered smiles."""
        return list(SMILES.values())

    @abstractmethod
    def compute_vol(self, k: ArrayLike, years: float) -> F8:
        """Return the annualised volatility at log-moneynesses k, above zero.

        Args:
            k: ln(strike / forward), any shape.
            years: time to expiry.
        """


class SviSmile(SmileComponent):
    """SVI smile: total variance w(k) = a + b (rho (k - m) + sqrt((k - m)² + sigma²)).

    Volatility is sqrt(w / years). Source: Gatheral, "A parsimonious arbitrage-free implied
    volatility parameterization" (2004), raw form. The slope of the wings may not exceed 2, because
    no distribution has such prices (Lee 2004).
    """

    kind: Literal["svi"] = Field(default="svi", description="Gatheral's five parameters (name)")
    a: float = Field(description="level (variance)")
    b: float = Field(ge=0, description="slope of the wings (variance per unit of log-moneyness)")
    rho: float = Field(gt=-1, lt=1, description="skew (ratio)")
    m: float = Field(default=0.0, description="shift (log-moneyness)")
    sigma: float = Field(gt=0, description="width of the bend (log-moneyness)")

    @model_validator(mode="after")
    def _check_variance(self) -> Self:
        smallest = self.a + self.b * self.sigma * math.sqrt(1 - self.rho**2)
        if smallest <= 0:
            raise ValueError(
                f"a: {self.a:.15g}, the smallest total variance is {smallest:.3g}, "
                "must be above 0: raise a"
            )
        steepest = self.b * (1 + abs(self.rho))
        if steepest > 2:
            raise ValueError(
                f"b: {self.b:.15g}, the steeper wing has slope {steepest:.3g}, "
                "may not exceed 2: lower b"
            )
        return self

    def compute_vol(self, k: ArrayLike, years: float) -> F8:
        """Return the annualised volatility; see :class:`SmileComponent`."""
        distance = np.asarray(k) - self.m
        total = self.a + self.b * (self.rho * distance + np.sqrt(distance**2 + self.sigma**2))
        return np.sqrt(total / years)


class QuadraticSmile(SmileComponent):
    """Quadratic smile: volatility = level + skew k + curvature k², at least the floor."""

    kind: Literal["quadratic"] = Field(
        default="quadratic", description="a parabola in log-moneyness (name)"
    )
    level: float = Field(gt=0, description="volatility at the money (annualised)")
    skew: float = Field(
        default=0.0, description="slope at the money (volatility per unit of log-moneyness)"
    )
    curvature: float = Field(
        default=0.0, ge=0, description="curvature (volatility per squared log-moneyness)"
    )
    floor: float = Field(default=0.01, gt=0, description="smallest volatility, annualised (rate)")

    def compute_vol(self, k: ArrayLike, years: float) -> F8:
        """Return the annualised volatility; see :class:`SmileComponent`."""
        k = np.asarray(k, dtype=np.float64)
        return np.maximum(self.level + self.skew * k + self.curvature * k * k, self.floor)


SMILES: dict[str, type[Component]] = {
    "svi": SviSmile,
    "quadratic": QuadraticSmile,
}


def apply_smiles(market: MarketView, smiles: Sequence[SmileComponent]) -> MarketView:
    """Return the same market with the volatility of each option from its smile.

    The smile of its underlying and expiry gives the volatility at its strike. Options without a
    smile keep their volatility.
    """
    vol, contracts = market.vol.copy(), market.contracts
    forward, left, column = (
        find_forwards(market),
        find_years_to_expiry(market),
        find_option_columns(market),
    )
    for smile in smiles:
        underlying = contracts.underlyings.index(smile.underlying)
        covered = column[
            (contracts.underlying[column] == underlying)
            & (contracts.expiry[column] == smile.expiry)
        ]
        covered = covered[left[covered] > 0]
        if covered.size:
            vol[covered] = smile.compute_vol(
                np.log(contracts.strike[covered] / forward[covered]), float(left[covered[0]])
            )
    return market._replace(vol=vol)
