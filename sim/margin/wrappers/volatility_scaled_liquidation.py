"""Liquidation threshold that follows volatility, inspired by AVSL, whose formula is not public."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.past import PastView, learn_past
from sim.margin.probe_portfolio import bind_margin_rates, compute_margin_rates
from sim.margin.realised_volatility import RealisedVolatility
from sim.margin.wrappers.scaling_wrapper import FactorMargin, find_factors
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView


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
        super().__init__(inner, len(contracts.names))
        self.rule = rule
        self.volatilities = RealisedVolatility(contracts, rule.half_life, rule.reference)
        speed = math.log(2) * rule.horizon / rule.recovery
        # mean share of an excess variance that remains over the horizon
        self.persistence = (1 - math.exp(-speed)) / speed

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement, and the factor with the volatility."""
        self.inner.observe(market)
        self.volatilities.observe(market)
        self._set_factors(market)

    def learn_past(self, past: PastView) -> None:
        """Update the inner requirement, and the factor with the volatility before the start."""
        learn_past(self.inner, past)
        self.volatilities.learn_past(past)
        self._set_factors(past.market)

    def _set_factors(self, market: MarketView) -> None:
        """Set the factors by the present volatility, and the rates by which they are weighted."""
        set_threshold_factors(0, *self._list_terms(), self.factor, self.is_set)
        if len(market.mark) > 1:
            self.rate[:] = compute_margin_rates(self.inner, market)

    def _list_terms(self) -> tuple[F8, float, float, float, float]:
        """Return the arguments of the factor that do not change."""
        rule = self.rule
        numbers = (float(rule.reference), float(rule.share), float(rule.cap))
        return self.volatilities.variance, self.persistence, *numbers

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        own = bind_kernel(set_threshold_factors, *self._list_terms(), self.factor, self.is_set)
        inner = self._bind_inner_learning(arrays)
        is_single = self.factor.shape[1] == 1
        rates = () if is_single else bind_margin_rates(self.inner, arrays, self.rate)
        if inner is None or rates is None:
            return None
        return (*inner, self.volatilities.bind_learning(arrays), LearningStep(own), *rates)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        inner, scale = self._bind_inner(arrays), np.empty(arrays.initial.size)
        accounts = (arrays.n_accounts, arrays.position, arrays.lot_value)
        before = bind_kernel(find_factors, *accounts, self.rate, self.factor, scale)
        after = bind_kernel(
            scale_maintenance, arrays.n_accounts, scale, arrays.initial, arrays.maintenance
        )
        return inner and (*inner, before, after)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return inner initial, and maintenance times the factor, (A,)."""
        initial, maintenance = self.inner.compute_margins(accounts)
        maintenance = self.account_factor(accounts) * maintenance
        return Margins(np.maximum(initial, maintenance), maintenance)


@kernel
def set_threshold_factors(
    tick: int,
    variance: F8,
    persistence: float,
    reference: float,
    share: float,
    cap: float,
    factor: F8,
    is_set: B1,
) -> int:
    """Set the factors of both sides by realised variance (K,) and its forecast."""
    normal = reference**2
    for k in range(variance.size):
        forecast = normal + persistence * (variance[k] - normal)
        scalar = np.sqrt(share * variance[k] + (1 - share) * forecast) / reference
        factor[:, k] = np.minimum(np.maximum(scalar, 1.0), cap)
    is_set[0] = True
    return 0


@kernel
def scale_maintenance(tick: int, count: I8, scale: F8, initial: F8, maintenance: F8) -> int:
    """Multiply maintenance by each account's factor; initial covers it."""
    for a in range(count[0]):
        maintenance[a] = scale[a] * maintenance[a]
        initial[a] = np.maximum(initial[a], maintenance[a])
    return 0
