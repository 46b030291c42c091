"""Kernels that find what may leave wallets and margin accounts (phase 4, AGT-7, ISO-1)."""

from sim.compiled.arrays import N_PAYMENTS
from sim.compiled.kernels.equity import find_free_wallet_cash, value_account
from sim.compiled.kernels.payments import OWNER, is_withdrawal, leaves_pool
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING


@kernel
def gather_withdrawals(
    tick: int,
    payments: I8,
    counters: I8,
    is_retired: B1,
    venue: int,
    pools: I8,
    is_joint: int,
    first: int,
    row_of_owner: I8,
    senders: I8,
    n_senders: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    live_position: I8,
    live_entry: I8,
    live_leverage: F8,
    balance: I8,
    live_balance: I8,
    pool: int,
    resting: I8,
    live_resting: I8,
) -> int:
    """Copy the accounts of owners who withdraw, for their margin as in admission.

    Args:
        tick: present tick.
        payments, counters, is_retired: see ``payments.post_deposits``.
        venue: number of the venue.
        pools: (K,) pool of each instrument.
        is_joint: 1 if the accounts are the wallets.
        first: the pool's first instrument.
        row_of_owner, senders, n_senders, position, entry, leverage: hypothetical accounts, see
            ``sim.compiled.kernels.admission.gather_orders``.
        live_position, live_entry, live_leverage: accounts of the pool.
        balance, live_balance: (C, 1, N) of hypothetical accounts, and (C, P, N) of all pools.
        pool: number of the pool.
        resting, live_resting: (3, ., N) lots and reserves of resting orders; live ones of all
            instruments.
    """
    count = 0
    for payment in range(counters[N_PAYMENTS]):
        owner = payments[payment, OWNER]
        if is_retired[owner] or not leaves_pool(payments[payment], venue, pool, pools, is_joint):
            continue
        if row_of_owner[owner] != MISSING:
            continue
        row, count = count, count + 1
        row_of_owner[owner], senders[row] = row, owner
        for asset in range(len(balance)):
            balance[asset, 0, row] = live_balance[asset, pool, owner]
        for k in range(len(position)):
            position[k, row], entry[k, row] = live_position[k, owner], live_entry[k, owner]
            leverage[k, row] = live_leverage[k, owner]
            for plane in range(3):
                resting[plane, k, row] = live_resting[plane, first + k, owner]
    for row in range(count):
        row_of_owner[senders[row]] = MISSING
    n_senders[0] = count
    return 0


@kernel
def find_withdrawable(
    tick: int,
    senders: I8,
    n_senders: I8,
    required: F8,
    reserved: I8,
    position: I8,
    entry: I8,
    paid_up: I8,
    balance: I8,
    pool: int,
    price: F8,
    lot_value: F8,
    quote_price: F8,
    free: F8,
) -> int:
    """Find the cash beyond initial margin and reserves of owners who withdraw.

    See ``sim.step.cash_flows._withdrawable_cash``.

    Args:
        tick: present tick.
        senders, n_senders, required: owners and their initial margin.
        reserved: (K, N) reserves of their orders, minor units of the settle asset.
        position, entry: (K, N) lots of their accounts, and the value paid for them.
        paid_up: (K,) 1 for derivatives that settle in the numeraire.
        balance: (C, P, N) minor units.
        pool: number of the pool.
        price: (C,) minor units of the numeraire per minor unit.
        lot_value, quote_price: (K,) minor units of the numeraire.
        free: (N,) out.
    """
    for row in range(n_senders[0]):
        owner, total = senders[row], 0.0
        cash = balance[0, pool, owner]
        for k in range(quote_price.size):
            total += reserved[k, row] * quote_price[k]
            cash += entry[k, row] * paid_up[k]
        equity = value_account(row, owner, balance, pool, price, position, lot_value) - total
        free[owner] = min(equity - required[row], float(cash))
    return 0


@kernel
def find_withdrawable_from_wallets(
    tick: int,
    payments: I8,
    counters: I8,
    venue: int,
    balance: I8,
    wallet_pool: int,
    price: F8,
    free: F8,
) -> int:
    """Find what separate wallets can pay to owners who withdraw."""
    for row in range(counters[N_PAYMENTS]):
        if is_withdrawal(payments[row], venue):
            owner = payments[row, OWNER]
            free[owner] = find_free_wallet_cash(owner, balance, wallet_pool, price)
    return 0
