"""Collateral and debt weighted by their size, as at Drift.

A large amount is hard to sell, and a large debt is hard to buy back.
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import ValuationComponent
from sim.margin.valuations.asset_weights import compute_asset_weight, compute_liability_weight
from sim.margin.valuations.collateral import convert_to_units, value_collateral, value_debts
from sim.types import F8, Contracts, Exposure, Margins


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
        haircuts = np.stack([value.sum(axis=1)] * 2)  # initial, maintenance
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
