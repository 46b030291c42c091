"""Tiers on the value of a position at entry: margin that does not move with the mark."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementWrapper
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.tiers.tier_kernels import write_charges
from sim.margin.tiers.tiered import TieredMargin, TieredRequirement
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, SPOT, Contracts, Exposure, Margins, MarketView


class EntryTiers(RequirementWrapper):
    """Brackets of position value at entry, PV = |lots| x entry price.

    IM = PV / leverage, MM = PV x mmr - deduction. Source: Bybit's USDT contracts (help centre,
    "Liquidation Price (USDT Contract)"). The price at which equity equals this requirement is EP -
    s (IM - MM + extra margin) / q for side s, as printed there. Bybit's later unified account adds
    fees; use :class:`sim.margin.tiers.closing_fee.ClosingFee` for that.
    """

    kind: Literal["at_entry"] = Field(
        default="at_entry", description="tiers on the value at entry (name)"
    )
    inner: TieredRequirement = Field(
        default=TieredRequirement(), description="brackets (component)"
    )

    def bind(self, contracts: Contracts, unit: int) -> "EntryTiersMargin":
        """See :class:`RequirementComponent`."""
        return EntryTiersMargin(self.inner.bind(contracts, unit))


class EntryTiersMargin(AdditiveRequirement):
    """Brackets of one pool's instruments by entry value."""

    def __init__(self, inner: TieredMargin) -> None:
        self.inner = inner

    def observe(self, market: MarketView) -> None:
        """Do nothing: the rates are fixed."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, (A,)."""
        initial, maintenance = self.inner.compute_charges(
            compute_entry_value(accounts), accounts.leverage
        )
        return Margins(leg_values.sum_legs(initial), leg_values.sum_legs(maintenance))

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        accounts = (arrays.n_accounts, arrays.position, arrays.entry, arrays.leverage)
        terms = (arrays.is_spot, arrays.settle, arrays.price, self.inner.table)
        return (bind_kernel(charge_entry, *accounts, *terms, arrays.initial, arrays.maintenance),)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        accounts = (arrays.n_accounts, arrays.position, arrays.entry, arrays.leverage)
        terms = (arrays.is_spot, arrays.settle, arrays.price, self.inner.table)
        return (bind_kernel(share_entry, *accounts, *terms, arrays.lot_value, shares),)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return no step: the rates are fixed."""
        return ()

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return self.inner.compute_charges(compute_entry_value(accounts), accounts.leverage)[0]

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K)."""
        _, maintenance = self.inner.compute_charges(
            compute_entry_value(accounts), accounts.leverage
        )
        return leg_values.normalise_shares(maintenance, leg_values.compute_gross_notional(accounts))


def compute_entry_value(accounts: Exposure) -> F8:
    """Return the cost of each open position, (A, K), minor units of the numeraire.

    It is zero for long spot (LED-3).
    """
    contracts = accounts.market.contracts
    cost = np.abs(accounts.entry) * accounts.market.price[contracts.settle]
    is_long_spot = (contracts.kind == SPOT) & (accounts.position > 0)
    is_margined = (accounts.position != 0) & ~is_long_spot
    return np.where(is_margined, cost, 0.0)


@kernel
def charge_entry(
    tick: int,
    count: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    table: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    leg_initial, leg_maintenance = np.empty(accounts), np.empty(accounts)
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    for k in range(len(position)):
        cost = find_entry_cost(
            position[k, :accounts], entry[k, :accounts], price[settle[k]], is_spot[k]
        )
        write_charges(cost, leverage[k, :accounts], table[:, k], leg_initial, leg_maintenance)
        for a in range(accounts):
            initial[a] += leg_initial[a]
            maintenance[a] += leg_maintenance[a]
    return 0


@kernel
def find_entry_cost(position: I8, entry: I8, quote_price: float, is_spot: bool) -> F8:
    """Return the cost of positions in one instrument, (A,): see :func:`compute_entry_value`."""
    cost = np.zeros(position.size)
    for a in range(position.size):
        lots = position[a]
        if lots != 0 and not (is_spot and lots > 0):
            cost[a] = abs(entry[a]) * quote_price
    return cost


@kernel
def share_entry(
    tick: int,
    count: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    table: F8,
    lot_value: F8,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    accounts = count[0]
    initial = np.empty(accounts)
    for k in range(len(position)):
        cost = find_entry_cost(
            position[k, :accounts], entry[k, :accounts], price[settle[k]], is_spot[k]
        )
        write_charges(cost, leverage[k, :accounts], table[:, k], initial, shares[k, :accounts])
    leg_values.normalise_leg_shares(accounts, position, lot_value, shares)
    return 0
