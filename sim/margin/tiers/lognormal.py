"""Margin by the expected shortfall of a lognormal price, with Vega's slippage and four levels."""

import math
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import ndtr, ndtri

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.numerics.rounding import round_up, round_up_one
from sim.pricing import instrument_values
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView

YEAR = 365.25 * 86_400.0
"""Seconds in a year as Vega counts them.

The rest of the model has years of 365 days (``sim.pricing.instrument_values.YEAR_SECONDS``). On a
trading clock both are shorter in the same proportion.
"""


class VegaLevels(NamedTuple):
    """Vega's four margin levels of one account, (A,), whole minor units of the numeraire."""

    maintenance: F8  # below it, the account is closed out
    search: F8  # below it, the account is topped up from the owner's other funds
    initial: F8  # required to open positions
    release: F8  # above it, collateral is released


class LognormalRequirement(RequirementComponent):
    """Margin of each position by the expected shortfall of a lognormal price, as at Vega.

    Maintenance = N x (slippage + risk factor of the side), plus funding owed, with N the notional;
    initial = scale x maintenance. Risk factors are the expected shortfall, at a probability level
    over a horizon, of a unit bought or sold at a lognormal price (:func:`compute_risk_factors`).
    Maintenance is rounded up to a minor unit per position; the levels scaled from it are rounded
    down. The first example of the specification charges slippage on the riskiest volume, orders
    included. The released code charges it on the open volume: see ``slippage_on``. Sources:
    vegaprotocol/specs 0019-MCAL and 0018-RSKM, vega core/risk/margins_calculation.go (v0.7x).

    Resting orders count in :meth:`LognormalMargin.compute_levels`, as in the sources. In a market,
    admission has filled them already (MAR-1), so :meth:`LognormalMargin.compute_margins` leaves
    them out.
    """

    kind: Literal["lognormal"] = Field(
        default="lognormal", description="expected shortfall of lognormal prices (name)"
    )
    level: float = Field(default=1e-6, gt=0, lt=0.5, description="probability of the tail (1)")
    horizon: float = Field(default=3600.0, gt=0, description="horizon of the price move (s)")
    drift: float = Field(default=0.0, description="drift of the price (per year)")
    sigma: float | None = Field(
        default=None,
        gt=0,
        description="volatility; none = the market's volatility, as observed (annualised)",
    )
    least: float = Field(
        default=0.3,
        gt=0,
        description="lower bound on the market's volatility (annualised)",
    )
    factors: tuple[float, float] | None = Field(
        default=None,
        description="risk factors, long and short, given instead of the model (shares of notional)",
    )
    slippage: float = Field(
        default=0.01, ge=0, description="linear slippage factor (share of notional)"
    )
    slippage_on: Literal["position", "riskiest"] = Field(
        default="position",
        description=(
            "volume that slippage is charged on: the position, or with the orders of a side (name)"
        ),
    )
    funding_factor: float = Field(
        default=0.0,
        ge=0,
        description="share of the funding owed at the last rate that requires margin (1)",
    )
    search: float = Field(default=1.1, ge=1, description="search level (multiple of maintenance)")
    initial: float = Field(default=1.5, ge=1, description="initial level (multiple of maintenance)")
    release: float = Field(
        default=1.7, ge=1, description="collateral release level (multiple of maintenance)"
    )

    @model_validator(mode="after")
    def _check_level_order(self) -> Self:
        if not self.search <= self.initial <= self.release:
            raise ValueError(
                f"initial: {self.initial:g} is not between search {self.search:g} and release "
                f"{self.release:g}, sort the three levels"
            )
        return self

    def bind(self, contracts: Contracts, unit: int) -> "LognormalMargin":
        """See :class:`RequirementComponent`."""
        return LognormalMargin(self, len(contracts.names))


