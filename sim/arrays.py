"""Array aliases, empty columns, and the number that stands for a missing value."""

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Ints = int | I8
B1 = NDArray[np.bool_]

MISSING = -1
"""Stands for an owner, slot, close-out or price that does not exist."""

NOT_GIVEN: F8 = np.empty(0)
NO_LOTS_ON_OFFER: I8 = np.empty(0, dtype=np.int64)
NO_LEVERAGE_CHOSEN: I8 = np.empty(0, dtype=np.int64)
NOT_GIVEN.flags.writeable = NO_LOTS_ON_OFFER.flags.writeable = (
    NO_LEVERAGE_CHOSEN.flags.writeable
) = False
"""Empty columns. The comment of each field states what an empty column stands for."""


def broadcast_columns(*values: int | I8) -> list[I8]:
    """Return columns of one length; single numbers are repeated."""
    sizes = [value.size for value in values if isinstance(value, np.ndarray)]
    count = max(sizes, default=1) if all(sizes) else 0
    table = list(np.empty((len(values), count), dtype=np.int64))
    if count:
        for column, value in zip(table, values, strict=True):
            column[:] = value
    return table
