"""Hypothetical fills at the mark: what they cost, and the entry values that they leave."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import I8, Exposure


def pay_for_fills(accounts: Exposure, filled: Exposure) -> Exposure:
    """Return the filled portfolio after the fills are paid at the mark from assets other than cash.

    The numeraire is unchanged, because no valuation disallows any of it.
    """
    contracts, balance = accounts.market.contracts, accounts.balance
    foreign = np.flatnonzero(contracts.settle)
    if not foreign.size:
        return filled
    balance, price = balance.copy(), (accounts.market.mark * contracts.multiplier).astype(np.int64)
    for column in foreign:
        lots = filled.position[:, column] - accounts.position[:, column]
        balance[:, contracts.settle[column]] -= price[column] * lots
    return filled._replace(balance=balance)


def update_entry_values(accounts: Exposure, filled: Exposure) -> Exposure:
    """Return the filled portfolio with the entry values it has if it fills at the mark."""
    value = (accounts.market.mark * accounts.market.contracts.multiplier).astype(np.int64)
    return filled._replace(
        entry=_compute_entry_values(accounts.position, accounts.entry, filled.position, value)
    )


@kernel
def _compute_entry_values(position: I8, entry: I8, filled: I8, value: I8) -> I8:
    """Return the entry value of positions after fills at the mark, (A, K), by the ledger's rule."""
    accounts, instruments = position.shape
    after = np.empty((instruments, accounts), dtype=np.int64)
    for k in range(instruments):
        for a in range(accounts):
            after[k, a] = compute_entry_value(position[a, k], entry[a, k], filled[a, k], value[k])
    return after.T


@kernel
def compute_entry_value(held: int, entry: int, now: int, value: int) -> int:
    """Return the entry value of a position that changes from ``held`` to ``now`` lots at the mark.

    ``value`` is that of a lot; ``entry`` is the value before, minor units.
    """
    if held == now:
        return entry
    if held == 0 or (held > 0) != (now > 0):
        return now * value
    if abs(now) > abs(held):
        return entry + (now - held) * value
    # unlike the operator, the ufunc has no check for zero, for which numba counts references
    return int(np.rint(entry * np.divide(now, held)))
