"""Cash valuation: only the numeraire covers margin."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin.base import ValuationComponent
from sim.margin.compiled import MarginArrays
from sim.margin.valuations.collateral import value_collateral
from sim.numerics.account_sums import BLOCK, add_values
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, SPOT, Contracts, Exposure, Margins


class CashValuation(ValuationComponent):
    """Haircut of 100% on other assets and on spot positions; debts in them count in full.

    Equity less the haircut is cash plus the value of derivatives: a spot position must be paid in
    full (LED-3). The amount held of an asset includes the derivatives that settle in it, because
    their cost is in its balance.
    """

    kind: Literal["cash"] = Field(default="cash", description="only the numeraire counts (name)")

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True: the haircut of each spot position depends on that position alone."""
        return True

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        return value_collateral(accounts)[1]

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledValuation`."""
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        terms = (arrays.is_spot, arrays.settle, arrays.price)
        return (
            bind_kernel(disallow_noncash, *accounts, *terms, arrays.initial, arrays.maintenance),
        )

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """Return the market value of everything but cash, (A,).

        Initial and maintenance are equal.
        """
        price, mark, per = accounts.market.price, accounts.market.mark, accounts.market.contracts
        disallowed = sum_noncash_values(
            accounts.balance, accounts.position, price, mark, per.multiplier, per.settle, per.kind
        )
        return Margins(disallowed, disallowed)


@kernel
def sum_noncash_values(
    balance: I8, position: I8, price: F8, mark: F8, multiplier: I8, settle: I8, kind: I8
) -> F8:
    """Return the value of other assets and of spot positions, (A,).

    They are the sums over columns of :func:`sim.margin.valuations.collateral.value_collateral`.
    """
    accounts, assets = balance.shape
    disallowed, value, owned = np.zeros(accounts), np.empty(accounts), np.zeros(accounts)
    for asset in range(1, assets):
        value[:] = 0.0
        for k in range(mark.size):
            if settle[k] == asset and kind[k] != SPOT:
                lot_value = mark[k] * multiplier[k] * price[asset]
                for a in range(accounts):
                    value[a] += position[a, k] * lot_value
        for a in range(accounts):
            disallowed[a] += max(balance[a, asset] * price[asset] + value[a], 0.0)
    for k in range(mark.size):
        if kind[k] == SPOT:
            lot_value = mark[k] * multiplier[k] * price[settle[k]]
            for a in range(accounts):
                owned[a] += max(position[a, k] * lot_value, 0.0)
    return disallowed + owned


@kernel
def disallow_noncash(
    tick: int,
    count: I8,
    position: I8,
    balance: I8,
    pool: int,
    lot_value: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add the value of other assets and of spot positions to both margins."""
    if price.size == 1 and not is_spot.any():
        return 0
    disallowed, value, owned = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, count[0], BLOCK):
        size = min(BLOCK, count[0] - start)
        here = slice(start, start + size)
        disallowed[:], owned[:] = 0.0, 0.0
        for asset in range(1, price.size):
            value[:] = 0.0
            for k in range(lot_value.size):
                if settle[k] == asset and not is_spot[k]:
                    add_values(position[k, here], lot_value[k], value[:size])
            add_positive_values(balance[asset, pool, here], price[asset], value, disallowed)
        for k in range(lot_value.size):
            if is_spot[k]:
                value[:] = 0.0
                add_positive_values(position[k, here], lot_value[k], value, owned)
        for margin in (initial[here], maintenance[here]):
            for a in range(size):
                margin[a] = (disallowed[a] + owned[a]) + margin[a]
    return 0


@kernel
def add_positive_values(units: I8, price: float, value: F8, total: F8) -> None:
    """Add units at a price and a further value to totals where the sum is positive."""
    for a in range(units.size):
        total[a] += max(units[a] * price + value[a], 0.0)
