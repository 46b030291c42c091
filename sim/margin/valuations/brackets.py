"""Collateral discounted by brackets of its amount: the more of it, the less each further unit counts."""

import itertools
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import ValuationComponent
from sim.margin.valuations.collateral import convert_to_units, value_collateral
from sim.types import F8, Contracts, Exposure, Margins


class CollateralBracket(Component):
    """What counts of the units up to a cap."""

    cap: float = Field(
        gt=0, description="amount at which the bracket ends (units of the asset or underlying)"
    )
    counted: float = Field(ge=0, le=1, description="share of their value that counts (ratio)")


class BracketValuation(ValuationComponent):
    """Each bracket's rate applies to the units inside it only; beyond the last cap nothing counts.

    OKX, "Discount rate tiers" (announcement of April 2025). Assets and spot instruments without brackets count nothing.
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
                    message = (
                        f"brackets.{name}.{k}.cap: {above.cap:g} does not exceed the one before"
                    )
                    raise ValueError(f"{message}, {below.cap:g}, sort by cap")
                if above.counted > below.counted:
                    message = f"brackets.{name}.{k}.counted: {above.counted:g} is more than the {below.counted:g}"
                    raise ValueError(f"{message} of the bracket before: lower it")
        return self

    def mentioned_names(self) -> frozenset[str]:
        """What brackets are given for."""
        return frozenset(self.brackets)

    def is_additive(self, contracts: Contracts) -> bool:
        """Return True: spot positions are cut one by one."""
        return True

    def compute_spot_haircuts(self, accounts: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        assets, spot = value_collateral(accounts)
        amount = convert_to_units(accounts, assets, spot)[1]
        ladders = [self.brackets.get(name, ()) for name in accounts.market.contracts.names]
        share = [
            compute_counted_share(column, ladder)
            for column, ladder in zip(amount.T, ladders, strict=True)
        ]
        cut: F8 = spot * (1.0 - np.stack(share, axis=1))
        return cut

    def compute_haircuts(self, accounts: Exposure) -> Margins:
        """See :class:`ValuationComponent`; the same for initial and maintenance."""
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
    """Share of an amount that counts, its brackets' rates weighted by the units inside them; 1 of nothing.

    Args:
        amount: units, any shape, at least nil.
        ladder: brackets with rising caps.
    """
    total, floor = np.zeros(np.shape(amount)), 0.0
    for bracket in ladder:
        total += bracket.counted * np.clip(amount - floor, 0.0, bracket.cap - floor)
        floor = bracket.cap
    return np.divide(total, amount, out=np.ones(np.shape(amount)), where=amount > 0)
