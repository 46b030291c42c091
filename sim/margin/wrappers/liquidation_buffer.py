"""Liquidation buffer: the expected cost of closing, added to an inner requirement.

The cost follows from volatility and depth.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.breakdown import ItemisedRequirement, break_down_margins, join_breakdowns
from sim.margin.compiled import (
    LearningArrays,
    LearningStep,
    MarginArrays,
    bind_leg_shares,
    is_compiled,
)
from sim.margin.past import PastView, learn_past
from sim.margin.quoted import QuoteHistory
from sim.margin.realised_volatility import RealisedVolatility
from sim.numerics.bound_kernels import Argument, BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.pricing.instrument_values import find_seconds_per_year
from sim.protocols import Requirement
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView


class LiquidationBuffer(RequirementWrapper):
    """Inner requirement plus the expected cost of closing each leg.

    M + sum over legs of notional x min(cap, half the spread + z x volatility x sqrt(time to
    close)). Time to close = ``refill`` x lots ÷ (participation x depth within 1%), so the buffer
    grows faster than the position. The definition is the project's own: no clearing house or venue
    publishes its liquidity add-on with numbers. Spread, depth and volatility are those of the
    engine's last observation, once a step. Where an order book has emptied, the buffer equals the
    cap. It is zero before an order book is quoted for the first time, and where there is no order
    book at all.
    """

    kind: Literal["liquidation_buffer"] = Field(
        default="liquidation_buffer", description="cost of closing (name)"
    )
    inner: AnyRequirement = Field(
        description="requirement to which the buffer is added (component)"
    )
    participation: float = Field(
        default=0.2, gt=0, le=1, description="part of the depth that closing takes (share)"
    )
    refill: float = Field(
        default=300, gt=0, description="time in which depth that was taken is restored (s)"
    )
    z: float = Field(default=2.33, ge=0, description="standard deviations that are covered (1)")
    half_life: float = Field(default=86_400, gt=0, description="memory of realised volatility (s)")
    reference: float = Field(default=0.5, gt=0, description="volatility at the start (annualised)")
    cap: float = Field(
        default=0.2, ge=0, le=1, description="upper bound on the buffer (share of notional)"
    )

    def bind(self, contracts: Contracts, unit: int) -> "LiquidationBufferMargin":
        """See :class:`RequirementComponent`."""
        return LiquidationBufferMargin(self, self.inner.bind(contracts, unit), contracts)


class LiquidationBufferMargin(ItemisedRequirement, AdditiveRequirement):
    """Liquidation buffer of one pool, with its order books and volatilities."""

    def __init__(self, rule: LiquidationBuffer, inner: Requirement, contracts: Contracts) -> None:
        self.rule, self.inner = rule, inner
        self.volatilities = RealisedVolatility(contracts, rule.half_life, rule.reference)
        self.quote_history = QuoteHistory(len(contracts.names))
        self.half_spread = np.zeros(len(contracts.names))  # share of the mark
        self.depth = np.full(len(contracts.names), np.nan)  # lots; NaN = no order book so far

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement, and record spread, depth and volatility."""
        self.inner.observe(market)
        self.volatilities.observe(market)
        self.quote_history.observe(market)
        half = np.nan_to_num(market.ask - market.bid) / 2
        self.half_spread[:] = np.divide(
            half, market.mark, out=np.zeros_like(half), where=market.mark > 0
        )
        self.depth[:] = self.quote_history.mask_unquoted(market).depth

    def learn_past(self, past: PastView) -> None:
        """Update the inner requirement and the volatility; the past has no order book."""
        learn_past(self.inner, past)
        self.volatilities.learn_past(past)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        if not is_compiled(self.inner):
            return None
        inner, market, history = self.inner.bind_learning(arrays), arrays.market, self.quote_history
        quotes = (market.bid, market.ask, market.mark, market.depth, history.depth)
        own = (
            self.volatilities.bind_learning(arrays),
            history.bind_learning(arrays),
            LearningStep(bind_kernel(observe_books, *quotes, self.half_spread, self.depth)),
        )
        return None if inner is None else (*inner, *own)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        if not is_compiled(self.inner):
            return None
        inner, terms = self.inner.bind_margins(arrays), self._list_rate_terms(arrays)
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        own = bind_kernel(charge_closing, *columns, *terms, arrays.initial, arrays.maintenance)
        return inner and (*inner, own)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """See :class:`sim.margin.compiled.CompiledLegShares`; margins are overwritten."""
        inner = bind_leg_shares(self.inner, arrays, shares)
        margins = self.inner.bind_margins(arrays) if is_compiled(self.inner) else None
        if inner is None or margins is None:
            return None
        terms = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        added = bind_kernel(
            add_closing_shares, *terms, *self._list_rate_terms(arrays), arrays.maintenance, shares
        )
        return (*inner, *margins, added)

    def _list_rate_terms(self, arrays: MarginArrays) -> tuple[Argument, ...]:
        """Return the arguments of :func:`find_closing_rate` that do not depend on the account."""
        rule, books = self.rule, (self.half_spread, self.depth, self.volatilities.variance)
        pace = (arrays.market.seconds_per_year, float(rule.participation), float(rule.refill))
        return (*books, *pace, float(rule.z), float(rule.cap))

    def _buffer_by_leg(self, accounts: Exposure) -> F8:
        """Return the buffer of each leg, (A, K)."""
        rule = self.rule
        lots = np.abs(accounts.position)
        pace = rule.participation * self.depth / rule.refill  # lots a second
        with np.errstate(divide="ignore", invalid="ignore"):
            years = np.where(lots > 0, lots / pace, 0.0) / find_seconds_per_year(accounts.market)
        rate = self.half_spread + rule.z * self.volatilities.volatility * np.sqrt(years)
        return leg_values.compute_margined_notional(accounts) * np.where(
            np.isnan(self.depth), 0.0, np.minimum(rate, rule.cap)
        )

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the inner margins plus the buffer, (A,)."""
        initial, maintenance = self.inner.compute_margins(accounts)
        buffer = leg_values.sum_legs(self._buffer_by_leg(accounts))
        return Margins(initial + buffer, maintenance + buffer)

    @property
    def is_additive(self) -> bool:
        """True if the inner requirement is additive."""
        return is_additive(self.inner)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return compute_initial_by_leg(self.inner, accounts) + self._buffer_by_leg(accounts)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the inner parts and the buffer."""
        buffer = leg_values.sum_legs(self._buffer_by_leg(accounts))
        return join_breakdowns(
            break_down_margins(self.inner, accounts), {"cost of closing": Margins(buffer, buffer)}
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return shares of the inner maintenance plus each leg's buffer, (A, K)."""
        own = (
            self.inner.compute_leg_shares(accounts)
            * self.inner.compute_margins(accounts).maintenance[:, None]
        )
        return leg_values.normalise_shares(
            own + self._buffer_by_leg(accounts), leg_values.compute_gross_notional(accounts)
        )


@kernel
def observe_books(
    tick: int,
    bid: F8,
    ask: F8,
    mark: F8,
    depth: F8,
    was_quoted: B1,
    half_spread: F8,
    known_depth: F8,
) -> int:
    """Record half the spread, share of the mark, and the depth, NaN before the first quotes."""
    for k in range(mark.size):
        spread = ask[k] - bid[k]
        half = 0.0 if np.isnan(spread) else spread / 2
        half_spread[k] = half / mark[k] if mark[k] > 0 else 0.0
        known_depth[k] = depth[k] if was_quoted[k] or depth[k] > 0 else np.nan
    return 0


@kernel
def charge_closing(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    half_spread: F8,
    depth: F8,
    variance: F8,
    per_year: F8,
    participation: float,
    refill: float,
    z: float,
    cap: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add the expected cost of closing to both margins of each account."""
    accounts = count[0]
    buffer = np.zeros(accounts)
    for k in range(len(position)):
        if np.isnan(depth[k]):
            continue
        pace = participation * depth[k] / refill
        deviation = z * np.sqrt(variance[k])
        for a in range(accounts):
            lots = position[k, a]
            rate = find_closing_rate(lots, half_spread[k], deviation, pace, per_year[k])
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            buffer[a] += notional * np.minimum(rate, cap)
    for a in range(accounts):
        initial[a] += buffer[a]
        maintenance[a] += buffer[a]
    return 0


@kernel
def find_closing_rate(
    lots: int, half_spread: float, deviation: float, pace: float, per_year: float
) -> float:
    """Return the expected cost of closing a position, share of its notional, without the cap.

    ``pace`` is in lots a second, and the deviation is annualised.
    """
    seconds = np.divide(float(abs(lots)), pace) if lots != 0 else 0.0
    return half_spread + deviation * np.sqrt(seconds / per_year)


@kernel
def add_closing_shares(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    half_spread: F8,
    depth: F8,
    variance: F8,
    per_year: F8,
    participation: float,
    refill: float,
    z: float,
    cap: float,
    maintenance: F8,
    shares: F8,
) -> int:
    """Write shares of the inner maintenance, which is divided already, plus each leg's buffer."""
    for k in range(len(position)):
        pace = participation * depth[k] / refill
        deviation = z * np.sqrt(variance[k])
        for a in range(count[0]):
            lots, own = position[k, a], shares[k, a] * maintenance[a]
            rate = find_closing_rate(lots, half_spread[k], deviation, pace, per_year[k])
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            buffer = 0.0 if np.isnan(depth[k]) else notional * np.minimum(rate, cap)
            shares[k, a] = own + buffer
    leg_values.normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
