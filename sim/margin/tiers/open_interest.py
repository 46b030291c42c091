"""Margin that grows with the open interest of the whole market."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.numerics.rounding import round_up, round_up_one
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView

MILLION = 1_000_000
"""Unit of rates: they are whole parts per million."""

ROUNDING_TOLERANCE = 1e-12
"""Relative noise of floats: a rate this little below a whole number is that number."""


class OpenInterestRequirement(RequirementComponent):
    """Initial rate that grows with open interest, and a fixed maintenance rate, as at dYdX.

    IMF = min(1, base + max(0, (OI - lower) / (upper - lower)) x (1 - base)); IM = N x IMF, MM = N x
    base x fraction, N the notional. OI is the instrument's open interest at the mark. The
    maintenance rate does not grow with it. Rates are rounded down to a part per million. Each
    position's margins are rounded up to a minor unit, maintenance at both of its multiplications. A
    leverage that the account chose raises IMF to its inverse (custom_imf). Source:
    dydxprotocol/v4-chain, protocol/x/perpetuals/types/liquidity_tier.go and lib (2024-2025).
    """

    kind: Literal["open_interest"] = Field(
        default="open_interest", description="initial margin by open interest of the market (name)"
    )
    initial: float = Field(default=0.05, ge=0, le=1, description="base initial rate (ratio)")
    fraction: float = Field(
        default=0.6, ge=0, le=1, description="maintenance over base initial rate (ratio)"
    )
    lower: float = Field(
        default=40e6,
        ge=0,
        description="open interest up to which the base rate applies (units of the numeraire)",
    )
    upper: float = Field(
        default=100e6,
        ge=0,
        description=(
            "open interest from which positions must be paid in full; 0 = never (units of "
            "the numeraire)"
        ),
    )

    @model_validator(mode="after")
    def _check_cap_order(self) -> Self:
        if self.upper and self.lower > self.upper:
            raise ValueError(
                f"lower: {self.lower:g} is above upper {self.upper:g}, lower it or set upper to 0"
            )
        return self

    @property
    def base_ppm(self) -> int:
        """Base initial rate, parts per million."""
        return round(self.initial * MILLION)

    @property
    def maintenance_ppm(self) -> int:
        """Maintenance rate, parts per million, by which funding is clamped.

        Margins use the fraction.
        """
        return self.base_ppm * round(self.fraction * MILLION) // MILLION

    def compute_initial_ppm(self, open_interest: F8) -> F8:
        """Return the effective initial rate, whole parts per million.

        Args:
            open_interest: open interest in units of the numeraire.
        """
        interest = np.asarray(open_interest, dtype=np.float64)
        if not self.upper:
            return np.full(interest.shape, float(self.base_ppm))
        # if both caps are equal, no value lies between them
        width = max(self.upper - self.lower, 1.0)
        rise = np.floor(
            (MILLION - self.base_ppm) * (interest - self.lower) / width * (1 + ROUNDING_TOLERANCE)
        )
        scaled = np.where(
            interest <= self.lower, 0.0, np.where(interest >= self.upper, MILLION, rise)
        )
        return np.minimum(self.base_ppm + scaled, MILLION)

    def bind(self, contracts: Contracts, unit: int) -> "OpenInterestMargin":
        """See :class:`RequirementComponent`."""
        return OpenInterestMargin(self, unit)


class OpenInterestMargin(AdditiveRequirement):
    """Open-interest margin of one pool's instruments."""

    def __init__(self, rule: OpenInterestRequirement, unit: int) -> None:
        self.rule, self.unit = rule, unit

    def observe(self, market: MarketView) -> None:
        """Do nothing: open interest is part of the view that comes with the accounts."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, each rounded up, (A,)."""
        return Margins(
            leg_values.sum_legs(self.initial_by_leg(accounts)),
            leg_values.sum_legs(self._compute_maintenance(accounts)),
        )

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        rule = self.rule
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        bounds = (float(rule.lower), float(rule.upper), float(rule.base_ppm))
        terms = (arrays.market.open_interest, float(self.unit), *bounds)
        fraction = float(round(rule.fraction * MILLION))
        results = (fraction, arrays.initial, arrays.maintenance)
        return (bind_kernel(charge_by_interest, *columns, *terms, *results),)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        rates = (float(self.rule.base_ppm), float(round(self.rule.fraction * MILLION)))
        return (bind_kernel(share_by_interest, *columns, *rates, shares),)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return no step: open interest is read when margins are computed."""
        return ()

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        notional, maintenance = (
            leg_values.compute_margined_notional(accounts),
            self._compute_maintenance(accounts),
        )
        interest = (
            accounts.market.open_interest
            * leg_values.compute_lot_values(accounts.market)[0]
            / self.unit
        )
        scaled = _multiply_ppm(notional, self.rule.compute_initial_ppm(interest))
        chosen = round_up(notional / accounts.leverage)
        required: F8 = np.maximum(np.maximum(scaled, chosen), maintenance)
        return required

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K)."""
        return leg_values.normalise_shares(
            self._compute_maintenance(accounts), leg_values.compute_gross_notional(accounts)
        )

    def _compute_maintenance(self, accounts: Exposure) -> F8:
        base = _multiply_ppm(
            leg_values.compute_margined_notional(accounts), np.float64(self.rule.base_ppm)
        )
        return _multiply_ppm(base, np.float64(round(self.rule.fraction * MILLION)))


