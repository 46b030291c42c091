"""Whole units out of real shares (LED-2)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8


def round_balanced(amounts: F8) -> I8:
    """Round real amounts that sum to nil into whole units that sum to nil, by largest remainder, ties by row.

    Args:
        amounts: (n,) minor units, summing to nil up to float noise.
    """
    whole = np.floor(amounts)
    units = whole.astype(np.int64)
    lacking = -int(units.sum())
    if lacking:
        order = np.argsort(whole - amounts, kind="stable")
        units[order[:lacking]] += 1
    return units


MAX_EXACT = 2.0**53
"""Largest magnitude that ``whole`` gives; beyond it floats skip whole numbers (LED-2)."""


def to_exact_int(amounts: F8) -> I8:
    """Amounts that are whole numbers already, as integers: held at 2^53 beyond it, zero where they are NaN."""
    return np.nan_to_num(np.clip(amounts, -MAX_EXACT, MAX_EXACT), nan=0.0).astype(np.int64)


@kernel
def round_up(amounts: F8) -> F8:
    """Whole units not below the amounts, of any shape, forgiving float dust of a part in 10^12."""
    whole = np.empty_like(amounts)
    for at in np.ndindex(amounts.shape):
        near = np.rint(amounts[at])
        dust = abs(amounts[at] - near) <= 1e-12 * np.maximum(1.0, abs(near))
        whole[at] = near if dust else np.ceil(amounts[at])
    return whole
