"""Exact division of whole units (LED-2)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import I8


@kernel
def scale_with_remainders(values: I8, numerator: int, denominator: int) -> tuple[I8, I8]:
    """Return ``values * numerator`` divided by ``denominator``, rounded down, and the remainders.

    The products may exceed 64 bits, and the result is exact. A float gives the quotient within a
    few units. The remainder is then small enough to be right in arithmetic modulo 2**64, and
    corrects the quotient.

    Args:
        values: (n,) whole numbers below 2**53, >= 0.
        numerator: below 2**53, >= 0; every quotient must be below 2**53.
        denominator: below 2**60, > 0.

    Returns:
        Quotients and remainders, (n,) each; 0 <= remainder < denominator.
    """
    quotients, remainders = np.empty_like(values), np.empty_like(values)
    ratio = float(numerator) / float(denominator)
    for i in range(len(values)):
        quotient = np.int64(values[i] * ratio)
        remainder = values[i] * numerator - quotient * denominator
        while remainder < 0:
            remainder += denominator
            quotient -= 1
        while remainder >= denominator:
            remainder -= denominator
            quotient += 1
        quotients[i], remainders[i] = quotient, remainder
    return quotients, remainders


def allocate_largest_remainder(amount: int, weights: I8, tie: I8 | None = None) -> I8:
    """Divide ``amount`` in proportion to ``weights`` by Hamilton's method (LED-2), exactly.

    Each row gets the exact quota rounded down. The remaining units go one each to the largest
    remainders.

    Args:
        amount: whole number to divide, 0 <= amount < 2**53.
        weights: (n,) whole numbers, >= 0, each below 2**53, the sum below 2**60.
        tie: (n,) order among equal remainders, lowest first, such as account ids; default: the
            order of rows.

    Returns:
        (n,) whole numbers that sum to ``amount``, each within one unit of its quota, zero for a
        zero weight.

    Raises:
        ValueError: ``amount`` is positive and all weights are zero.
    """
    total = int(weights.sum())
    if amount == 0:
        return np.zeros(len(weights), dtype=np.int64)
    if total <= 0:
        raise ValueError(
            f"{amount} units cannot be divided over {len(weights)} weights that are all zero"
        )
    return _distribute_remainders(*scale_with_remainders(weights, amount, total), amount, tie)


def allocate_capped(amount: int, weights: I8, caps: I8) -> I8:
    """Divide ``amount`` in proportion to ``weights``, no share above its cap.

    A row whose quota exceeds the cap gets the cap, and the rest is divided again over the other
    rows. Ties are ordered by row.

    Returns:
        (n,) whole numbers that sum to ``amount``, or to the caps of all rows with a weight if these
        are less.
    """
    shares = np.zeros(len(weights), dtype=np.int64)
    left = weights.copy()
    while amount > 0 and left.any():
        quota, remainder = scale_with_remainders(left, amount, int(left.sum()))
        capped = np.flatnonzero((quota > caps) | ((quota == caps) & (remainder > 0)))
        if not len(capped):
            return shares + _distribute_remainders(quota, remainder, amount)
        shares[capped] = caps[capped]
        amount -= int(caps[capped].sum())
        left[capped] = 0
    return shares


def _distribute_remainders(quota: I8, remainder: I8, amount: int, tie: I8 | None = None) -> I8:
    """Add a unit to the largest remainders until the quotas sum to ``amount``; in place."""
    left = amount - int(quota.sum())
    if left:
        quota[_find_largest(remainder, left, tie)] += 1
    return quota


def _find_largest(values: I8, count: int, tie: I8 | None) -> I8:
    """Return rows of the ``count`` largest values, ties to the lowest ``tie``; in linear time."""
    bar = np.partition(values, len(values) - count)[len(values) - count]
    above, level = np.flatnonzero(values > bar), np.flatnonzero(values == bar)
    if tie is not None:
        level = level[np.argsort(tie[level], kind="stable")]
    return np.concatenate([above, level[: count - len(above)]])
