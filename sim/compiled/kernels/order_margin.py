"""Kernels that find the margin of accounts as if their orders filled (phase 5, MAR-1)."""

import numpy as np

from sim.compiled.kernels.admission import ASKS, BIDS
from sim.margin.fills import compute_entry_value
from sim.margin.rounding import round_up_amount
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING


@kernel
def require_margin(
    tick: int,
    n_senders: I8,
    resting: I8,
    before: I8,
    entry_before: I8,
    leverage_chosen: F8,
    lot_value: F8,
    unit_value: I8,
    quote_price: F8,
    is_spot: B1,
    factor: float,
    count: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    balance_before: I8,
    balance: I8,
    settle: I8,
    initial: F8,
    addresses: I8,
    blocks: I8,
    required: F8,
) -> int:
    """Compute the initial margin of each hypothetical account, the worst of its possible fills.

    Args:
        tick: present tick.
        n_senders: (1,) accounts.
        resting: (3, K, N) their orders.
        before, entry_before, leverage_chosen: (K, N) accounts before fills.
        lot_value: (K,) value of a lot at the mark, minor units of the numeraire.
        unit_value: (K,) the same in whole minor units of the settle asset.
        quote_price: (K,) minor units of the numeraire per minor unit of the settle asset.
        is_spot: (K,).
        factor: factor of the engine's margins, which chosen leverage does not have.
        count, position, entry, leverage, initial: arrays that the engine reads and writes.
        balance_before, balance: (C, 1, N) before and after fills are paid.
        settle: (K,) asset in which each instrument settles.
        addresses, blocks: the engine's bound kernels.
        required: (N,) out, whole minor units of the numeraire.
    """
    number = count[0] = n_senders[0]
    if not number:
        return 0
    spots = find_traded_spots(resting, is_spot, number)
    required[:number] = 0.0
    for fills in range(1 << spots.size):
        fill_accounts(
            fills, spots, resting, before, entry_before, unit_value, number, position, entry
        )
        pay_for_fills(balance_before, before, position, unit_value, settle, number, balance)
        for k in range(len(position)):
            for row in range(number):
                leverage[k, row] = leverage_chosen[k, row] * factor
        for place in range(addresses.size):
            call_bound(addresses[place], tick, blocks[place])
        for row in range(number):
            own = 0.0
            for k in range(len(position)):
                cost = abs(entry[k, row]) * quote_price[k]
                own += (
                    min(cost, margined_lots(position[k, row], is_spot[k]) * lot_value[k])
                    / (leverage_chosen[k, row])
                )
            needed = max(round_up_amount(initial[row]), round_up_amount(own))
            required[row] = max(required[row], needed)
    return 0


@kernel
def margined_lots(lots: int, is_spot: bool) -> int:
    """Return the lots that require margin: all but long spot, which is paid in full (LED-3)."""
    return 0 if is_spot and lots > 0 else abs(lots)


@kernel
def find_traded_spots(resting: I8, is_spot: B1, accounts: int) -> I8:
    """Return the spot instruments in which an account has an order."""
    traded = np.empty(is_spot.size, dtype=np.int64)
    count = 0
    for k in range(is_spot.size):
        has_orders = False
        for row in range(accounts if is_spot[k] else 0):
            has_orders |= resting[BIDS, k, row] != 0 or resting[ASKS, k, row] != 0
        if has_orders:
            traded[count] = k
            count += 1
    return traded[:count]


@kernel
def fill_accounts(
    fills: int,
    spots: I8,
    resting: I8,
    before: I8,
    entry_before: I8,
    unit_value: I8,
    accounts: int,
    position: I8,
    entry: I8,
) -> None:
    """Fill the orders of hypothetical accounts: each bit of ``fills`` is a spot that is sold.

    A derivative is at its larger side.
    """
    for k in range(len(before)):
        side = MISSING
        for place in range(spots.size):
            if spots[place] == k:
                side = fills >> place & 1
        for row in range(accounts):
            held = before[k, row]
            bought, sold = held + resting[BIDS, k, row], held - resting[ASKS, k, row]
            after = bought if abs(bought) >= abs(sold) else sold
            if side != MISSING:
                after = sold if side else bought
            position[k, row] = after
            entry[k, row] = compute_entry_value(held, entry_before[k, row], after, unit_value[k])


@kernel
def pay_for_fills(
    balance_before: I8,
    before: I8,
    position: I8,
    unit_value: I8,
    settle: I8,
    accounts: int,
    balance: I8,
) -> None:
    """Pay for fills from assets other than cash: see ``sim.margin.fills.pay_for_fills``."""
    if len(balance) == 1:
        return
    for row in range(accounts):
        for asset in range(len(balance)):
            balance[asset, 0, row] = balance_before[asset, 0, row]
        for k in range(settle.size):
            if settle[k]:
                lots = position[k, row] - before[k, row]
                balance[settle[k], 0, row] -= unit_value[k] * lots
