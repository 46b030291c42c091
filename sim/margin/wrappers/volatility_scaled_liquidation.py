"""Liquidation threshold that follows volatility, inspired by AVSL, whose formula is not public."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.probe_portfolio import compute_margin_rates
from sim.margin.realised_volatility import RealisedVolatility
from sim.margin.wrappers.scaling_wrapper import FactorMargin
from sim.protocols import Requirement
from sim.types import Contracts, Exposure, Margins, MarketView


class VolatilityScaledLiquidation(RequirementWrapper):
    """Maintenance multiplied by V, a clipped ratio of volatility to a reference.

    V = clip(sqrt(share x realised² + (1 - share) x forecast²) ÷ reference, 1, cap). The definition
    is the project's own. The glossary that names an "adaptive volatility-scaled liquidation"
    mentions a scalar of realised and forecast volatility, but gives no equation, parameter or
    number. Realised volatility is an EWMA of the oracle's returns. The forecast is the mean
    variance over ``horizon`` if variance returns to reference² with half-life ``recovery``. Initial
    is raised only so far that it covers maintenance.
    """

    kind: Literal["avsl_inspired"] = Field(
        default="avsl_inspired", description="liquidation threshold scaled by volatility (name)"
    )
    inner: AnyRequirement = Field(description="requirement whose maintenance is scaled (component)")
    reference: float = Field(
        default=0.5, gt=0, description="volatility up to which the factor is one (annualised)"
    )
    cap: float = Field(default=3.0, ge=1, description="largest factor (ratio)")
    share: float = Field(default=0.5, ge=0, le=1, description="weight of realised variance (share)")
    half_life: float = Field(default=3600, gt=0, description="half-life of realised volatility (s)")
    recovery: float = Field(
        default=86_400, gt=0, description="half-life of the return of variance to its reference (s)"
    )
    horizon: float = Field(default=14_400, gt=0, description="horizon of the forecast (s)")

    def bind(self, contracts: Contracts, unit: int) -> "VolatilityScaledMargin":
        """See :class:`RequirementComponent`."""
        return VolatilityScaledMargin(self, self.inner.bind(contracts, unit), contracts)


class VolatilityScaledMargin(FactorMargin):
    """Liquidation thresholds of one pool's instruments."""

    def __init__(
        self, rule: VolatilityScaledLiquidation, inner: Requirement, contracts: Contracts
    ) -> None:
        super().__init__(inner)
        self.rule = rule
        self.volatilities = RealisedVolatility(contracts, rule.half_life, rule.reference)
        speed = math.log(2) * rule.horizon / rule.recovery
        # mean share of an excess variance that remains over the horizon
        self.persistence = (1 - math.exp(-speed)) / speed

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement, and the factor with the volatility."""
        self.inner.observe(market)
        self.volatilities.observe(market)
        rule, now = self.rule, self.volatilities.variance
        forecast = rule.reference**2 + self.persistence * (now - rule.reference**2)
        scalar = np.sqrt(rule.share * now + (1 - rule.share) * forecast) / rule.reference
        factor = np.clip(scalar, 1.0, rule.cap)
        self.factor = np.stack([factor, factor])
        if factor.size > 1:
            self.rate = compute_margin_rates(self.inner, market)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return inner initial, and maintenance times the factor, (A,)."""
        initial, maintenance = self.inner.compute_margins(accounts)
        maintenance = self.account_factor(accounts) * maintenance
        return Margins(np.maximum(initial, maintenance), maintenance)
