"""Whole units divided exactly (LED-2)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import I8


@kernel
def scale_with_remainders(values: I8, numerator: int, denominator: int) -> tuple[I8, I8]:
    """``values * numerator`` divided by ``denominator``, rounded down, with the remainders; exact.

    The products may exceed 64 bits. A float gives the quotient within a few units; the remainder is then small
    enough to be right in arithmetic modulo 2**64, and corrects the quotient.

    Args:
        values: (n,) whole numbers below 2**53, >= 0.
        numerator: below 2**53, >= 0; every quotient must be below 2**53.
        denominator: below 2**60, > 0.

    Returns:
        quotients and remainders, (n,) each; 0 <= remainder < denominator.
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
    """Divide ``amount`` in proportion to ``weights`` (LED-2): Hamilton's method, in exact arithmetic.

    Everyone gets the exact quota rounded down; the units left over go one each to the largest remainders.

    Args:
        amount: whole number to divide, 0 <= amount < 2**53.
        weights: (n,) whole numbers, >= 0, each below 2**53, the sum below 2**60.
        tie: (n,) who comes first among equal remainders, lowest first; account ids. Default: the order of rows.

    Returns:
        (n,) whole numbers that sum to ``amount``, each within one unit of its quota, nil for a nil weight.

    Raises:
        ValueError: there is something to divide and all weights are nil.
    """
    total = int(weights.sum())
    if amount == 0:
        return np.zeros(len(weights), dtype=np.int64)
    if total <= 0:
        raise ValueError(
            f"{amount} units cannot be divided over {len(weights)} weights that are all nil"
        )
    return _distribute_remainders(*scale_with_remainders(weights, amount, total), amount, tie)


def allocate_capped(amount: int, weights: I8, caps: I8) -> I8:
    """Divide ``amount`` in proportion to ``weights``, nobody getting more than its cap.

    Whoever's quota exceeds the cap gets the cap, and the rest is divided again over the others. Ties by row.

    Returns:
        (n,) whole numbers that sum to ``amount``, or to the caps of all who have a weight if these are less.
    """
    shares = np.zeros(len(weights), dtype=np.int64)
    left = weights.copy()
    while amount > 0 and left.any():
        quota, rest = scale_with_remainders(left, amount, int(left.sum()))
        full = np.flatnonzero((quota > caps) | ((quota == caps) & (rest > 0)))
        if not len(full):
            return shares + _distribute_remainders(quota, rest, amount)
        shares[full] = caps[full]
        amount -= int(caps[full].sum())
        left[full] = 0
    return shares


def _distribute_remainders(quota: I8, remainder: I8, amount: int, tie: I8 | None = None) -> I8:
    """Quotas rounded down, plus a unit for the largest remainders until ``amount`` is spent; in place."""
    left = amount - int(quota.sum())
    if left:
        quota[_find_largest(remainder, left, tie)] += 1
    return quota


def _find_largest(values: I8, count: int, tie: I8 | None) -> I8:
    """Rows of the ``count`` largest values, ties to the lowest ``tie``; linear in their number."""
    bar = np.partition(values, len(values) - count)[len(values) - count]
    above, level = np.flatnonzero(values > bar), np.flatnonzero(values == bar)
    if tie is not None:
        level = level[np.argsort(tie[level], kind="stable")]
    return np.concatenate([above, level[: count - len(above)]])
