"""Mark prices (MARK-1): the price that margin is computed with."""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.types import F8


def median_of_three(a: F8, b: F8, c: F8) -> F8:
    """The middle one, elementwise; where ``a`` is missing (NaN), the mean of the others."""
    middle = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return np.where(np.isnan(a), (b + c) / 2, middle)


class MedianMark(Component):
    """Median of book mid, last trade and oracle x (1 + basis), clamped around the oracle, rounded to a tick."""

    kind: Literal["median"] = "median"
    half_life: float = Field(default=150.0, gt=0, description="half-life of the average basis of mid over oracle (s)")
    clamp: float = Field(default=0.05, gt=0, le=1, description="largest distance of the mark from the oracle (share)")

    def mark(self, mid: F8, last: F8, fair: F8, oracle: F8) -> F8:
        """The mark in whole ticks, half to even.

        Args:
            mid: book mid, NaN where a side is empty (ticks).
            last: last trade (ticks).
            fair: oracle x (1 + basis) (ticks).
            oracle: (ticks).
        """
        middle = median_of_three(mid, last, fair)
        return np.rint(np.clip(middle, oracle * (1 - self.clamp), oracle * (1 + self.clamp)))

    def blend(self, basis: F8, mid: F8, oracle: F8, dt: float) -> F8:
        """The average basis after one more step; an empty side leaves it as it was."""
        weight = 1 - 0.5 ** (dt / self.half_life)
        return np.where(np.isnan(mid), basis, basis + weight * (mid / oracle - 1 - basis))


class BookMark(Component):
    """The book's mid, or the last trade where a side is empty; no oracle, no clamp (MARK-1)."""

    kind: Literal["book"] = "book"

    def mark(self, mid: F8, last: F8, fair: F8, oracle: F8) -> F8:
        """The mark in whole ticks, half to even."""
        return np.rint(np.where(np.isnan(mid), last, mid))

    def blend(self, basis: F8, mid: F8, oracle: F8, dt: float) -> F8:
        """There is no average to keep."""
        return basis
