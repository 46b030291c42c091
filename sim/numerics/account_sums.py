"""Kernels that sum over accounts for an exposure (:class:`sim.types.Exposure`)."""

import numpy as np
from numpy.typing import NDArray

from sim.numerics.jit import kernel

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
B1 = NDArray[np.bool_]

PAIRWISE_BLOCK = 128
"""Most values that ``numpy.sum`` adds without halving them."""


BLOCK = 512
"""Accounts that a kernel goes through at once, so that they stay in the processor's cache."""


@kernel
def add_values(units: I8, price: float, total: F8) -> None:
    """Add units at a price to totals, (A,).

    The arrays are parts of columns. A loop down a column compiles to vector instructions if its
    index is that of the loop, without an offset.
    """
    for a in range(total.size):
        total[a] += units[a] * price


@kernel
def find_worse_side(position: I8, bids: I8, asks: I8) -> I8:
    """Return each position after all buys or after all sells, whichever is larger, (A, K)."""
    accounts, instruments = position.shape
    worse = np.empty((instruments, accounts), dtype=np.int64)
    for k in range(instruments):
        for a in range(accounts):
            worse[k, a] = pick_worse_side(position[a, k], bids[a, k], asks[a, k])
    return worse.T


@kernel
def pick_worse_side(position: int, bids: int, asks: int) -> int:
    """Return a position after all buys or after all sells, whichever is larger."""
    buys, sells = position + bids, position - asks
    return buys if abs(buys) >= abs(sells) else sells


@kernel
def list_fills(position: I8, bids: I8, asks: I8, spot: B1) -> tuple[I8, I8]:
    """Return each account's positions after its orders have filled, in all ways that matter.

    Spot is at either side of its orders, in every combination; the rest is at its larger side.

    Returns:
        Account of each row, (T,) rising, and the positions, (T, K).
    """
    accounts, instruments = position.shape
    first = np.zeros(accounts + 1, dtype=np.int64)
    for a in range(accounts):
        ways = 1
        for k in range(instruments):
            ways *= 2 if spot[k] and (bids[a, k] != 0 or asks[a, k] != 0) else 1
        first[a + 1] = first[a] + ways
    rows = np.empty(first[accounts], dtype=np.int64)
    filled = np.empty((instruments, rows.size), dtype=np.int64)
    for a in range(accounts):
        for row in range(first[a], first[a + 1]):
            rows[row], sides = a, row - first[a]
            for k in range(instruments):
                held, buys, sells = position[a, k], bids[a, k], asks[a, k]
                filled[k, row] = pick_worse_side(held, buys, sells)
                if spot[k] and (buys != 0 or sells != 0):
                    filled[k, row] = held - sells if sides & 1 else held + buys
                    sides >>= 1
    return rows, filled.T


@kernel
def find_largest(values: F8, rows: I8, accounts: int) -> F8:
    """Return the largest value of each account, (A,).

    Args:
        values: (T,) values.
        rows: (T,) account of each value; every account has one.
        accounts: A.
    """
    largest = np.full(accounts, -np.inf)
    for row in range(rows.size):
        largest[rows[row]] = max(largest[rows[row]], values[row])
    return largest


@kernel
def sum_equity(balance: I8, position: I8, price: F8, mark: F8, multiplier: I8, settle: I8) -> F8:
    """Return balances at asset prices plus positions at their marks, (A,).

    They are added in the order of columns.
    """
    accounts, assets = balance.shape
    equity = np.zeros(accounts)
    for asset in range(assets):
        for a in range(accounts):
            equity[a] += balance[a, asset] * price[asset]
    for k in range(mark.size):
        worth = mark[k] * multiplier[k] * price[settle[k]]
        for a in range(accounts):
            equity[a] += position[a, k] * worth
    return equity


@kernel
def sum_reserved(reserved: I8, price: F8, settle: I8) -> F8:
    """Return the reserves for orders at the prices of the settle assets, added in order, (A,)."""
    accounts, instruments = reserved.shape
    total = np.zeros(accounts)
    for k in range(instruments):
        for a in range(accounts):
            total[a] += reserved[a, k] * price[settle[k]]
    return total


@kernel
def copy_values(source: F8, target: F8) -> None:
    """Copy values to the beginning of another array.

    It compiles faster than an assignment of arrays, which can report arrays that do not fit.
    """
    for place in range(source.size):
        target[place] = source[place]


@kernel
def differ(left: F8, right: F8) -> bool:
    """Return whether two arrays of the same size differ; a NaN differs from all."""
    are_equal = True
    for place in range(left.size):
        are_equal &= left[place] == right[place]
    return not are_equal


@kernel
def sum_pairwise(values: F8) -> float:
    """Return the sum of values in the order of ``numpy.sum``, with the same rounding errors.

    Up to PAIRWISE_BLOCK values are added in eight lanes; more are halved.
    """
    count = values.size
    if count < 8:
        few = -0.0
        for place in range(count):
            few += values[place]
        return few
    if count > PAIRWISE_BLOCK:
        half = count // 2
        half -= half % 8
        return sum_pairwise(values[:half]) + sum_pairwise(values[half:])
    a, b, c, d = values[0], values[1], values[2], values[3]
    e, f, g, h = values[4], values[5], values[6], values[7]
    whole = count - count % 8
    for start in range(8, whole, 8):
        a, b, c, d = (
            a + values[start],
            b + values[start + 1],
            c + values[start + 2],
            d + values[start + 3],
        )
        e, f, g, h = (
            e + values[start + 4],
            f + values[start + 5],
            g + values[start + 6],
            h + values[start + 7],
        )
    total: float = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for place in range(whole, count):
        total += values[place]
    return total


@kernel
def sum_notional(lots: I8, value: F8) -> F8:
    """Return lots (K, N) times the value of a lot (K,), added in the order of instruments, (N,)."""
    total = np.zeros(lots.shape[1])
    for k in range(value.size):
        for owner in range(total.size):
            total[owner] += lots[k, owner] * value[k]
    return total
