"""Options margined one by one, by how far out of the money they are: standard margin, not portfolio margin."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.margin import leg_values
from sim.margin.base import RequirementComponent
from sim.types import F8, OPTION, Contracts, Exposure, Margins, MarketView


class StandardOptions(RequirementComponent):
    """A share of the underlying for each option short, less what it is out of the money; longs are paid in full.

    Per unit, S the oracle's price and OTM = max(0, K - S) of a call, max(0, S - K) of a put, a venue asks of a short

        call: initial max(share - OTM ÷ S, least) S + mark, maintenance keep S + mark
        put: initial max(max(share - OTM ÷ S, least) S + mark, maintenance), maintenance keep max(S, mark) + mark

    of a balance that the premium is part of. Equity here has paid the mark already, so it is not asked again. Of a long
    the mark is asked, to open and to keep: what it is worth covers nothing else. No leg offsets another, and other
    instruments are asked nothing: put it in an engine's ``options``, beside a requirement for these. Source: Deribit's
    standard margin as copied by Aevo, Bit.com and TSLab (margin rules, section 5b; 2025).
    """

    kind: Literal["standard_options"] = Field(
        default="standard_options", description="each option by its moneyness (name)"
    )
    share: float = Field(
        default=0.15, ge=0, description="initial of a short at the money (share of the underlying)"
    )
    least: float = Field(
        default=0.1, ge=0, description="least initial of a short, far out of it (share)"
    )
    keep: float = Field(default=0.075, ge=0, description="maintenance of a short (share)")

    def bind(self, contracts: Contracts, unit: int) -> "StandardOptionsMargin":
        """See :class:`RequirementComponent`."""
        return StandardOptionsMargin(self, contracts)


class OptionChain(NamedTuple):
    """Some options, in the order of their columns; money per lot in minor units of the numeraire."""

    lot_value: F8  # (O,) at the mark
    initial: F8  # (O,) of a short, beyond the mark
    maintenance: F8  # (O,) the same


class StandardOptionsMargin:
    """The rule for one pool's options."""

    def __init__(self, rule: StandardOptions, contracts: Contracts) -> None:
        self.rule = rule
        self.option_columns = np.flatnonzero(contracts.kind == OPTION)

    def observe(self, market: MarketView) -> None:
        """Nothing to learn: prices are part of the view that books come with."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Sums over options, (A,)."""
        initial, maintenance = self._compute_charges(accounts)
        return Margins(initial.sum(axis=1), maintenance.sum(axis=1))

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Each option's maintenance over the sum, (A, K); of what legs are worth where that is nil."""
        required = np.zeros(accounts.position.shape)
        required[:, self.option_columns] = self._compute_charges(accounts)[1]
        return leg_values.normalise_shares(required, leg_values.compute_gross_notional(accounts))

    def build_option_chain(self, market: MarketView) -> OptionChain:
        """What a lot of each option is worth and asks when short."""
        rule, contracts = self.rule, market.contracts
        side, settle = contracts.side[self.option_columns], contracts.settle[self.option_columns]
        price, mark = (
            market.oracle[contracts.underlying[self.option_columns]],
            market.mark[self.option_columns],
        )
        tick = contracts.multiplier[self.option_columns] * market.price[settle]
        spot, lot_value = price * tick / contracts.tick[self.option_columns], mark * tick
        out = np.maximum(side * (contracts.strike[self.option_columns] - price), 0.0) / price
        kept = rule.keep * np.where(side > 0, spot, np.maximum(spot, lot_value))
        return OptionChain(
            lot_value, np.maximum(np.maximum(rule.share - out, rule.least) * spot, kept), kept
        )

    def _compute_charges(self, accounts: Exposure) -> Margins:
        """What each option asks, (A, O) each."""
        chain, lots = (
            self.build_option_chain(accounts.market),
            accounts.position[:, self.option_columns],
        )
        long, short = np.maximum(lots, 0) * chain.lot_value, np.maximum(-lots, 0)
        return Margins(long + short * chain.initial, long + short * chain.maintenance)