def _multiply_ppm(amount: F8, ppm: F8 | np.float64) -> F8:
    """Return parts per million of an amount, rounded up.

    Whole millions are multiplied separately, so that no digit is lost.
    """
    millions = np.floor(amount / MILLION)
    rest: F8 = round_up((amount - millions * MILLION) * ppm)
    whole: F8 = millions * ppm + np.ceil(rest / MILLION)
    return whole


@kernel
def multiply_one_ppm(amount: float, ppm: float) -> float:
    """Return parts per million of one amount, rounded up as the margins of a leg."""
    millions = np.floor(amount / MILLION)
    rest = round_up_one((amount - millions * MILLION) * ppm)
    return millions * ppm + np.ceil(rest / MILLION)


@kernel
def find_initial_ppm(interest: float, lower: float, upper: float, base: float) -> float:
    """Return the initial rate: see :meth:`OpenInterestRequirement.compute_initial_ppm`."""
    if upper == 0:
        return base
    width = np.maximum(upper - lower, 1.0)
    rise = np.floor((MILLION - base) * (interest - lower) / width * (1 + ROUNDING_TOLERANCE))
    if interest <= lower:
        rise = 0.0
    elif interest >= upper:
        rise = float(MILLION)
    return np.minimum(base + rise, float(MILLION))


@kernel
def charge_by_interest(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    open_interest: I8,
    unit: float,
    lower: float,
    upper: float,
    base: float,
    fraction: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    for k in range(len(position)):
        rate = find_initial_ppm(open_interest[k] * lot_value[k] / unit, lower, upper, base)
        for a in range(accounts):
            notional = leg_values.value_margined_leg(position[k, a], lot_value[k], is_spot[k])
            kept = multiply_one_ppm(multiply_one_ppm(notional, base), fraction)
            chosen = round_up_one(np.divide(notional, leverage[k, a]))
            own = np.maximum(multiply_one_ppm(notional, rate), chosen)
            initial[a] += np.maximum(own, kept)
            maintenance[a] += kept
    return 0


@kernel
def share_by_interest(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    base: float,
    fraction: float,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    for k in range(len(position)):
        for a in range(count[0]):
            notional = leg_values.value_margined_leg(position[k, a], lot_value[k], is_spot[k])
            shares[k, a] = multiply_one_ppm(multiply_one_ppm(notional, base), fraction)
    leg_values.normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
