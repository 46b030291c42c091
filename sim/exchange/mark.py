"""Mark prices (MARK-1): the price that margin is computed with."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.numerics.jit import kernel
from sim.types import B1, F8


class MarkInputs(NamedTuple):
    """What the mark is made of, (K,), ticks."""

    mid: F8  # NaN where a side of the book is empty
    last: F8
    oracle: F8
    basis: F8  # average of mid / oracle - 1
    is_book_empty: B1  # whether both sides of the book are empty


@kernel
def compute_median_mark(mid: F8, last: F8, oracle: F8, basis: F8, bare: B1, clamp: float) -> F8:
    """Of mid, last and fair price the middle one, or without a mid the others' mean; of a bare book the fair price.

    Clamped around the oracle and rounded, (K,).
    """
    mark = np.empty(mid.size)
    for k in range(mid.size):
        fair = oracle[k] * (1 + basis[k])
        middle = np.maximum(
            np.minimum(mid[k], last[k]), np.minimum(np.maximum(mid[k], last[k]), fair)
        )
        if bare[k]:
            middle = fair
        elif np.isnan(mid[k]):
            middle = (last[k] + fair) / 2
        mark[k] = np.rint(
            np.minimum(np.maximum(middle, oracle[k] * (1 - clamp)), oracle[k] * (1 + clamp))
        )
    return mark


class MedianMark(Component):
    """Median of book mid, last trade and oracle x (1 + basis), clamped around the oracle, rounded to a tick.

    A book with one side has no mid; without any quotes the last trade is stale, too, and oracle x (1 + basis) stands.
    """

    kind: Literal["median"] = "median"
    half_life: float = Field(
        default=150.0, gt=0, description="half-life of the average basis of mid over oracle (s)"
    )
    clamp: float = Field(
        default=0.05, gt=0, le=1, description="largest distance of the mark from the oracle (share)"
    )

    def compute_mark(self, quotes: MarkInputs) -> F8:
        """The mark in whole ticks, half to even."""
        return compute_median_mark(*quotes, self.clamp)

    def update_basis(self, basis: F8, mid: F8, oracle: F8, dt: float) -> F8:
        """The average basis after one more step; an empty side leaves it as it was."""
        weight = 1 - 0.5 ** (dt / self.half_life)
        return np.where(np.isnan(mid), basis, basis + weight * (mid / oracle - 1 - basis))


class BookMark(Component):
    """The book's mid, or the last trade where a side is empty; no oracle, no clamp (MARK-1)."""

    kind: Literal["book"] = "book"

    def compute_mark(self, quotes: MarkInputs) -> F8:
        """The mark in whole ticks, half to even."""
        return np.rint(np.where(np.isnan(quotes.mid), quotes.last, quotes.mid))

    def update_basis(self, basis: F8, mid: F8, oracle: F8, dt: float) -> F8:
        """There is no average to keep."""
        return basis
