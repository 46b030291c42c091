"""Rounding of margins to whole minor units (LED-2)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8

ROUNDING_TOLERANCE = 1e-12
"""Relative noise of a sum of floats: an amount this near to a whole number is that number."""


@kernel
def round_up_amount(amount: float) -> float:
    """Return an amount rounded up to whole minor units; float noise above them is ignored."""
    nearest = np.rint(amount)
    is_whole = abs(amount - nearest) <= ROUNDING_TOLERANCE * abs(amount)
    return nearest if is_whole else np.ceil(amount)


@kernel
def round_up_sum(haircut: F8, margin: F8) -> F8:
    """Return the sums rounded up to whole minor units, (A,).

    Float noise above a whole number is ignored.
    """
    units = np.empty(len(margin))
    for a in range(len(margin)):
        units[a] = round_up_amount(haircut[a] + margin[a])
    return units
