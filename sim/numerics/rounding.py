"""Conversion of real amounts to whole units (LED-2)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8


def round_balanced(amounts: F8) -> I8:
    """Round real amounts that sum to zero into whole units that sum to zero.

    Units go to the largest remainders, ties by row.

    Args:
        amounts: (n,) minor units, summing to zero up to float rounding errors.
    """
    whole = np.floor(amounts)
    units = whole.astype(np.int64)
    lacking = -int(units.sum())
    if lacking:
        order = np.argsort(whole - amounts, kind="stable")
        units[order[:lacking]] += 1
    return units


MAX_EXACT = 2.0**53
"""Largest magnitude that ``to_exact_int`` returns; beyond it floats skip whole numbers (LED-2)."""


def to_exact_int(amounts: F8) -> I8:
    """Return amounts that are whole numbers as integers.

    They are limited to 2^53 in magnitude, and zero where they are NaN.
    """
    return np.nan_to_num(np.clip(amounts, -MAX_EXACT, MAX_EXACT), nan=0.0).astype(np.int64)


@kernel
def round_up(amounts: F8) -> F8:
    """Return the least whole units not below the amounts, of any shape.

    Float rounding errors of a part in 10^12 are ignored.
    """
    whole = np.empty_like(amounts)
    for at in np.ndindex(amounts.shape):
        whole[at] = round_up_one(float(amounts[at]))
    return whole


@kernel
def round_up_one(amount: float) -> float:
    """Return the least whole unit not below one amount, as :func:`round_up` does."""
    nearest = np.rint(amount)
    is_whole = abs(amount - nearest) <= 1e-12 * np.maximum(1.0, abs(nearest))
    return nearest if is_whole else np.ceil(amount)


@kernel
def to_exact_one(amount: float) -> int:
    """Return one amount that is a whole number, as :func:`to_exact_int` does."""
    return 0 if np.isnan(amount) else int(min(max(amount, -MAX_EXACT), MAX_EXACT))
