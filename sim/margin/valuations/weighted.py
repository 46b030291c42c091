"""Collateral and debt weighted by their size, as at Drift.

A large amount is hard to sell, and a large debt is hard to buy back.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin import leg_values
from sim.margin.base import ValuationComponent
from sim.margin.compiled import MarginArrays
from sim.margin.valuations.asset_weights import compute_asset_weight, compute_liability_weight
from sim.margin.valuations.collateral import (
    convert_to_units,
    value_asset,
    value_collateral,
    value_debts,
    value_spot,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Contracts, Exposure, Margins


class TokenWeights(Component):
    """Weights of one token; the defaults are those of protocol-v2's tests of margin (2025)."""

    initial: float = Field(
        default=0.8, ge=0, le=1, description="weight of an asset for initial margin (ratio)"
    )
    maintenance: float = Field(
        default=0.9, ge=0, le=1, description="weight of an asset for maintenance margin (ratio)"
    )
    owed_initial: float = Field(
        default=1.2, ge=1, le=100, description="weight of a debt for initial margin (ratio)"
    )
    owed_maintenance: float = Field(
        default=1.1, ge=1, le=100, description="weight of a debt for maintenance margin (ratio)"
    )
    imf: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="change of the weights with size (per root of a unit)",
    )

    @model_validator(mode="after")
    def _check_opening_weights(self) -> Self:
        if self.initial > self.maintenance:
            raise ValueError(
                f"initial: {self.initial:g} counts more than maintenance {self.maintenance:g}, "
                "lower it"
            )
        if self.owed_initial < self.owed_maintenance:
            raise ValueError(
                f"owed_initial: {self.owed_initial:g} is below owed_maintenance "
                f"{self.owed_maintenance:g}, raise it"
            )
        return self

    def weight_pairs(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the weights of assets and of debts, each for initial and maintenance."""
        return (self.initial, self.maintenance), (self.owed_initial, self.owed_maintenance)


class SizeWeightedValuation(ValuationComponent):
    """Haircuts from asset and liability weights that depend on size.

    An asset's haircut is value x (1 - min(w, 1.1 / (1 + imf √size))). A debt's is value x (max(w,
    0.8 w + imf √size) - 1), because market equity already contains the debt at its value. An asset
    or spot position that is not named does not count. A debt in it adds no charge beyond its value.
    Spot that is owed is left to the requirement.

    Source: drift-labs/protocol-v2, state/spot_market.rs ``get_asset_weight``,
    ``get_liability_weight`` and math/margin.rs (2025).
    """

    kind: Literal["weighted"] = Field(
        default="weighted", description="weights that worsen with size (name)"
    )
    tokens: dict[str, TokenWeights] = Field(
        default={}, description="weights by asset or spot instrument (name: weights)"
    )

    def mentioned_names(self) -> frozenset[str]:
        """Return the assets and instruments that have weights."""
        return frozenset(self.tokens)

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True: the haircut of each spot position depends on that position alone."""
        return True

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        assets, spot = value_collateral(accounts)
        size = convert_to_units(accounts, assets, spot)[1]
        cut = spot.copy()
        for column, name in enumerate(accounts.market.contracts.names):
            if (weights := self.tokens.get(name)) is not None:
                cut[:, column] -= spot[:, column] * compute_asset_weight(
                    size[:, column], weights.imf, weights.initial
                )
        return cut

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """See :class:`ValuationComponent`; the charge on debts may exceed the collateral held."""
        (assets, spot), debt = value_collateral(accounts), value_debts(accounts)
        value, size = np.hstack([assets, spot]), np.hstack(convert_to_units(accounts, assets, spot))
        debt_size = convert_to_units(accounts, debt, spot)[0]
        haircuts = np.stack([leg_values.sum_legs(value)] * 2)  # initial, maintenance
        for column, name in enumerate(
            (*accounts.market.contracts.assets, *accounts.market.contracts.names)
        ):
            if (weights := self.tokens.get(name)) is None:
                continue
            for row, asset_weight, debt_weight in zip(
                haircuts, *weights.weight_pairs(), strict=True
            ):
                row -= value[:, column] * compute_asset_weight(
                    size[:, column], weights.imf, asset_weight
                )
                if column < debt.shape[1]:
                    liability_weight = compute_liability_weight(
                        debt_size[:, column], weights.imf, debt_weight
                    )
                    row += debt[:, column] * (liability_weight - 1.0)
        initial, maintenance = np.maximum(haircuts, 0.0)
        return Margins(initial, maintenance)

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledValuation`."""
        contracts = arrays.market.contracts
        names = (*contracts.assets, *contracts.names)
        weights = np.full((len(names), 5), np.nan)  # NaN = has none
        for column, name in enumerate(names):
            if (token := self.tokens.get(name)) is not None:
                owned, owed = token.weight_pairs()
                weights[column] = *owned, *owed, token.imf
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        units = np.array(contracts.units, dtype=np.float64)
        terms = (arrays.is_spot, arrays.settle, arrays.price, units, contracts.lot, weights)
        return (bind_kernel(cut_weighted, *accounts, *terms, arrays.initial, arrays.maintenance),)


@kernel
def cut_weighted(
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
    weights: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add haircuts to both margins of the accounts in use.

    Weights are (C + K, 5), of assets and then of instruments: of what is owned and of what is owed,
    each for initial and maintenance, and the imf factor.
    """
    holdings = (position, balance, pool, lot_value, is_spot, settle, price)
    assets = price.size
    value, size = np.empty(len(weights)), np.empty(len(weights))
    debt = np.zeros(len(weights))
    for a in range(count[0]):
        for asset in range(assets):
            worth = value_asset(asset, a, *holdings)
            value[asset], debt[asset] = max(worth, 0.0), max(-worth, 0.0)
            size[asset] = value[asset] / (price[asset] * units[asset])
        for k in range(lot_value.size):
            value[assets + k] = value_spot(k, a, position, lot_value, is_spot)
            size[assets + k] = position[k, a] * lot[k] if value[assets + k] > 0 else 0.0
        for row in range(2):
            cut = 0.0
            for column in range(value.size):
                cut += value[column]
            for column in range(value.size):
                if np.isnan(weights[column, 4]):
                    continue
                imf, owed = weights[column, 4], weights[column, 2 + row]
                cut -= value[column] * weigh_owned(size[column], imf, weights[column, row])
                if column < assets:
                    owed_size = debt[column] / (price[column] * units[column])
                    weight = np.maximum(owed, 0.8 * owed + imf * np.sqrt(owed_size))
                    cut += debt[column] * (weight - 1.0)
            if row == 0:
                initial[a] = np.maximum(cut, 0.0) + initial[a]
            else:
                maintenance[a] = np.maximum(cut, 0.0) + maintenance[a]
    return 0


@kernel
def weigh_owned(size: float, imf: float, weight: float) -> float:
    """Return the weight of what is owned: see :func:`compute_asset_weight`."""
    return np.minimum(weight, 1.1 / (1.0 + imf * np.sqrt(size))) if imf > 0 else weight