class LognormalMargin(AdditiveRequirement):
    """Lognormal margin of one pool's instruments, with the volatility observed so far."""

    def __init__(self, rule: LognormalRequirement, count: int) -> None:
        self.rule = rule
        self._year: F8 = np.full(count, YEAR)
        self._factors = np.empty((2, count))  # of longs and shorts
        self._set_risk_factors(np.full(count, rule.sigma or rule.least))

    def observe(self, market: MarketView) -> None:
        """Update the risk factors with the market's volatility, unless they are given."""
        if self.rule.factors is not None:
            return
        year = _convert_year(instrument_values.find_seconds_per_year(market))
        if self.rule.sigma is None:
            self._year[:] = year
            self._set_risk_factors(np.maximum(market.vol, self.rule.least))
        elif (year != self._year).any():  # a given volatility, on the market's clock
            self._year[:] = year
            self._set_risk_factors(np.full(year.size, self.rule.sigma))

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return a step that leaves changes of risk factors to the plain method.

        A volatility that is given changes them once, when the market's clock is known.
        """
        if self.rule.factors is not None:
            return ()
        year = _convert_year(arrays.market.seconds_per_year)
        has_own = int(self.rule.sigma is None)
        return (LearningStep(bind_kernel(is_factor_due, has_own, year, self._year), self.observe),)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        rule, columns = self.rule, (arrays.n_accounts, arrays.position, arrays.lot_value)
        funding = (arrays.market.funding, float(rule.funding_factor))
        rates = (arrays.is_spot, self._factors, float(rule.slippage), *funding)
        return (bind_kernel(share_shortfalls, *columns, *rates, shares),)

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        rule, market = self.rule, arrays.market
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        rates = (self._factors, float(rule.slippage), market.funding, float(rule.funding_factor))
        results = (float(rule.initial), arrays.initial, arrays.maintenance)
        return (bind_kernel(charge_shortfalls, *columns, *rates, *results),)

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return initial and maintenance of positions without orders, in whole units, (A,)."""
        initial, maintenance = self._margins_without_orders(accounts)
        return Margins(leg_values.sum_legs(initial), leg_values.sum_legs(maintenance))

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return self._margins_without_orders(accounts)[0]

    def _margins_without_orders(self, accounts: Exposure) -> tuple[F8, F8]:
        """Return initial and maintenance of each position without its orders, (A, K) each."""
        nothing = np.zeros_like(accounts.position)
        maintenance = round_up(
            self._maintenance_by_leg(accounts._replace(bids=nothing, asks=nothing))
        )
        scaled = _round_down(maintenance * self.rule.initial)
        chosen = leg_values.compute_margined_notional(accounts) / accounts.leverage
        return np.maximum(scaled, chosen), maintenance

    def compute_levels(self, accounts: Exposure) -> VegaLevels:
        """Return all four levels, resting orders included, (A,)."""
        maintenance = round_up(self._maintenance_by_leg(accounts)).sum(axis=1)
        return VegaLevels(
            maintenance=_round_down(maintenance),
            search=_round_down(maintenance * self.rule.search),
            initial=_round_down(maintenance * self.rule.initial),
            release=_round_down(maintenance * self.rule.release),
        )

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K)."""
        nothing = np.zeros_like(accounts.position)
        return leg_values.normalise_shares(
            self._maintenance_by_leg(accounts._replace(bids=nothing, asks=nothing)),
            leg_values.compute_gross_notional(accounts),
        )

    def _maintenance_by_leg(self, accounts: Exposure) -> F8:
        """Return the maintenance of each position with its orders, (A, K), unrounded."""
        lot_value, spot = leg_values.compute_lot_values(accounts.market)
        long, short = self._factors
        required = compute_leg_maintenance(
            accounts.position,
            accounts.bids,
            accounts.asks,
            spot,
            long,
            short,
            self.rule.slippage,
            self.rule.slippage_on == "riskiest",
            np.nan_to_num(accounts.market.funding),
            self.rule.funding_factor,
        )
        return required * lot_value

    def _set_risk_factors(self, sigma: F8) -> None:
        """Set the risk factors of a long and of a short, (2, K), >= 0."""
        if self.rule.factors is not None:
            self._factors[:] = np.array(self.rule.factors)[:, None]
            return
        horizon = self.rule.horizon / self._year
        factors = compute_risk_factors(self.rule.level, horizon, sigma, self.rule.drift)
        self._factors[:] = np.maximum(factors, 0.0)


def _convert_year(seconds: F8) -> F8:
    """Return the seconds of a year of Vega for a year of the market's clock, (K,)."""
    year: F8 = YEAR * (seconds / instrument_values.YEAR_SECONDS)
    return year


@kernel
def is_factor_due(tick: int, has_own: int, year: F8, known: F8) -> int:
    """Ask for the plain update where risk factors follow the market, or its clock is not known."""
    for k in range(year.size):
        if has_own or year[k] != known[k]:
            return 1
    return 0


