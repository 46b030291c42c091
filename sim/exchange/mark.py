"""Mark prices (MARK-1): the prices at which margin is computed."""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.numerics.jit import kernel
from sim.types import B1, F8


class MarkInputs(NamedTuple):
    """Inputs of the mark price, (K,) each, ticks."""

    mid: F8  # NaN if a side of the book is empty
    last: F8
    oracle: F8
    basis: F8  # average of mid / oracle - 1
    is_book_empty: B1  # both sides of the book are empty


@kernel
def compute_median_mark(mid: F8, last: F8, oracle: F8, basis: F8, is_empty: B1, clamp: float) -> F8:
    """Return the median of mid, last and fair price, clamped around the oracle and rounded, (K,).

    Without a mid it is the mean of last and fair price. If the book is empty it is the fair price.
    """
    mark = np.empty(mid.size)
    for k in range(mid.size):
        mark[k] = compute_one_median_mark(mid[k], last[k], oracle[k], basis[k], is_empty[k], clamp)
    return mark


@kernel
def compute_one_median_mark(
    mid: float, last: float, oracle: float, basis: float, is_empty: bool, clamp: float
) -> float:
    """Return the mark of one instrument: see :func:`compute_median_mark`."""
    fair = oracle * (1 + basis)
    middle = np.maximum(np.minimum(mid, last), np.minimum(np.maximum(mid, last), fair))
    if is_empty:
        middle = fair
    elif np.isnan(mid):
        middle = (last + fair) / 2
    return np.rint(np.minimum(np.maximum(middle, oracle * (1 - clamp)), oracle * (1 + clamp)))


class MedianMark(Component):
    """Median of book mid, last trade and oracle x (1 + basis), in whole ticks.

    The mark is clamped around the oracle. A book with one side has no mid. Without any quotes the
    last trade is stale, too, and the mark is oracle x (1 + basis).
    """

    kind: Literal["median"] = "median"
    half_life: float = Field(
        default=150.0, gt=0, description="half-life of the average basis of mid over oracle (s)"
    )
    clamp: float = Field(
        default=0.05, gt=0, le=1, description="largest distance of the mark from the oracle (share)"
    )

    def compute_mark(self, quotes: MarkInputs) -> F8:
        """Return the mark in whole ticks, rounded half to even."""
        return compute_median_mark(*quotes, self.clamp)

    def update_basis(self, basis: F8, mid: F8, oracle: F8, dt: float) -> F8:
        """Return the average basis after one more step; an empty side leaves it unchanged."""
        weight = 1 - 0.5 ** (dt / self.half_life)
        return np.where(np.isnan(mid), basis, basis + weight * (mid / oracle - 1 - basis))


class BookMark(Component):
    """Mid of the book, or the last trade if a side is empty (MARK-1).

    It uses no oracle and no clamp.
    """

    kind: Literal["book"] = "book"

    def compute_mark(self, quotes: MarkInputs) -> F8:
        """Return the mark in whole ticks, rounded half to even."""
        return np.rint(np.where(np.isnan(quotes.mid), quotes.last, quotes.mid))

    def update_basis(self, basis: F8, mid: F8, oracle: F8, dt: float) -> F8:
        """Return the basis unchanged: this mark needs no average."""
        return basis
