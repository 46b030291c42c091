"""Sizes of entries and exit levels of positions of leveraged traders (AGT-1)."""

import numpy as np

from agents.compiled.leveraged import limit_order, size_order
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


@kernel
def order_sizes(
    signal: F8, value: F8, lot: F8, mark: F8, highest: I8, slippage: float
) -> tuple[I8, I8]:
    """Return signed whole lots that values buy (``count_whole_lots``) and limit prices, (r,)."""
    n = value.size
    lots = np.zeros(n, dtype=np.int64)
    limit = np.empty(n, dtype=np.int64)
    for i in range(n):
        side = np.sign(signal[i])
        lots[i] = size_order(value[i], lot[i], side)
        limit[i] = limit_order(mark[i], side * slippage, highest[i])
    return lots, limit


def measure_gains(value: F8, paid: I8, held: I8) -> F8:
    """Return the gain of positions as a share of their entry price, (n,); zero if flat.

    Args:
        value: (n,) value of the positions at the mark.
        paid: (n,) value of the positions at entry.
        held: (n,) lots, whose sign is the side.
    """
    entry = paid.astype(np.float64)
    gain = np.divide(value, entry, out=np.ones_like(entry), where=entry != 0) - 1
    gain *= np.sign(held)
    return gain


def has_hit_exit_level(gain: F8, take_profit: float | None, stop: float | None) -> B1:
    """Return True for each position (n,) whose gain is beyond take-profit or stop.

    Args:
        gain: (n,) gains, share of the entry price.
        take_profit: gain that closes a position; None = never.
        stop: loss that closes a position; None = never.
    """
    beyond: B1 = gain >= (np.inf if take_profit is None else take_profit)
    beyond |= gain <= (-np.inf if stop is None else -stop)
    return beyond


def find_level_exits(
    held: I8, lot: F8, paid: I8, take_profit: float | None, stop: float | None
) -> B1:
    """Return True for members (n,) with a position beyond take-profit or stop.

    Args:
        held: (n, m) lots.
        lot: (m,) value of a lot at the mark.
        paid: (n, m) value of the positions at entry.
        take_profit: gain that closes a position; None = never.
        stop: loss that closes a position; None = never.
    """
    leaves = np.zeros(len(held), dtype=np.bool_)
    for column in range(lot.size):
        value = (held[:, column] * float(lot[column])).astype(np.float64)
        gain = measure_gains(value, paid[:, column], held[:, column])
        leaves |= has_hit_exit_level(gain, take_profit, stop)
    return leaves


def measure_stake_gains(gains: F8, equity: F8) -> F8:
    """Return the gain of positions (n,) as a share of the equity without that gain.

    A loss without such equity is minus infinity.

    Args:
        gains: (n, m) of positions.
        equity: (n,) with them.
    """
    gain: F8 = sum(gains.T, np.zeros(len(gains)))
    stake = equity - gain
    return np.divide(gain, stake, out=np.where(gain < 0, -np.inf, 0.0), where=stake > 0)
