"""Standard margin of options: each option alone, by how far it is out of the money."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent
from sim.types import F8, OPTION, Contracts, Exposure, Margins, MarketView


class StandardOptions(RequirementComponent):
    """Margin of each option alone: a share of the underlying for shorts, the mark for longs.

    The share falls by the amount by which a short is out of the money. Per unit, S is the oracle's
    price and OTM is max(0, K - S) of a call, max(0, S - K) of a put. A venue requires of a short
    position

        call: initial max(share - OTM ÷ S, least) S + mark, maintenance keep S + mark
        put: initial max(max(share - OTM ÷ S, least) S + mark, maintenance),
             maintenance keep max(S, mark) + mark

    from a balance that includes the premium. Equity here has paid the mark already, so the mark is
    not charged again. A long position requires its mark, initial and maintenance: its value covers
    nothing else. No leg offsets another. Other instruments require nothing: use it as an engine's
    ``options``, beside a requirement for the others. Source: Deribit's standard margin as copied by
    Aevo, Bit.com and TSLab (margin rules, section 5b; 2025).
    """

    kind: Literal["standard_options"] = Field(
        default="standard_options", description="each option alone, by its moneyness (name)"
    )
    share: float = Field(
        default=0.15,
        ge=0,
        description="initial margin of a short at the money (share of the underlying)",
    )
    least: float = Field(
        default=0.1,
        ge=0,
        description="least initial margin of a short far out of the money (share)",
    )
    maintenance_share: float = Field(
        default=0.075, ge=0, description="maintenance margin of a short (share)"
    )

    def bind(self, contracts: Contracts, unit: int) -> "StandardOptionsMargin":
        """See :class:`RequirementComponent`."""
        return StandardOptionsMargin(self, contracts)


class OptionChain(NamedTuple):
    """Options in the order of their columns; money per lot in minor units of the numeraire."""

    lot_value: F8  # (O,) at the mark
    initial: F8  # (O,) initial margin of a short, beyond the mark
    maintenance: F8  # (O,) maintenance margin of a short, beyond the mark


class StandardOptionsMargin(AdditiveRequirement):
    """Standard margin of one pool's options."""

    def __init__(self, rule: StandardOptions, contracts: Contracts) -> None:
        self.rule = rule
        self.option_columns = np.flatnonzero(contracts.kind == OPTION)

    def observe(self, market: MarketView) -> None:
        """Do nothing: prices are part of the view that comes with the accounts."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over options, (A,)."""
        initial, maintenance = self._compute_charges(accounts)
        return Margins(initial.sum(axis=1), maintenance.sum(axis=1))

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        required = np.zeros(accounts.position.shape)
        required[:, self.option_columns] = self._compute_charges(accounts).initial
        return required

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each option's maintenance over the sum, (A, K).

        Shares are those of the gross notional where the sum is zero.
        """
        required = np.zeros(accounts.position.shape)
        required[:, self.option_columns] = self._compute_charges(accounts)[1]
        return leg_values.normalise_shares(required, leg_values.compute_gross_notional(accounts))

    def build_option_chain(self, market: MarketView) -> OptionChain:
        """Return the value of a lot of each option, and its margins when short."""
        rule, contracts = self.rule, market.contracts
        side, settle = contracts.side[self.option_columns], contracts.settle[self.option_columns]
        price, mark = (
            market.oracle[contracts.underlying[self.option_columns]],
            market.mark[self.option_columns],
        )
        tick_value = contracts.multiplier[self.option_columns] * market.price[settle]
        spot_value = price * tick_value / contracts.tick[self.option_columns]
        lot_value = mark * tick_value
        strike = contracts.strike[self.option_columns]
        out_of_money = np.maximum(side * (strike - price), 0.0) / price
        base = np.where(side > 0, spot_value, np.maximum(spot_value, lot_value))
        maintenance = rule.maintenance_share * base
        initial = np.maximum(rule.share - out_of_money, rule.least) * spot_value
        return OptionChain(
            lot_value=lot_value,
            initial=np.maximum(initial, maintenance),
            maintenance=maintenance,
        )

    def _compute_charges(self, accounts: Exposure) -> Margins:
        """Return the margins of each option, (A, O) each."""
        chain, lots = (
            self.build_option_chain(accounts.market),
            accounts.position[:, self.option_columns],
        )
        long, short = np.maximum(lots, 0) * chain.lot_value, np.maximum(-lots, 0)
        return Margins(long + short * chain.initial, long + short * chain.maintenance)
