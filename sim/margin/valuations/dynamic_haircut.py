"""Haircuts that follow the market: they rise with volatility and with falling depth."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.margin.base import ValuationComponent
from sim.margin.compiled import MarginArrays
from sim.margin.quoted import mask_unquoted_depth
from sim.margin.valuations.collateral import (
    convert_to_units,
    value_asset,
    value_collateral,
    value_spot,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import B1, F8, I8, MISSING, Contracts, Exposure, Margins


class DynamicHaircut(ValuationComponent):
    """Haircut by volatility and depth.

    share = base + quantile x vol x sqrt(horizon) + impact x sqrt(lots / depth), at most 1. The
    terms are a fall of the price while the asset is sold, and the square-root impact of selling it.
    The initial haircut is scaled up. This definition is the project's own. A spot position uses
    volatility and depth of its own instrument, an asset those of the instrument that ``priced_by``
    names; other assets count nothing. Depth is the quantity within 1% of the mark. An empty order
    book counts as one lot, and before the first quotes of a run there is no impact.
    """

    kind: Literal["dynamic"] = Field(
        default="dynamic", description="haircuts by volatility and depth (name)"
    )
    base: float = Field(
        default=0.02, ge=0, le=1, description="haircut of a calm, deep market (share)"
    )
    quantile: float = Field(
        default=2.33, ge=0, description="standard deviations covered, 2.33 = 99% (count)"
    )
    horizon: float = Field(default=86_400.0, ge=0, description="time that selling takes (s)")
    impact: float = Field(
        default=0.01, ge=0, description="impact of selling the depth within 1% of the mark (share)"
    )
    initial_scale: float = Field(
        default=1.2, ge=1, description="initial haircut over maintenance haircut (ratio)"
    )
    price_instruments: dict[str, str] = Field(
        default={}, description="instrument whose volatility and depth an asset uses (name: name)"
    )

    @model_validator(mode="after")
    def _check_one_price_each(self) -> Self:
        for asset, instrument in self.price_instruments.items():
            if asset == instrument:
                raise ValueError(
                    f"price_instruments.{asset}: an asset cannot stand for itself, "
                    "name an instrument"
                )
        return self

    def mentioned_names(self) -> frozenset[str]:
        """Return the assets, and the instruments whose volatility and depth they use."""
        return frozenset(self.price_instruments) | frozenset(self.price_instruments.values())

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True: the haircut of each spot position depends on that position alone."""
        return True

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        assets, spot = value_collateral(accounts)
        amount = convert_to_units(accounts, assets, spot)[1]
        shares = [
            self._compute_haircut_share(accounts, column, k) * self.initial_scale
            for k, column in enumerate(amount.T)
        ]
        haircut: F8 = spot * np.minimum(np.stack(shares, axis=1), 1.0)
        return haircut

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """See :class:`ValuationComponent`."""
        values, contracts = value_collateral(accounts), accounts.market.contracts
        of_assets, of_spot = convert_to_units(accounts, *values)
        column = [*self._find_asset_columns(contracts), *range(len(contracts.names))]
        maintenance, initial = np.zeros(len(accounts.balance)), np.zeros(len(accounts.balance))
        for k, value, amount in zip(
            column, np.hstack(values).T, np.hstack([of_assets, of_spot]).T, strict=True
        ):
            share = (
                np.ones(len(value))
                if k == MISSING
                else self._compute_haircut_share(accounts, amount, k)
            )
            maintenance += value * share
            initial += value * np.minimum(share * self.initial_scale, 1.0)
        return Margins(initial, maintenance)

    def _compute_haircut_share(self, accounts: Exposure, amount: F8, k: int) -> F8:
        """Return the haircut of some amounts, (A,), of the asset that instrument k trades."""
        market = accounts.market
        years = self.horizon / find_seconds_per_year(market)[k]
        price_fall = self.quantile * market.vol[k] * np.sqrt(years)
        lots, depth = amount / market.contracts.lot[k], float(mask_unquoted_depth(market)[k])
        impact = 0.0 if np.isnan(depth) else self.impact * np.sqrt(lots / max(depth, 1.0))
        share: F8 = self.base + price_fall + impact
        return np.minimum(share, 1.0)

    def _find_asset_columns(self, contracts: Contracts) -> list[int]:
        """Return the instrument that prices each asset, MISSING if the pool has none."""
        place = {name: k for k, name in enumerate(contracts.names)}
        return [
            place.get(self.price_instruments.get(name, ""), MISSING) for name in contracts.assets
        ]

    def bind_haircuts(self, arrays: MarginArrays) -> tuple[BoundKernel, ...]:
        """See :class:`sim.margin.compiled.CompiledValuation`."""
        market, contracts = arrays.market, arrays.market.contracts
        column = [*self._find_asset_columns(contracts), *range(len(contracts.names))]
        accounts = (
            arrays.n_accounts,
            arrays.position,
            arrays.balance,
            arrays.pool,
            arrays.lot_value,
        )
        units = np.array(contracts.units, dtype=np.float64)
        terms = (arrays.is_spot, arrays.settle, arrays.price, units, contracts.lot)
        root = np.sqrt(self.horizon / market.seconds_per_year)
        books = (market.volatility, market.depth, root, np.array(column))
        numbers = (self.base, self.quantile, self.impact, self.initial_scale)
        rule = np.array(numbers, dtype=np.float64)
        results = (arrays.initial, arrays.maintenance)
        return (bind_kernel(cut_by_market, *accounts, *terms, *books, rule, *results),)


@kernel
def cut_by_market(
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
    volatility: F8,
    depth: F8,
    root: F8,
    column: I8,
    rule: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Add haircuts to both margins of the accounts in use.

    ``root`` is the root of the horizon in years, (K,), and ``column`` the instrument that prices
    each asset and then each instrument, (C + K,). The rule is base, quantile, impact and scale.
    """
    holdings = (position, balance, pool, lot_value, is_spot, settle, price)
    base, quantile, impact, scale = rule
    for a in range(count[0]):
        cut, more = 0.0, 0.0
        for place in range(column.size):
            k = column[place]
            if place < price.size:
                value = max(value_asset(place, a, *holdings), 0.0)
                amount = value / (price[place] * units[place])
            else:
                value = value_spot(k, a, position, lot_value, is_spot)
                amount = position[k, a] * lot[k] if value > 0 else 0.0
            share = 1.0
            if k != MISSING:
                share = base + quantile * volatility[k] * root[k]
                is_known = not (tick <= 1 and depth[k] == 0)
                if is_known:
                    share += impact * np.sqrt(amount / lot[k] / max(depth[k], 1.0))
                share = np.minimum(share, 1.0)
            cut += value * share
            more += value * np.minimum(share * scale, 1.0)
        initial[a] = more + initial[a]
        maintenance[a] = cut + maintenance[a]
    return 0
