"""Kernels of payments that populations request (phase 4, AGT-7, ISO-1): ``sim.step.cash_flows``.

Payments from outside into wallets are posted first, then those from wallets into isolated
accounts, then withdrawals. Each is posted whole or not at all.
"""

from sim.compiled.arrays import N_PAYMENTS
from sim.compiled.kernels.cash import move_cash
from sim.compiled.kernels.equity import find_free_wallet_cash
from sim.numerics.jit import kernel
from sim.step.cash_flows import MAX_BALANCE
from sim.types import B1, F8, I8, MISSING

(OWNER, VENUE, INSTRUMENT, AMOUNT, IS_NEW) = range(5)
"""Columns of payments: see ``sim.cash_flows.CashFlows``; owners are global."""

ALL, OWN = range(2)
"""Rows of an owner's sums of earlier payments: all of them, and those from its own wealth."""

(DEPOSITS, WITHDRAWALS, CALLS, CALLS_MET, CALLS_MISSED, ADDED, REMOVED) = range(7)
"""Places of a venue's flows of the step: minor units in and out, counts of margin calls, and minor
units moved into isolated accounts and back."""


@kernel
def send_payment(
    payments: I8,
    counters: I8,
    owner: int,
    venue: int,
    instrument: int,
    amount: int,
    is_new: int,
) -> None:
    """Append one payment to those of the step, unless the amount is zero."""
    if amount == 0:
        return
    row = counters[N_PAYMENTS]
    payments[row, OWNER], payments[row, VENUE] = owner, venue
    payments[row, INSTRUMENT], payments[row, IS_NEW] = instrument, is_new
    payments[row, AMOUNT] = min(max(amount, -MAX_BALANCE), MAX_BALANCE)
    counters[N_PAYMENTS] = row + 1


@kernel
def post_deposits(
    tick: int,
    payments: I8,
    counters: I8,
    passes: B1,
    before: I8,
    is_retired: B1,
    venue: int,
    external: int,
    wallet_pool: int,
    balance: I8,
    outside_wealth: I8,
    has_been_called: B1,
    fund: int,
    multiple: float,
    moves: I8,
    event: int,
    paid: I8,
    net_paid_in: I8,
) -> int:
    """Post payments from outside into a venue's wallets.

    Args:
        tick: present tick.
        payments: (n, 5) payments of the step.
        counters: counts of the step.
        passes: (n,) scratch.
        before: (2, N) scratch, zero before and after.
        is_retired: (N,) owners who left the market.
        venue: number of the venue.
        external: owner that stands for the rest of the world.
        wallet_pool: pool of the venue's wallets.
        balance: (C, P, N) minor units.
        outside_wealth, has_been_called: (N,) what margin calls leave of the wealth outside.
        fund: owner of the insurance fund, whose deposits come from other sources.
        multiple: outside wealth of a new member, times its capital; negative = no margin calls.
        moves: cash moves of the step.
        event: kind of their event.
        paid: (7,) flows of the venue in this step.
        net_paid_in: (N,) payments from outside less those back, since the start, minor units.
    """
    number = counters[N_PAYMENTS]
    for row in range(number):
        owner, amount = payments[row, OWNER], payments[row, AMOUNT]
        passes[row] = False
        if not is_deposit(payments[row], venue) or is_retired[owner]:
            continue
        own = amount if payments[row, IS_NEW] == 0 and owner != fund else 0
        before[ALL, owner] += amount
        before[OWN, owner] += own
        passes[row] = amount < MAX_BALANCE
        passes[row] &= before[ALL, owner] <= MAX_BALANCE - abs(balance[0, wallet_pool, owner])
        if multiple >= 0 and own and has_been_called[owner]:
            passes[row] &= before[OWN, owner] <= outside_wealth[owner]
    for row in range(number):
        owner, amount = payments[row, OWNER], payments[row, AMOUNT]
        before[ALL, owner] = before[OWN, owner] = 0
        if passes[row] and multiple >= 0 and payments[row, IS_NEW] == 0 and owner != fund:
            outside_wealth[owner] = max(outside_wealth[owner] - amount, 0)
    for row in range(number):
        if passes[row]:
            owner, amount = payments[row, OWNER], payments[row, AMOUNT]
            if multiple >= 0 and payments[row, IS_NEW]:
                outside_wealth[owner], has_been_called[owner] = int(multiple * amount), False
            paid[DEPOSITS] += amount
            net_paid_in[owner] += amount
            move_cash(
                balance,
                moves,
                counters,
                event,
                external,
                owner,
                wallet_pool,
                wallet_pool,
                0,
                amount,
            )
    return 0


@kernel
def is_deposit(payment: I8, venue: int) -> bool:
    """Return True for a payment from outside into a wallet at a venue."""
    is_external: bool = payment[INSTRUMENT] == MISSING and payment[VENUE] == venue
    return is_external and payment[AMOUNT] > 0


@kernel
def is_withdrawal(payment: I8, venue: int) -> bool:
    """Return True for a payment from a wallet at a venue to outside."""
    is_external: bool = payment[INSTRUMENT] == MISSING and payment[VENUE] == venue
    return is_external and payment[AMOUNT] < 0


