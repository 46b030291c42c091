"""Postings of the loss waterfall, and the accounts that they change, compiled."""

import numpy as np

from sim.ledger import post_fills
from sim.numerics.jit import kernel
from sim.step.waterfall.margins import assess_accounts, value_wallet
from sim.step.waterfall.scores import compute_profit, is_on_side, score_account
from sim.step.waterfall.tables import (
    ABSORBED,
    ACCOUNT,
    BUILT,
    CAUSE,
    CHANGED,
    CHOICE,
    COUNT,
    DUES,
    EQUITY,
    EVENT_LAYER,
    EVENT_VALUE,
    FIRST,
    FIRST_LOTS,
    FUND_OWNER,
    HAS_SEPARATE_WALLET,
    IS_CHANGED,
    IS_ELIGIBLE,
    IS_MARGINED,
    KEEPS_MAINTENANCE,
    KEEPS_PROFIT,
    LAYER,
    LOT_VALUE,
    LOTS,
    MAINTENANCE,
    MAKER,
    N_BUILT,
    N_CHANGED,
    N_EVENTS,
    N_FILLS,
    POOL,
    PROFIT,
    REFUSED,
    SEEN,
    SHORTFALL,
    TAKER,
    TICKS,
    TRADED,
    WALLET,
    Accounts,
    Pool,
    Queues,
)
from sim.step.waterfall.tree import insert_account, remove_account
from sim.types import I8, MISSING


@kernel
def pay(
    pool: Pool,
    accounts: Accounts,
    payer: int,
    account: int,
    asset: int,
    amount: int,
    from_wallet: bool,
) -> None:
    """Move cash from a payer's account in the pool, or wallet, into an account of the pool."""
    number = pool.state[POOL]
    source = pool.state[WALLET] if from_wallet else number
    accounts.balance[asset, source, payer] -= amount
    accounts.balance[asset, number, account] += amount
    accounts.net[asset, 1 if from_wallet else 0, payer] += amount
    accounts.net[asset, 0, account] -= amount


