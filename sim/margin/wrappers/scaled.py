"""Margin scaled by volatility: realised, or that of an implied-volatility index (MAR-8)."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin.base import AnyRequirement, RequirementWrapper, find_underlying
from sim.margin.compiled import LearningArrays, LearningStep
from sim.margin.past import PastView, learn_past
from sim.margin.probe_portfolio import bind_margin_rates, compute_margin_rates
from sim.margin.realised_volatility import RealisedVolatility
from sim.margin.wrappers.scaling_wrapper import FactorMargin
from sim.numerics.bound_kernels import bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import B1, F8, Contracts, MarketView

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
        super().__init__(inner, len(contracts.names))
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
        self._set_factors(market)

    def learn_past(self, past: PastView) -> None:
        """Update the inner requirement, and the factors with the volatility before the start."""
        learn_past(self.inner, past)
        if self.index_column is None:
            self.volatilities.learn_past(past)
        self._set_factors(past.market)

    def _set_factors(self, market: MarketView) -> None:
        """Set the factors by the present volatility, and the rates by which they are weighted."""
        level = market.oracle[self.index_column or 0]
        set_power_factors(0, *self._list_terms(), np.full(1, level), self.factor, self.is_set)
        if len(market.mark) > 1:  # one leg needs no weights
            self.rate[:] = compute_margin_rates(self.inner, market)

    def _list_terms(self) -> tuple[F8, int, float, float, float, float]:
        """Return the arguments of the factor that do not change."""
        rule, has_index = self.rule, self.index_column is not None
        power = (float(rule.reference), float(rule.exponent), float(rule.low), float(rule.high))
        return self.volatilities.variance, int(has_index), *power

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        column = self.index_column
        level = arrays.market.oracle[:1] if column is None else arrays.market.oracle[column:]
        own = bind_kernel(set_power_factors, *self._list_terms(), level, self.factor, self.is_set)
        inner = self._bind_inner_learning(arrays)
        is_single = self.factor.shape[1] == 1
        rates = () if is_single else bind_margin_rates(self.inner, arrays, self.rate)
        if inner is None or rates is None:
            return None
        own_volatility = (self.volatilities.bind_learning(arrays),) if column is None else ()
        return (*inner, *own_volatility, LearningStep(own), *rates)


@kernel
def set_power_factors(
    tick: int,
    variance: F8,
    has_index: int,
    reference: float,
    exponent: float,
    low: float,
    high: float,
    level: F8,
    factor: F8,
    is_set: B1,
) -> int:
    """Set the factors of both sides by the power of volatility over its reference.

    Volatility is the root of the variance (K,), or the level of an index, (1,) percent.
    """
    for k in range(variance.size):
        volatility = level[0] / PERCENT_POINTS if has_index else np.sqrt(variance[k])
        power = (volatility / reference) ** exponent
        factor[:, k] = np.minimum(np.maximum(power, low), high)
    is_set[0] = True
    return 0
