"""Collateral and debt weighted by their size, as at Drift: what is large is hard to sell, and to buy back."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import ValuationComponent
from sim.margin.collateral import amounts, held, owed
from sim.margin.weights import asset_weight, liability_weight
from sim.types import F8, Contracts, Exposure, Margins


class Weights(Component):
    """Of one token; the defaults are those of protocol-v2's tests of margin (2025)."""

    initial: float = Field(default=0.8, ge=0, le=1, description="of what is held, to open (ratio)")
    maintenance: float = Field(default=0.9, ge=0, le=1, description="of what is held, to keep (ratio)")
    owed_initial: float = Field(default=1.2, ge=1, le=100, description="of what is owed, to open (ratio)")
    owed_maintenance: float = Field(default=1.1, ge=1, le=100, description="of what is owed, to keep (ratio)")
    imf: float = Field(default=0.0, ge=0, le=1e6, description="worsening with size (per root of a unit)")

    @model_validator(mode="after")
    def _opening_asks_more(self) -> Self:
        if self.initial > self.maintenance:
            raise ValueError(f"initial: {self.initial:g} counts more than maintenance {self.maintenance:g}, lower it")
        if self.owed_initial < self.owed_maintenance:
            raise ValueError(
                f"owed_initial: {self.owed_initial:g} is below owed_maintenance {self.owed_maintenance:g}, raise it"
            )
        return self

    def pairs(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of what is held and of what is owed, each to open and to keep."""
        return (self.initial, self.maintenance), (self.owed_initial, self.owed_maintenance)


class Weighted(ValuationComponent):
    """Held: value x (1 - min(w, 1.1 / (1 + imf √size))); owed: value x (max(w, 0.8 w + imf √size) - 1).

    Market equity has a debt at its value already, so that only what its weight exceeds one by is asked on top. An asset
    or spot position that is not named does not count; a debt in it asks no more than itself, and spot owed is for the
    requirement. Source: drift-labs/protocol-v2,
    state/spot_market.rs ``get_asset_weight``, ``get_liability_weight`` and math/margin.rs (2025).
    """

    kind: Literal["weighted"] = Field(default="weighted", description="weights that worsen with size (name)")
    tokens: dict[str, Weights] = Field(default={}, description="weights by asset or spot instrument (name: weights)")

    def names(self) -> frozenset[str]:
        """What weights are given for."""
        return frozenset(self.tokens)

    def adds_up(self, contracts: Contracts) -> bool:
        """Return True: spot positions are cut one by one."""
        return True

    def spot_by_leg(self, book: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        assets, spot = held(book)
        size = amounts(book, assets, spot)[1]
        cut = spot.copy()
        for column, name in enumerate(book.market.contracts.names):
            if (its := self.tokens.get(name)) is not None:
                cut[:, column] -= spot[:, column] * asset_weight(size[:, column], its.imf, its.initial)
        return cut

    def haircuts(self, book: Exposure) -> Margins:
        """See :class:`ValuationComponent`; a premium on debt may exceed what is held."""
        (assets, spot), debt = held(book), owed(book)
        value, size = np.hstack([assets, spot]), np.hstack(amounts(book, assets, spot))
        short = amounts(book, debt, spot)[0]
        cut = np.stack([value.sum(axis=1)] * 2)  # to open, to keep
        for column, name in enumerate((*book.market.contracts.assets, *book.market.contracts.names)):
            if (its := self.tokens.get(name)) is None:
                continue
            for row, kept, due in zip(cut, *its.pairs(), strict=True):
                row -= value[:, column] * asset_weight(size[:, column], its.imf, kept)
                if column < debt.shape[1]:
                    row += debt[:, column] * (liability_weight(short[:, column], its.imf, due) - 1.0)
        return Margins(*np.maximum(cut, 0.0))
