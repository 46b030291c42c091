"""Tiers on the value of a position at entry: margin that does not move with the mark."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementWrapper
from sim.margin.tiers.tiered import TieredMargin, TieredRequirement
from sim.types import F8, SPOT, Contracts, Exposure, Margins, MarketView


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
        return Margins(initial.sum(axis=1), maintenance.sum(axis=1))

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
