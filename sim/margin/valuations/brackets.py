"""Collateral discounted by brackets of its amount: each further unit counts for less."""

import itertools
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import ValuationComponent
from sim.margin.valuations.collateral import convert_to_units, value_collateral
from sim.types import F8, Contracts, Exposure, Margins


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
