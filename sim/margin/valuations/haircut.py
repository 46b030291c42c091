"""Static haircuts on a basket of collateral."""

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
from sim.types import B1, F8, I8, Contracts, Exposure, Margins


class StaticHaircut(ValuationComponent):
    """Static haircut on each asset and spot position: share x value is disallowed.

    Debts count in full. Shares are given by name of asset or spot instrument, and initial and
    maintenance shares may differ. Initial shares that are not given equal those of maintenance.
    (Derive adds its initial haircut to that of maintenance: give the sum.)
    """

    kind: Literal["haircut"] = Field(default="haircut", description="static haircuts (name)")
    maintenance: dict[str, float] = Field(
        default={}, description="haircut for maintenance margin (name: share)"
    )
    initial: dict[str, float] = Field(
        default={},
        description="haircut for initial margin; not given = as for maintenance (name: share)",
    )
    other: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="haircut of assets and instruments that are not named (share)",
    )

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        for where, shares in (("maintenance", self.maintenance), ("initial", self.initial)):
            for name, share in shares.items():
                if not 0 <= share <= 1:
                    raise ValueError(
                        f"{where}.{name}: {share:g} is not between 0 and 1, give a share"
                    )
        for name, share in self.initial.items():
            least = self.maintenance.get(name, self.other)
            if share < least and name not in self.maintenance:
                raise ValueError(
                    f"initial.{name}: {share:g} is below the {least:g} of other, "
                    f"which is its share to keep: add maintenance.{name}"
                )
            if share < least:
                raise ValueError(
                    f"initial.{name}: {share:g} is below the {least:g} of maintenance, raise it"
                )
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the assets and instruments that have a haircut."""
        return frozenset(self.maintenance) | frozenset(self.initial)

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True: the haircut of each spot position depends on that position alone."""
        return True

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        _, of_spot = map_shares_to_columns(
            accounts.market.contracts, self.maintenance | self.initial, self.other
        )
        cut: F8 = value_collateral(accounts)[1] * of_spot
        return cut

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """See :class:`ValuationComponent`."""
        assets, spot = value_collateral(accounts)
        disallowed = []
        for shares in (self.maintenance | self.initial, self.maintenance):
            of_assets, of_spot = map_shares_to_columns(
                accounts.market.contracts, shares, self.other
            )
            cut = leg_values.sum_legs(assets * of_assets)
            disallowed.append(cut + leg_values.sum_legs(spot * of_spot))
        return Margins(*disallowed)

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledValuation`."""
        contracts = arrays.market.contracts
        shares = [
            np.concatenate(map_shares_to_columns(contracts, named, self.other))
            for named in (self.maintenance | self.initial, self.maintenance)
        ]
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        terms = (arrays.is_spot, arrays.settle, arrays.price, np.stack(shares))
        return (bind_kernel(cut_shares, *accounts, *terms, arrays.initial, arrays.maintenance),)


@kernel
def cut_shares(
    tick: int,
    count: I8,
    position: I8,
    balance: I8,
    pool: int,
    lot_value: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    shares: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add haircuts to both margins of the accounts in use.

    Shares are (2, C + K): those of initial and of maintenance, of assets and then of instruments.
    """
    holdings = (position, balance, pool, lot_value, is_spot, settle, price)
    for a in range(count[0]):
        for row in range(2):
            cut, of_spot = 0.0, 0.0
            for asset in range(price.size):
                cut += max(value_asset(asset, a, *holdings), 0.0) * shares[row, asset]
            for k in range(lot_value.size):
                value = value_spot(k, a, position, lot_value, is_spot)
                of_spot += value * shares[row, price.size + k]
            if row == 0:
                initial[a] = (cut + of_spot) + initial[a]
            else:
                maintenance[a] = (cut + of_spot) + maintenance[a]
    return 0
