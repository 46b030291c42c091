"""Sorting of whole numbers in time proportional to their count."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8

BYTE, WORD = 8, 64
"""Bits of the digits by which keys are sorted, and of a key."""

FEW = 128
"""Number of keys below which comparing them is faster."""


@kernel
def _sort_few(keys: I8) -> I8:
    """Sort few keys in place, by insertion at ever smaller distances (Shell sort)."""
    for distance in (57, 23, 10, 4, 1):
        for end in range(distance, keys.size):
            key, place = keys[end], end
            while place >= distance and keys[place - distance] > key:
                keys[place] = keys[place - distance]
                place -= distance
            keys[place] = key
    return keys


@kernel
def sort_stably(values: F8) -> I8:
    """Return the places of values in ascending order, equal ones in their own order.

    It is ``numpy.argsort(values, kind="stable")`` for values without NaN, by merges of runs that
    double in length.
    """
    count, length = values.size, 1
    order, spare = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for place in range(count):
        order[place] = place
    while length < count:
        for start in range(0, count, 2 * length):
            middle, end = min(start + length, count), min(start + 2 * length, count)
            left, right = start, middle
            for place in range(start, end):
                takes_right = right < end and (
                    left == middle or values[order[right]] < values[order[left]]
                )
                spare[place] = order[right] if takes_right else order[left]
                right, left = right + takes_right, left + (not takes_right)
        order, spare, length = spare, order, 2 * length
    return order


@kernel
def sort_keys(keys: I8, lowest_bit: int) -> I8:
    """Return keys in ascending order, which may be the array itself or another one.

    Args:
        keys: (n,) not negative, given in ascending order of their bits below ``lowest_bit``; they
            are overwritten.
        lowest_bit: first bit that decides the order.
    """
    if keys.size < FEW:
        return _sort_few(keys)
    counts, spare = np.empty(1 << BYTE, dtype=np.int64), np.empty_like(keys)
    for shift in range(lowest_bit, WORD, BYTE):
        counts[:] = 0
        for key in keys:
            counts[(key >> shift) & (counts.size - 1)] += 1
        if counts[(keys[0] >> shift) & (counts.size - 1)] == keys.size:
            continue  # all have the same digit
        place = 0
        for value in range(counts.size):
            counts[value], place = place, place + counts[value]
        for key in keys:
            value = (key >> shift) & (counts.size - 1)
            spare[counts[value]] = key
            counts[value] += 1
        keys, spare = spare, keys
    return keys
