"""Collateral discounted by brackets of its amount: each further unit counts for less."""

import itertools
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import ValuationComponent
from sim.margin.compiled import MarginArrays
from sim.margin.valuations.collateral import (
    convert_to_units,
    value_asset,
    value_collateral,
    value_spot,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Contracts, Exposure, Margins


class CollateralBracket(Component):
    """Discount bracket: the share that counts of the units up to a cap."""

    cap: float = Field(
        gt=0, description="amount at which the bracket ends (units of the asset or underlying)"
    )
    counted_share: float = Field(ge=0, le=1, description="share of their value that counts (ratio)")


class BracketValuation(ValuationComponent):
    """Collateral valuation by brackets whose rates apply only to the units inside them.

    Beyond the last cap nothing counts. Source: OKX, "Discount rate tiers" (announcement of April
    2025). Assets and spot instruments without brackets count nothing.
    """

    kind: Literal["brackets"] = Field(
        default="brackets", description="discounts by marginal brackets (name)"
    )
    brackets: dict[str, tuple[CollateralBracket, ...]] = Field(
        default={}, description="brackets by asset or spot instrument (name: brackets)"
    )

    @model_validator(mode="after")
    def _check_bracket_order(self) -> Self:
        for name, ladder in self.brackets.items():
            for k, (below, above) in enumerate(itertools.pairwise(ladder), start=1):
                if above.cap <= below.cap:
                    raise ValueError(
                        f"brackets.{name}.{k}.cap: {above.cap:g} does not exceed the one before, "
                        f"{below.cap:g}, sort by cap"
                    )
                if above.counted_share > below.counted_share:
                    raise ValueError(
                        f"brackets.{name}.{k}.counted_share: {above.counted_share:g} "
                        "is more than the "
                        f"{below.counted_share:g} of the bracket before: lower it"
                    )
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the assets and instruments that have brackets."""
        return frozenset(self.brackets)

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True: the haircut of each spot position depends on that position alone."""
        return True

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        assets, spot = value_collateral(accounts)
        amount = convert_to_units(accounts, assets, spot)[1]
        ladders = [self.brackets.get(name, ()) for name in accounts.market.contracts.names]
        shares = [
            compute_counted_share(column, ladder)
            for column, ladder in zip(amount.T, ladders, strict=True)
        ]
        haircut: F8 = spot * (1.0 - np.stack(shares, axis=1))
        return haircut

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """See :class:`ValuationComponent`; initial and maintenance haircuts are equal."""
        values = value_collateral(accounts)
        names = (accounts.market.contracts.assets, accounts.market.contracts.names)
        disallowed = np.zeros(len(accounts.balance))
        for listed, value, amount in zip(
            names, values, convert_to_units(accounts, *values), strict=True
        ):
            for column, name in enumerate(listed):
                rest = 1.0 - compute_counted_share(amount[:, column], self.brackets.get(name, ()))
                disallowed += value[:, column] * rest
        return Margins(disallowed, disallowed)

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledValuation`."""
        contracts = arrays.market.contracts
        ladders = [self.brackets.get(name, ()) for name in (*contracts.assets, *contracts.names)]
        table = np.zeros((len(ladders), max(map(len, ladders), default=0), 2))
        for column, ladder in enumerate(ladders):
            for row, bracket in enumerate(ladder):
                table[column, row] = bracket.cap, bracket.counted_share
        lengths, units = np.array([len(each) for each in ladders]), np.array(contracts.units, float)
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        terms = (arrays.is_spot, arrays.settle, arrays.price, units, contracts.lot, table, lengths)
        return (bind_kernel(cut_brackets, *accounts, *terms, arrays.initial, arrays.maintenance),)


def compute_counted_share(amount: F8, ladder: tuple[CollateralBracket, ...]) -> F8:
    """Return the share of an amount that counts.

    It is the mean of the brackets' rates, weighted by the units inside them; 1 if the amount is
    zero.

    Args:
        amount: units, any shape, >= 0.
        ladder: brackets with rising caps.
    """
    total, floor = np.zeros(np.shape(amount)), 0.0
    for bracket in ladder:
        total += bracket.counted_share * np.clip(amount - floor, 0.0, bracket.cap - floor)
        floor = bracket.cap
    return np.divide(total, amount, out=np.ones(np.shape(amount)), where=amount > 0)


@kernel
def cut_brackets(
    tick: int,
    count: I8,
    position: I8,
    balance: I8,
    pool: int,
    lot_value: F8,
    is_spot: B1,
    settle: I8,
    price: F8,
    units: F8,
    lot: F8,
    table: F8,
    lengths: I8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add haircuts to both margins of the accounts in use.

    The table has cap and share of each bracket, (C + K, L, 2), of assets and then of instruments.
    """
    holdings = (position, balance, pool, lot_value, is_spot, settle, price)
    for a in range(count[0]):
        cut = 0.0
        for asset in range(price.size):
            value = max(value_asset(asset, a, *holdings), 0.0)
            amount = value / (price[asset] * units[asset])
            cut += value * (1.0 - count_share(amount, table[asset, : lengths[asset]]))
        for k in range(lot_value.size):
            value, column = value_spot(k, a, position, lot_value, is_spot), price.size + k
            amount = position[k, a] * lot[k] if value > 0 else 0.0
            cut += value * (1.0 - count_share(amount, table[column, : lengths[column]]))
        initial[a] = cut + initial[a]
        maintenance[a] = cut + maintenance[a]
    return 0


@kernel
def count_share(amount: float, brackets: F8) -> float:
    """Return the share of an amount that counts: see :func:`compute_counted_share`."""
    total, floor = 0.0, 0.0
    for row in range(len(brackets)):
        cap, share = brackets[row]
        total += share * min(max(amount - floor, 0.0), cap - floor)
        floor = cap
    return total / amount if amount > 0 else 1.0
