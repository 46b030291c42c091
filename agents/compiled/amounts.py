"""Lots and limits of one order in compiled code, the same as in the plain step."""

import numpy as np

from sim.numerics.jit import kernel
from sim.numerics.rounding import MAX_EXACT
from sim.types import F8, I8


@kernel
def count_lots(value: float, lot: float) -> int:
    """Return the whole lots that a value buys; see ``agents.base.count_whole_lots``."""
    if not (np.isfinite(value) and value > 0 and lot > 0):
        return 0
    return int(min(value / lot, MAX_EXACT))


@kernel
def limit_price(price: float, slip: float, highest: int) -> int:
    """Return a limit at a distance from a price; see ``agents.base.compute_limit_prices``."""
    ticks = np.rint(price * (1 + slip))
    return int(np.minimum(np.maximum(ticks, 1.0), float(highest)))


@kernel
def sum_exposure(position: I8, owner: int, instruments: I8, lot_value: F8) -> float:
    """Return the absolute value of an owner's positions in some instruments, added in order.

    Args:
        position: (K, N) lots.
        owner: column of it.
        instruments: (m,) rows of it.
        lot_value: (K,) minor units of the numeraire.
    """
    total = 0.0
    for k in instruments:
        total += abs(position[k, owner] * lot_value[k])
    return total


@kernel
def sum_exposures(held: I8, lot_value: F8) -> F8:
    """Return the absolute value of positions (n, m), added in order of the instruments, (n,)."""
    total = np.zeros(len(held))
    for i in range(len(held)):
        for m in range(lot_value.size):
            total[i] += abs(held[i, m] * lot_value[m])
    return total