@kernel
def charge_shortfalls(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    factors: F8,
    slippage: float,
    funding: F8,
    share: float,
    scale: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`.

    Resting orders are left out, so that the volume of slippage is the position.
    """
    accounts = count[0]
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    for k in range(len(position)):
        long, short = factors[0, k], factors[1, k]
        rate = 0.0 if np.isnan(funding[k]) else funding[k]
        for a in range(accounts):
            lots = position[k, a]
            needed = charge_leg(lots, 0, 0, is_spot[k], long, short, slippage, False, rate, share)
            required = round_up_one(needed * lot_value[k])
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            scaled = -round_up_one(-(required * scale))
            initial[a] += np.maximum(scaled, np.divide(notional, leverage[k, a]))
            maintenance[a] += required
    return 0


@kernel
def share_shortfalls(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    factors: F8,
    slippage: float,
    funding: F8,
    share: float,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    accounts = count[0]
    for k in range(len(position)):
        long, short = factors[0, k], factors[1, k]
        rate = 0.0 if np.isnan(funding[k]) else funding[k]
        for a in range(accounts):
            lots = position[k, a]
            needed = charge_leg(lots, 0, 0, is_spot[k], long, short, slippage, False, rate, share)
            shares[k, a] = needed * lot_value[k]
    leg_values.normalise_leg_shares(accounts, position, lot_value, shares)
    return 0


@kernel
def compute_leg_maintenance(
    position: I8,
    bids: I8,
    asks: I8,
    spot: B1,
    long: F8,
    short: F8,
    slippage: float,
    riskiest: bool,
    funding: F8,
    share: float,
) -> F8:
    """Return lots times their maintenance rate, (A, K).

    The worse side with its orders counts, plus a share of the funding owed.
    """
    accounts, instruments = position.shape
    required = np.empty((instruments, accounts))
    for k in range(instruments):
        for a in range(accounts):
            lots, more, less = position[a, k], bids[a, k], asks[a, k]
            rates = (long[k], short[k], slippage, riskiest, funding[k], share)
            required[k, a] = charge_leg(lots, more, less, spot[k], *rates)
    return required.T


@kernel
def charge_leg(
    lots: int,
    bids: int,
    asks: int,
    is_spot: bool,
    long: float,
    short: float,
    slippage: float,
    riskiest: bool,
    funding: float,
    share: float,
) -> float:
    """Return one position times its maintenance rate: see :func:`compute_leg_maintenance`."""
    held, buys = (0, 0) if is_spot else (max(lots, 0), bids)
    owed, sells = max(-lots, 0), asks
    bought = (held + buys if riskiest else held) * slippage + (held + buys) * long
    sold = (owed + sells if riskiest else owed) * slippage + (owed + sells) * short
    bought = bought if lots + bids > 0 else 0.0
    sold = sold if lots - sells < 0 else 0.0
    due = 0.0 if is_spot else np.maximum(lots * funding, 0.0) * share
    required: float = np.maximum(bought, sold) + due
    return required


def compute_risk_factors(
    level: float, horizon: float | F8, sigma: F8, drift: float = 0.0
) -> tuple[F8, F8]:
    """Return the expected shortfall of one unit long and short, shares of its price.

    With X = exp(m + S Z), m = (mu - sigma^2 / 2) tau, S = sigma sqrt(tau), q = Phi^-1(level):

        long = 1 - E[X | X below its level quantile] = 1 - exp(m + S^2/2) Phi(q - S) / level,
        short = E[X | X above its 1 - level quantile] - 1 = exp(m + S^2/2) Phi(q + S) / level - 1.

    Source: vegaprotocol/quant, riskmodelbs (2022).

    Args:
        level: probability of the tail.
        horizon: tau, years, a single one or one per volatility.
        sigma: annualised volatility, any shape.
        drift: mu, per year.

    Returns:
        Factors of long and short, of sigma's shape. A factor is negative if the side is expected to
            gain even in its tail.
    """
    spread = sigma * np.sqrt(horizon)
    q = float(ndtri(level))
    exp = np.vectorize(math.exp, otypes=[float])  # numpy's differs in the last bit
    growth = exp(drift * np.asarray(horizon))
    return 1.0 - growth * ndtr(q - spread) / level, growth * ndtr(q + spread) / level - 1.0


def _round_down(amounts: F8) -> F8:
    """Return the amounts rounded down to whole units; float noise is ignored."""
    return -round_up(-amounts)
