"""Margin ratios that rise with the square root of a position's size."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent, require_initial_covers_maintenance
from sim.margin.valuations.asset_weights import compute_liability_weight
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class SizeWeightedRequirement(RequirementComponent):
    """Margin of each leg with a ratio that rises with the root of its size; legs add up.

    It is N x max(ratio, 0.8 ratio + imf x sqrt(size)), with N the notional and size in units of the
    underlying. The margin is convex in size: two halves require less than the whole. Source:
    drift-labs/protocol-v2, state/perp_market.rs ``get_margin_ratio`` and math/margin.rs; the
    defaults are those of its tests (2025).
    """

    kind: Literal["size_weighted"] = Field(
        default="size_weighted", description="ratios that rise with the root of size (name)"
    )
    initial: float = Field(
        default=0.1, gt=0, description="initial ratio of a small position (ratio)"
    )
    maintenance: float = Field(
        default=0.05, ge=0, description="maintenance ratio of a small position (ratio)"
    )
    imf: float = Field(
        default=0.001,
        ge=0,
        description="increase of the ratio (per root of a unit of the underlying)",
    )

    @model_validator(mode="after")
    def _check_initial_ratio(self) -> Self:
        require_initial_covers_maintenance(self.initial, self.maintenance)
        return self

    def bind(self, contracts: Contracts, unit: int) -> "SizeWeightedMargin":
        """See :class:`RequirementComponent`."""
        return SizeWeightedMargin(self)


class SizeWeightedMargin(AdditiveRequirement):
    """Size-weighted margin of one pool's instruments."""

    def __init__(self, rule: SizeWeightedRequirement) -> None:
        self.rule = rule

    def observe(self, market: MarketView) -> None:
        """Do nothing: the ratios are fixed."""

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the sums over positions, (A,)."""
        initial = self.initial_by_leg(accounts)
        return Margins(
            initial.sum(axis=1), self._margin_by_leg(accounts, self.rule.maintenance).sum(axis=1)
        )

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        required: F8 = np.maximum(
            self._margin_by_leg(accounts, self.rule.initial),
            leg_values.compute_margined_notional(accounts) / accounts.leverage,
        )
        return required

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return each leg's maintenance over the sum, (A, K)."""
        return leg_values.normalise_shares(
            self._margin_by_leg(accounts, self.rule.maintenance),
            leg_values.compute_gross_notional(accounts),
        )

    def _margin_by_leg(self, accounts: Exposure, ratio: float) -> F8:
        size = np.abs(accounts.position) * accounts.market.contracts.lot
        return leg_values.compute_margined_notional(accounts) * compute_liability_weight(
            size, self.rule.imf, ratio
        )
