"""Sorting of whole numbers in time proportional to their count."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import I8

BYTE, WORD = 8, 64
"""Bits of the digits by which keys are sorted, and of a key."""

FEW = 128
"""Number of keys below which comparing them is faster."""


@kernel
def sort_keys(keys: I8, lowest_bit: int) -> I8:
    """Return keys in ascending order, which may be the array itself or another one.

    Args:
        keys: (n,) not negative, given in ascending order of their bits below ``lowest_bit``; they
            are overwritten.
        lowest_bit: first bit that decides the order.
    """
    if keys.size < FEW:
        return np.sort(keys)
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
