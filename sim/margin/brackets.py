"""Collateral discounted by brackets of its amount: the more of it, the less each further unit counts."""

import itertools
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.margin.base import ValuationComponent
from sim.margin.collateral import amounts, held
from sim.types import F8, Contracts, Exposure, Margins


class Bracket(Component):
    """What counts of the units up to a cap."""

    cap: float = Field(gt=0, description="amount at which the bracket ends (units of the asset or underlying)")
    counted: float = Field(ge=0, le=1, description="share of their value that counts (ratio)")


class Brackets(ValuationComponent):
    """Each bracket's rate applies to the units inside it only; beyond the last cap nothing counts.

    OKX, "Discount rate tiers" (announcement of April 2025). Assets and spot instruments without brackets count nothing.
    """

    kind: Literal["brackets"] = Field(default="brackets", description="discounts by marginal brackets (name)")
    brackets: dict[str, tuple[Bracket, ...]] = Field(
        default={}, description="brackets by asset or spot instrument (name: brackets)"
    )

    @model_validator(mode="after")
    def _brackets_climb(self) -> Self:
        for name, ladder in self.brackets.items():
            for k, (below, above) in enumerate(itertools.pairwise(ladder), start=1):
                if above.cap <= below.cap:
                    told = f"brackets.{name}.{k}.cap: {above.cap:g} does not exceed the one before"
                    raise ValueError(f"{told}, {below.cap:g}, sort by cap")
                if above.counted > below.counted:
                    told = f"brackets.{name}.{k}.counted: {above.counted:g} is more than the {below.counted:g}"
                    raise ValueError(f"{told} of the bracket before: lower it")
        return self

    def names(self) -> frozenset[str]:
        """What brackets are given for."""
        return frozenset(self.brackets)

    def adds_up(self, contracts: Contracts) -> bool:
        """Return True: spot positions are cut one by one."""
        return True

    def spot_by_leg(self, book: Exposure) -> F8:
        """See :class:`ValuationComponent`."""
        assets, spot = held(book)
        amount = amounts(book, assets, spot)[1]
        ladders = [self.brackets.get(name, ()) for name in book.market.contracts.names]
        share = [counted(column, ladder) for column, ladder in zip(amount.T, ladders, strict=True)]
        cut: F8 = spot * (1.0 - np.stack(share, axis=1))
        return cut

    def haircuts(self, book: Exposure) -> Margins:
        """See :class:`ValuationComponent`; the same for initial and maintenance."""
        values = held(book)
        names = (book.market.contracts.assets, book.market.contracts.names)
        disallowed = np.zeros(len(book.balance))
        for listed, value, amount in zip(names, values, amounts(book, *values), strict=True):
            for column, name in enumerate(listed):
                rest = 1.0 - counted(amount[:, column], self.brackets.get(name, ()))
                disallowed += value[:, column] * rest
        return Margins(disallowed, disallowed)


def counted(amount: F8, ladder: tuple[Bracket, ...]) -> F8:
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
