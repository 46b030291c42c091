"""Kernels of a table of tiers: margins of accounts, of legs and of single positions."""

import numpy as np

from sim.margin import leg_values
from sim.numerics.account_sums import BLOCK
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


@kernel
def compute_tiered_margins(
    position: I8, leverage: F8, lot_value: F8, spot: B1, table: F8
) -> tuple[F8, F8]:
    """Return initial and maintenance of each account, (A,)."""
    accounts, instruments = position.shape
    initial, maintenance = np.zeros(accounts), np.zeros(accounts)
    notional, leg_initial, leg_maintenance = (
        np.empty(accounts),
        np.empty(accounts),
        np.empty(accounts),
    )
    for k in range(instruments):
        for a in range(accounts):
            lots = position[a, k]
            notional[a] = (max(-lots, 0) if spot[k] else abs(lots)) * lot_value[k]
        write_charges(notional, leverage[:, k], table[:, k], leg_initial, leg_maintenance)
        for a in range(accounts):
            initial[a] += leg_initial[a]
            maintenance[a] += leg_maintenance[a]
    return initial, maintenance


@kernel
def charge_tiers(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see :class:`sim.margin.compiled.MarginArrays`."""
    accounts = count[0]
    notional, leg_initial, leg_maintenance = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, accounts, BLOCK):
        size = min(BLOCK, accounts - start)
        here, parts = slice(start, start + size), (leg_initial[:size], leg_maintenance[:size])
        initial[here] = 0.0
        maintenance[here] = 0.0
        for k in range(len(position)):
            if not value_lots(position[k, here], lot_value[k], is_spot[k], notional):
                continue
            write_charges(notional[:size], leverage[k, here], table[:, k], *parts)
            for a in range(size):
                initial[start + a] += leg_initial[a]
                maintenance[start + a] += leg_maintenance[a]
    return 0


@kernel
def value_lots(lots: I8, lot_value: float, is_spot: bool, notional: F8) -> bool:
    """Write the notional of positions that require margin, and return whether there is one."""
    all_lots = 0
    for a in range(lots.size):
        margined = max(-lots[a], 0) if is_spot else abs(lots[a])
        all_lots |= margined
        notional[a] = margined * lot_value
    return all_lots != 0


@kernel
def share_tiers(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    table: F8,
    shares: F8,
) -> int:
    """Write each leg's share of maintenance: see :class:`sim.margin.compiled.CompiledLegShares`."""
    accounts = count[0]
    notional, initial = np.empty(accounts), np.empty(accounts)
    for k in range(len(position)):
        for a in range(accounts):
            lots = position[k, a]
            notional[a] = (max(-lots, 0) if is_spot[k] else abs(lots)) * lot_value[k]
        write_charges(notional, leverage[k, :accounts], table[:, k], initial, shares[k, :accounts])
    leg_values.normalise_leg_shares(accounts, position, lot_value, shares)
    return 0


@kernel
def compute_tiered_charges(notional: F8, leverage: F8, table: F8) -> tuple[F8, F8]:
    """Return initial and maintenance of each leg, (A, K)."""
    accounts, instruments = notional.shape
    initial, maintenance = np.empty((instruments, accounts)), np.empty((instruments, accounts))
    for k in range(instruments):
        write_charges(notional[:, k], leverage[:, k], table[:, k], initial[k], maintenance[k])
    return initial.T, maintenance.T


@kernel
def write_charges(notional: F8, leverage: F8, table: F8, initial: F8, maintenance: F8) -> None:
    """Write the margins of one instrument's notionals, (A,), into ``initial`` and ``maintenance``.

    Rates rise from tier to tier. Therefore the tier that applies is the one with the largest margin
    among those whose floor is exceeded, and no search is needed. Every inner loop runs down one
    instrument's column, contiguous in a pool's view.
    """
    has_choice = False
    for a in range(notional.size):
        has_choice |= leverage[a] < np.inf
    initial[:] = 0.0
    if has_choice:  # divisions take long
        for a in range(notional.size):
            # unlike the operator, the ufunc has no check for zero, which prevents vectorisation
            initial[a] = np.divide(notional[a], leverage[a])
    maintenance[:] = 0.0
    for t in range(table.shape[1]):
        initial_rate, initial_deduction = table[0, t], table[1, t]
        maintenance_rate, maintenance_deduction = table[2, t], table[3, t]
        floor = table[4, t]
        for a in range(notional.size):
            held = notional[a] if notional[a] > floor else 0.0
            initial[a] = max(initial[a], held * initial_rate - initial_deduction)
            maintenance[a] = max(maintenance[a], held * maintenance_rate - maintenance_deduction)
    for a in range(notional.size):
        initial[a] = max(initial[a], maintenance[a])
