"""Margin scaled by volatility: realised, or that of an implied-volatility index (MAR-8)."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin.base import AnyRequirement, RequirementWrapper, find_underlying
from sim.margin.probe_portfolio import compute_margin_rates
from sim.margin.realised_volatility import RealisedVolatility
from sim.margin.wrappers.scaling_wrapper import FactorMargin
from sim.protocols import Requirement
from sim.types import Contracts, MarketView

PERCENT_POINTS = 100.0
"""Unit of an implied-volatility index, which is quoted in percent a year."""


class VolatilityScaling(RequirementWrapper):
    """Factor on each instrument's margin that follows volatility.

    M → M x clip((volatility ÷ reference)^power, low, high). Volatility is realised, by EWMA of the
    oracle's returns. Alternatively, it is the level of an underlying that is an implied-volatility
    index: one with the process ``variance_index``, or a replay of ``arch:vix``.
    """

    kind: Literal["scaled"] = Field(default="scaled", description="scaled by volatility (name)")
    inner: AnyRequirement = Field(description="requirement that is scaled (component)")
    index: str = Field(
        default="",
        description="underlying whose level is implied volatility; empty = realised (name)",
    )
    half_life: float = Field(
        default=86_400, gt=0, description="half-life of realised volatility (s)"
    )
    reference: float = Field(
        default=0.5, gt=0, description="volatility at which the factor is one (annualised)"
    )
    exponent: float = Field(
        default=1.0, ge=0, le=2, description="power of the ratio of volatilities (1)"
    )
    low: float = Field(default=0.5, gt=0, description="least factor (ratio)")
    high: float = Field(default=5.0, gt=0, description="largest factor (ratio)")

    @model_validator(mode="after")
    def _check_factor_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low: {self.low:g} exceeds high {self.high:g}, swap them")
        return self

    def bind(self, contracts: Contracts, unit: int) -> "VolatilityScalingMargin":
        """See :class:`RequirementComponent`.

        Raises:
            ConfigError: the index is not an underlying of the market.
        """
        return VolatilityScalingMargin(self, self.inner.bind(contracts, unit), contracts)


class VolatilityScalingMargin(FactorMargin):
    """Volatility scaling of one pool's instruments."""

    def __init__(self, rule: VolatilityScaling, inner: Requirement, contracts: Contracts) -> None:
        super().__init__(inner)
        self.rule = rule
        self.volatilities = RealisedVolatility(contracts, rule.half_life, rule.reference)
        self.index_column = (
            find_underlying(rule.index, contracts, "requirement.index") if rule.index else None
        )

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement, and the factors with the volatility."""
        self.inner.observe(market)
        if self.index_column is None:
            self.volatilities.observe(market)
            volatility = self.volatilities.volatility
        else:
            volatility = np.full(
                len(market.mark), market.oracle[self.index_column] / PERCENT_POINTS
            )
        factor = np.clip(
            (volatility / self.rule.reference) ** self.rule.exponent, self.rule.low, self.rule.high
        )
        self.factor = np.stack([factor, factor])
        if factor.size > 1:  # one leg needs no weights
            self.rate = compute_margin_rates(self.inner, market)
