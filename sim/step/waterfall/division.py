"""Exact division of whole units, compiled (LED-2).

`sim.waterfall.allocation` states the same rules with numpy.
"""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import I8


@kernel
def scale_with_remainder(value: int, numerator: int, denominator: int) -> tuple[int, int]:
    """Return ``value * numerator // denominator`` and the remainder.

    It is one row of :func:`sim.waterfall.allocation.scale_with_remainders`.
    """
    quotient = int(value * (float(numerator) / float(denominator)))
    remainder = value * numerator - quotient * denominator
    while remainder < 0:
        remainder += denominator
        quotient -= 1
    while remainder >= denominator:
        remainder -= denominator
        quotient += 1
    return quotient, remainder


@kernel
def find_nth_largest(values: I8, count: int) -> int:
    """Return the ``count``-th largest of some values, which are reordered; ``count`` >= 1."""
    low, high, place = 0, len(values) - 1, len(values) - count
    while low < high:
        pivot = values[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    bar: int = values[place]
    return bar


@kernel
def add_remainders(quota: I8, remainder: I8, amount: int) -> None:
    """Add a unit to the largest remainders, ties by row, until the quotas sum to ``amount``."""
    lacking = amount
    for row in range(quota.size):
        lacking -= quota[row]
    if lacking <= 0:
        return
    bar = find_nth_largest(remainder.copy(), lacking)
    for row in range(quota.size):
        if remainder[row] > bar:
            quota[row] += 1
            lacking -= 1
    for row in range(quota.size):
        if lacking > 0 and remainder[row] == bar:
            quota[row] += 1
            lacking -= 1


@kernel
def divide_largest_remainder(amount: int, weights: I8) -> I8:
    """Divide an amount by Hamilton's method; weights may be all zero only if it is zero."""
    quota, remainder = np.zeros(weights.size, np.int64), np.zeros(weights.size, np.int64)
    total = 0
    for row in range(weights.size):
        total += weights[row]
    if amount > 0:
        for row in range(weights.size):
            quota[row], remainder[row] = scale_with_remainder(weights[row], amount, total)
        add_remainders(quota, remainder, amount)
    return quota


@kernel
def divide_capped(amount: int, weights: I8, caps: I8) -> I8:
    """Divide an amount as :func:`sim.waterfall.allocation.allocate_capped` does.

    Weights become zero where the cap applies.
    """
    shares = np.zeros(weights.size, np.int64)
    quota, remainder = np.zeros(weights.size, np.int64), np.zeros(weights.size, np.int64)
    total, is_capped = 0, True
    for row in range(weights.size):
        total += weights[row]
    while amount > 0 and total > 0 and is_capped:
        for row in range(weights.size):
            quota[row], remainder[row] = scale_with_remainder(weights[row], amount, total)
        is_capped = False
        for row in range(weights.size):
            if quota[row] > caps[row] or (quota[row] == caps[row] and remainder[row] > 0):
                shares[row] = caps[row]
                amount -= caps[row]
                total -= weights[row]
                weights[row] = 0
                is_capped = True
    if not is_capped:
        add_remainders(quota, remainder, amount)
        for row in range(weights.size):
            shares[row] += quota[row]
    return shares
