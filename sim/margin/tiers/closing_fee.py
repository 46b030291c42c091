"""Tiers whose margin also covers the fee of closing the position."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementWrapper
from sim.margin.breakdown import ItemisedRequirement, break_down_margins, subtract_parts
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.tiers.tier_kernels import write_charges
from sim.margin.tiers.tiered import TieredMargin, TieredRequirement
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView


class ClosingFee(RequirementWrapper):
    """Tiers plus the fee of closing, per leg.

    Maintenance is maintenance + fee x N, initial is initial + fee x (N - s x initial), with N the
    notional and s the side. The fee in initial margin is that of closing at the bankruptcy price,
    where a position is worth N - s x initial.

    Sources: OKX and Gate, isolated: long liquidated at (EP - W/q) / (1 - (mmr + fee)), short at (EP
    + W/q) / (1 + (mmr + fee)) (as implemented and tested in freqtrade, 2024). Phemex, isolated:
    position balance OV/L + (OV - OV/L) x fee; long liquidated at (OV - balance - amount) / ((1 -
    fee - mmr) x size) (help centre, "Liquidation price for USDT-M"). These are the prices at which
    equity equals this requirement. This module does not solve for a price.
    """

    kind: Literal["closing_fee"] = Field(
        default="closing_fee", description="tiers with the fee of closing (name)"
    )
    inner: TieredRequirement = Field(
        default=TieredRequirement(), description="brackets (component)"
    )
    fee: float = Field(
        default=0.0005, ge=0, lt=0.1, description="taker fee of closing (share of notional)"
    )

    def bind(self, contracts: Contracts, unit: int) -> "ClosingFeeMargin":
        """See :class:`RequirementComponent`."""
        return ClosingFeeMargin(self.inner.bind(contracts, unit), self.fee)


class ClosingFeeMargin(ItemisedRequirement, AdditiveRequirement):
    """Brackets of one pool's instruments, with the fee of closing."""

    def __init__(self, inner: TieredMargin, fee: float) -> None:
        self.inner = inner
        self.fee = fee

    def observe(self, market: MarketView) -> None:
        """Do nothing: the rates are fixed."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, (A,)."""
        initial, maintenance = self._compute_charges(accounts)
        return Margins(leg_values.sum_legs(initial), leg_values.sum_legs(maintenance))

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        rule = (self.inner.table, float(self.fee))
        return (bind_kernel(charge_with_fee, *columns, *rule, arrays.initial, arrays.maintenance),)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        return (bind_kernel(share_with_fee, *columns, self.inner.table, float(self.fee), shares),)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return no step: the rates are fixed."""
        return ()

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the brackets of each leg, and the fee of closing."""
        inner = break_down_margins(self.inner, accounts)
        return inner | {"fees of closing": subtract_parts(self.compute_margins(accounts), inner)}

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return self._compute_charges(accounts)[0]

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K)."""
        return leg_values.normalise_shares(
            self._compute_charges(accounts)[1], leg_values.compute_gross_notional(accounts)
        )

    def _compute_charges(self, accounts: Exposure) -> tuple[F8, F8]:
        notional = leg_values.compute_margined_notional(accounts)
        initial, maintenance = self.inner.compute_charges(notional, accounts.leverage)
        bankruptcy_value = np.maximum(notional - np.sign(accounts.position) * initial, 0.0)
        with_fee = maintenance + self.fee * notional
        return np.maximum(initial + self.fee * bankruptcy_value, with_fee), with_fee


@kernel
def charge_with_fee(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    fee: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    notional = np.empty(accounts)
    leg_initial, leg_maintenance = np.empty(accounts), np.empty(accounts)
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    for k in range(len(position)):
        for a in range(accounts):
            notional[a] = leg_values.value_margined_leg(position[k, a], lot_value[k], is_spot[k])
        write_charges(notional, leverage[k, :accounts], table[:, k], leg_initial, leg_maintenance)
        for a in range(accounts):
            side = np.sign(position[k, a])
            bankruptcy_value = np.maximum(notional[a] - side * leg_initial[a], 0.0)
            with_fee = leg_maintenance[a] + fee * notional[a]
            initial[a] += np.maximum(leg_initial[a] + fee * bankruptcy_value, with_fee)
            maintenance[a] += with_fee
    return 0


@kernel
def share_with_fee(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    fee: float,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    accounts = count[0]
    notional, initial = np.empty(accounts), np.empty(accounts)
    for k in range(len(position)):
        for a in range(accounts):
            notional[a] = leg_values.value_margined_leg(position[k, a], lot_value[k], is_spot[k])
        write_charges(notional, leverage[k, :accounts], table[:, k], initial, shares[k, :accounts])
        for a in range(accounts):
            shares[k, a] = shares[k, a] + fee * notional[a]
    leg_values.normalise_leg_shares(accounts, position, lot_value, shares)
    return 0
