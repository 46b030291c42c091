"""Margin ratios that rise with the square root of a position's size."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin import leg_values
from sim.margin.additive import AdditiveRequirement
from sim.margin.base import RequirementComponent, require_initial_covers_maintenance
from sim.margin.compiled import LearningArrays, LearningStep, MarginArrays
from sim.margin.valuations.asset_weights import compute_liability_weight
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, Contracts, Exposure, Margins, MarketView


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
        maintenance = self._margin_by_leg(accounts, self.rule.maintenance)
        return Margins(leg_values.sum_legs(initial), leg_values.sum_legs(maintenance))

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledRequirement`."""
        columns = (
            arrays.n_accounts,
            arrays.position,
            arrays.leverage,
            arrays.lot_value,
            arrays.is_spot,
        )
        ratios = (float(self.rule.initial), float(self.rule.maintenance), float(self.rule.imf))
        rule = (arrays.market.contracts.lot, *ratios)
        return (bind_kernel(charge_by_size, *columns, *rule, arrays.initial, arrays.maintenance),)

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledLegShares`."""
        columns = (arrays.n_accounts, arrays.position, arrays.lot_value, arrays.is_spot)
        ratio = (float(self.rule.maintenance), float(self.rule.imf))
        return (bind_kernel(share_by_size, *columns, arrays.market.contracts.lot, *ratio, shares),)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...]:
        """Return no step: the ratios are fixed."""
        return ()

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


@kernel
def charge_by_size(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    lot: F8,
    initial_ratio: float,
    maintenance_ratio: float,
    imf: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    for k in range(len(position)):
        for a in range(accounts):
            lots = position[k, a]
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            premium = imf * np.sqrt(abs(lots) * lot[k])
            own = notional * np.maximum(initial_ratio, 0.8 * initial_ratio + premium)
            initial[a] += np.maximum(own, np.divide(notional, leverage[k, a]))
            kept = np.maximum(maintenance_ratio, 0.8 * maintenance_ratio + premium)
            maintenance[a] += notional * kept
    return 0


@kernel
def share_by_size(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    lot: F8,
    ratio: float,
    imf: float,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    for k in range(len(position)):
        for a in range(count[0]):
            lots = position[k, a]
            notional = leg_values.value_margined_leg(lots, lot_value[k], is_spot[k])
            premium = imf * np.sqrt(abs(lots) * lot[k])
            shares[k, a] = notional * np.maximum(ratio, 0.8 * ratio + premium)
    leg_values.normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
