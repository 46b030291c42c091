"""Smaller haircut on hedged collateral: only the basis is deducted from it."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.base import ValuationComponent
from sim.margin.compiled import MarginArrays
from sim.margin.valuations.collateral import (
    map_shares_to_columns,
    value_asset,
    value_collateral,
    value_spot,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, OPTION, SPOT, Contracts, Exposure, Margins


class DeltaAdjustedValuation(ValuationComponent):
    """Haircut ``hedged`` on spot that short derivatives hedge, and the full haircut on the rest.

    Delta is counted in units of the underlying over the pool's linear derivatives; options are left
    out. The account's spot positions on an underlying share a hedge in proportion to their size.
    Assets other than spot positions are disallowed in full.

    The valuation matters where one account holds both legs, and where margin is scarce: it changes
    which hedged positions are admitted and which accounts are liquidated. A trader who sizes
    positions by the leverage of one lot uses the haircut of spot that is not hedged. This
    definition is the project's own. Derive's risk-cancelling collateral has a similar effect by
    scenarios.
    """

    kind: Literal["delta_adjusted"] = Field(
        default="delta_adjusted", description="haircuts on spot that is not hedged (name)"
    )
    unhedged: dict[str, float] = Field(
        default={}, description="haircut by spot instrument (name: share)"
    )
    other: float = Field(
        default=0.2, ge=0, le=1, description="haircut of spot that is not named (share)"
    )
    hedged: float = Field(
        default=0.02, ge=0, le=1, description="haircut of hedged spot, for the basis (share)"
    )

    @model_validator(mode="after")
    def _check_hedged_share(self) -> Self:
        named = [(f"unhedged.{name}", share) for name, share in self.unhedged.items()]
        for where, share in [("other", self.other), *named]:
            if not self.hedged <= share <= 1:
                raise ValueError(
                    f"{where}: {share:g} is not between hedged, {self.hedged:g}, and 1, "
                    "change either"
                )
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the spot instruments with a haircut of their own."""
        return frozenset(self.unhedged)

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True if no two spot instruments share an underlying, and thereby a hedge."""
        underlyings = contracts.underlying[contracts.kind == SPOT]
        return np.unique(underlyings).size == underlyings.size

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        _, spot = value_collateral(accounts)
        _, share = map_shares_to_columns(accounts.market.contracts, self.unhedged, self.other)
        cut: F8 = spot * (share - (share - self.hedged) * compute_hedged_share(accounts))
        return cut

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """See :class:`ValuationComponent`; initial and maintenance haircuts are equal."""
        assets, spot = value_collateral(accounts)
        _, share = map_shares_to_columns(accounts.market.contracts, self.unhedged, self.other)
        cut = share - (share - self.hedged) * compute_hedged_share(accounts)
        disallowed = leg_values.sum_legs(assets) + leg_values.sum_legs(spot * cut)
        return Margins(disallowed, disallowed)

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledValuation`."""
        contracts = arrays.market.contracts
        _, share = map_shares_to_columns(contracts, self.unhedged, self.other)
        is_linear = (contracts.kind != SPOT) & (contracts.kind != OPTION)
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        terms = (arrays.is_spot, arrays.settle, arrays.price, contracts.lot, contracts.underlying)
        rule = (is_linear, share, float(self.hedged))
        results = (arrays.initial, arrays.maintenance)
        return (bind_kernel(cut_unhedged, *accounts, *terms, *rule, *results),)


def compute_hedged_share(accounts: Exposure) -> F8:
    """Return the share of each spot position that short linear derivatives hedge, (A, K).

    It is zero for instruments that are not spot.
    """
    contracts = accounts.market.contracts
    spot, linear = contracts.kind == SPOT, (contracts.kind != SPOT) & (contracts.kind != OPTION)
    units = accounts.position * contracts.lot
    part = np.zeros(accounts.position.shape)
    for underlying in np.unique(contracts.underlying[spot]):
        same = contracts.underlying == underlying
        owned = leg_values.sum_legs(np.maximum(units[:, same & spot], 0.0))
        short = np.maximum(-leg_values.sum_legs(units[:, same & linear]), 0.0)
        covered = np.divide(
            np.minimum(short, owned), owned, out=np.zeros(len(owned)), where=owned > 0
        )
        part[:, same & spot] = covered[:, None]
    return part


@kernel
def cut_unhedged(
    tick: int,
    count: I8,
    position: I8,
    balance: I8,
    pool: int,
    lot_value: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    lot: F8,
    underlying: I8,
    is_linear: B1,
    share: F8,
    hedged: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add haircuts to both margins of the accounts in use; ``share`` is (K,) by instrument."""
    holdings = (position, balance, pool, lot_value, is_spot, settle, price)
    count_all = underlying.max() + 1
    owned, net = np.zeros(count_all), np.zeros(count_all)
    for a in range(count[0]):
        owned[:], net[:] = 0.0, 0.0
        for k in range(lot.size):
            units = position[k, a] * lot[k]
            if is_spot[k]:
                owned[underlying[k]] += max(units, 0.0)
            elif is_linear[k]:
                net[underlying[k]] += units
        assets, spot = 0.0, 0.0
        for asset in range(price.size):
            assets += max(value_asset(asset, a, *holdings), 0.0)
        for k in range(lot.size):
            total = owned[underlying[k]]
            part = min(max(-net[underlying[k]], 0.0), total) / total if total > 0 else 0.0
            cut = share[k] - (share[k] - hedged) * part
            spot += value_spot(k, a, position, lot_value, is_spot) * cut
        initial[a] = (assets + spot) + initial[a]
        maintenance[a] = (assets + spot) + maintenance[a]
    return 0