@kernel
def requeue_account(pool: Pool, accounts: Accounts, queues: Queues, row: int) -> None:
    """Move a changed account to its new place in every queue, or out of it."""
    count, means = pool.state[COUNT], int(np.floor(max(accounts.money[SEEN, row], 0.0)))
    for place in range(pool.state[N_BUILT]):
        number = queues.heads[BUILT, place]
        k, side = (number >> 1) % count, number & 1
        if not np.isnan(queues.score[number, row]):
            remove_account(queues, number, row)
        if means > 0 and is_on_side(pool, accounts, k, side, row):
            choice = pool.layers[CHOICE, (number >> 1) // count]
            points = score_account(pool, accounts, choice, k, row)
            insert_account(queues, number, row, points, means)


@kernel
def requeue_accounts(pool: Pool, accounts: Accounts, queues: Queues, rows: I8) -> None:
    """Move accounts that were changed outside of the kernels to their places in the queues."""
    for row in rows:
        if not pool.state[HAS_SEPARATE_WALLET]:
            accounts.money[SEEN, row] = accounts.money[EQUITY, row]
        if pool.state[KEEPS_PROFIT]:
            accounts.money[PROFIT, row] = compute_profit(pool, accounts, row)
        requeue_account(pool, accounts, queues, row)


@kernel
def update_accounts(pool: Pool, accounts: Accounts, queues: Queues, rows: I8) -> None:
    """Assess changed accounts as far as layers need it, and move them in the queues."""
    state, money, flags, changed = (
        pool.state,
        accounts.money,
        accounts.flags,
        accounts.whole[CHANGED],
    )
    balance, position = accounts.balance[:, state[POOL]], accounts.position
    legs, price, first = pool.legs, pool.price, state[FIRST]
    for row in rows:
        if not flags[IS_CHANGED, row]:
            flags[IS_CHANGED, row] = True
            changed[state[N_CHANGED]] = row
            state[N_CHANGED] += 1
        equity = 0.0
        for asset in range(price.size if flags[IS_MARGINED, row] else 0):
            equity += balance[asset, row] * price[asset]
        for k in range(legs.shape[1] if flags[IS_MARGINED, row] else 0):
            equity += position[first + k, row] * legs[LOT_VALUE, k]
        money[EQUITY, row] = money[SEEN, row] = equity
        if row == state[FUND_OWNER]:
            state[REFUSED] = 0
            if state[HAS_SEPARATE_WALLET]:
                money[SEEN, row] += value_wallet(pool, accounts)
        flags[IS_ELIGIBLE, row] = flags[IS_MARGINED, row] and money[SEEN, row] > 0
        if state[KEEPS_MAINTENANCE] and flags[IS_MARGINED, row]:
            money[MAINTENANCE, row] = assess_accounts(pool, accounts, row, MISSING, 0)[2]
        if state[KEEPS_PROFIT]:
            money[PROFIT, row] = compute_profit(pool, accounts, row)
        if state[N_BUILT]:
            requeue_account(pool, accounts, queues, row)


@kernel
def settle_dues(pool: Pool, accounts: Accounts, account: int, payers: I8) -> int:
    """Post what payers owe for the present account, and return the sum; a payer may occur twice."""
    state, dues, paid = pool.state, accounts.whole[DUES], 0
    balance, net = accounts.balance[0, state[POOL]], accounts.net[0, 0]
    for payer in payers:
        amount = dues[payer]
        dues[payer] = 0
        if amount > 0 and state[HAS_SEPARATE_WALLET] and payer == state[FUND_OWNER]:
            lacking = int(np.ceil(amount - accounts.money[EQUITY, payer]))
            pay(pool, accounts, payer, payer, 0, max(0, lacking), True)
        balance[payer] -= amount
        net[payer] += amount
        paid += amount
    balance[account] += paid
    net[account] -= paid
    return paid


@kernel
def post_trades(pool: Pool, accounts: Accounts, fills: I8, first: int) -> None:
    """Post the last fills of the table, from ``first`` on, to the ledger's arrays."""
    count = pool.state[N_FILLS]
    post_fills(
        accounts.balance,
        accounts.position,
        accounts.entry,
        fills[TAKER, first:count],
        fills[MAKER, first:count],
        fills[TRADED, first:count],
        fills[LOTS, first:count],
        fills[TICKS, first:count],
        pool.listed[0],
        pool.listed[1],
        pool.listed[2],
    )


@kernel
def write_fill(state: I8, fills: I8, account: int, maker: int, k: int, lots: int, price: int) -> I8:
    """Add a trade of the bankrupt account, signed lots; return the table, larger if it was full."""
    count = state[N_FILLS]
    if count == fills.shape[1]:
        grown = np.empty((6, 2 * count), dtype=np.int64)
        for row in range(6):
            for place in range(count):
                grown[row, place] = fills[row, place]
        fills = grown
    fills[TAKER, count], fills[MAKER, count] = account, maker
    fills[TRADED, count], fills[LOTS, count] = state[FIRST] + k, lots
    fills[TICKS, count], fills[CAUSE, count] = price, MISSING
    state[N_FILLS] += 1
    return fills


@kernel
def write_event(
    pool: Pool, events: I8, account: int, shortfall: int, absorbed: int, fills: I8, first: int
) -> I8:
    """Add the effect of the present layer; return the table, larger if it was full.

    Its lots are those of the last fills, from ``first`` on.
    """
    count, legs = pool.state[N_EVENTS], pool.state[COUNT]
    if count == len(events):
        grown = np.empty((2 * count, events.shape[1]), dtype=np.int64)
        for place in range(count):
            for column in range(events.shape[1]):
                grown[place, column] = events[place, column]
        events = grown
    event = events[count]
    event[ACCOUNT], event[EVENT_LAYER] = account, pool.state[LAYER]
    event[SHORTFALL], event[ABSORBED] = shortfall, absorbed
    for column in range(FIRST_LOTS, event.size):
        event[column] = 0
    for place in range(first, pool.state[N_FILLS]):
        k = fills[TRADED, place] - pool.state[FIRST]
        event[FIRST_LOTS + k] += abs(fills[LOTS, place])
    for k in range(legs):
        notional = np.rint(event[FIRST_LOTS + k] * pool.legs[EVENT_VALUE, k])
        event[FIRST_LOTS + legs + k] = np.int64(notional)
    pool.state[N_EVENTS] += 1
    return events