@kernel
def leaves_pool(payment: I8, venue: int, pool: int, pools: I8, is_joint: int) -> bool:
    """Return True for a payment out of the accounts of a pool.

    Where wallet and account are joint it goes outside, otherwise to the wallet.
    """
    if is_joint:
        return is_withdrawal(payment, venue)
    k = payment[INSTRUMENT]
    is_here: bool = k != MISSING and payment[VENUE] == venue and pools[k] == pool
    return is_here and payment[AMOUNT] < 0


@kernel
def post_commitments(
    tick: int,
    payments: I8,
    counters: I8,
    passes: B1,
    before: I8,
    is_retired: B1,
    venue: int,
    wallet_pool: int,
    balance: I8,
    pool: int,
    pools: I8,
    price: F8,
    equity: F8,
    moves: I8,
    event: int,
    paid: I8,
) -> int:
    """Move cash from wallets into the accounts of a pool, at most what wallets hold.

    The last assessed equity is updated by it, to keep the moved cash in sight.

    Args:
        tick: present tick.
        payments, counters, passes, before, is_retired: see :func:`post_deposits`.
        venue: number of the venue.
        wallet_pool: pool of the venue's wallets.
        balance: (C, P, N) minor units.
        pool: number of the pool.
        pools: (K,) pool of each instrument.
        price: (C,) minor units of the numeraire per minor unit.
        equity: (N,) last assessed equity of the pool's accounts.
        moves, event, paid: see :func:`post_deposits`.
    """
    for row in range(counters[N_PAYMENTS]):
        owner, k, amount = payments[row, OWNER], payments[row, INSTRUMENT], payments[row, AMOUNT]
        passes[row] = k != MISSING and payments[row, VENUE] == venue and pools[k] == pool
        passes[row] &= amount > 0 and not is_retired[owner]
        if passes[row]:
            before[ALL, owner] += amount
            free = find_free_wallet_cash(owner, balance, wallet_pool, price)
            passes[row] = amount < MAX_BALANCE and before[ALL, owner] <= free
    for row in range(counters[N_PAYMENTS]):
        owner, amount = payments[row, OWNER], payments[row, AMOUNT]
        before[ALL, owner] = 0
        if passes[row]:
            move_cash(balance, moves, counters, event, owner, owner, wallet_pool, pool, 0, amount)
            equity[owner] += amount
            paid[ADDED] += amount
    return 0


@kernel
def post_releases(
    tick: int,
    payments: I8,
    counters: I8,
    passes: B1,
    before: I8,
    is_retired: B1,
    venue: int,
    wallet_pool: int,
    balance: I8,
    pool: int,
    pools: I8,
    free: F8,
    equity: F8,
    moves: I8,
    event: int,
    paid: I8,
) -> int:
    """Move cash from the accounts of a pool back into wallets, at most what is free in them.

    Args:
        tick: present tick.
        payments, counters, passes, before, is_retired: see :func:`post_deposits`.
        venue, wallet_pool, balance, pool, pools, equity: see :func:`post_commitments`.
        free: (N,) of owners who take margin back.
        moves, event, paid: see :func:`post_deposits`.
    """
    for row in range(counters[N_PAYMENTS]):
        owner, amount = payments[row, OWNER], -payments[row, AMOUNT]
        passes[row] = leaves_pool(payments[row], venue, pool, pools, 0) and not is_retired[owner]
        if passes[row]:
            before[ALL, owner] += amount
            passes[row] = amount < MAX_BALANCE and before[ALL, owner] <= free[owner]
    for row in range(counters[N_PAYMENTS]):
        owner, amount = payments[row, OWNER], payments[row, AMOUNT]
        before[ALL, owner] = 0
        if passes[row]:
            move_cash(balance, moves, counters, event, owner, owner, wallet_pool, pool, 0, amount)
            equity[owner] += amount
            paid[REMOVED] -= amount
    return 0


@kernel
def post_withdrawals(
    tick: int,
    payments: I8,
    counters: I8,
    passes: B1,
    before: I8,
    is_retired: B1,
    venue: int,
    external: int,
    wallet_pool: int,
    balance: I8,
    free: F8,
    moves: I8,
    event: int,
    paid: I8,
    net_paid_in: I8,
) -> int:
    """Move cash from a venue's wallets back outside, at most what is free in them.

    Args:
        tick: present tick.
        payments, counters, passes, before, is_retired: see :func:`post_deposits`.
        venue: number of the venue.
        external: owner that stands for the rest of the world.
        wallet_pool: pool of the venue's wallets.
        balance: (C, P, N) minor units.
        free: (N,) of owners who withdraw.
        moves, event, paid, net_paid_in: see :func:`post_deposits`.
    """
    for row in range(counters[N_PAYMENTS]):
        owner, amount = payments[row, OWNER], -payments[row, AMOUNT]
        passes[row] = is_withdrawal(payments[row], venue) and not is_retired[owner]
        if passes[row]:
            before[ALL, owner] += amount
            passes[row] = amount < MAX_BALANCE and before[ALL, owner] <= free[owner]
    for row in range(counters[N_PAYMENTS]):
        owner, amount = payments[row, OWNER], payments[row, AMOUNT]
        before[ALL, owner] = 0
        if passes[row]:
            paid[WITHDRAWALS] -= amount
            net_paid_in[owner] += amount
            move_cash(
                balance,
                moves,
                counters,
                event,
                external,
                owner,
                wallet_pool,
                wallet_pool,
                0,
                amount,
            )
    return 0
