"""Kernels that admit the orders of one pool (phase 5, MAR-1)."""

import numpy as np

from sim.compiled.arrays import N_ORDERS
from sim.compiled.kernels.cash import move_cash
from sim.compiled.kernels.equity import find_free_wallet_cash, value_account
from sim.exchange.admission import MAX_TOTAL_LOTS
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, QUANTITY, RESERVE
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, LEVERAGE_STEP, MISSING, REDUCE_ONLY, VENUE_MAX_LEVERAGE

BIDS, ASKS, RESERVED = range(3)
"""Planes of the resting orders of hypothetical accounts."""


@kernel
def gather_orders(
    tick: int,
    first: int,
    packed: I8,
    counters: I8,
    replaced: I8,
    chosen: I8,
    is_margined: B1,
    row_of_owner: I8,
    senders: I8,
    n_senders: I8,
    opens: B1,
    row_of_order: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    live_resting: I8,
    live_position: I8,
    live_entry: I8,
    live_leverage: F8,
    balance: I8,
    live_balance: I8,
    pool: int,
    resting: I8,
) -> int:
    """Build the accounts of a pool's senders as if their orders rested; none if all are free.

    Args:
        tick: present tick.
        first: the pool's first instrument.
        packed: (n, 8) orders of the step, in order of arrival.
        counters: counts of the step.
        replaced: (n, 2) lots and reserve of the resting order that each replaces.
        chosen: (n,) leverage that each chooses, hundredths.
        is_margined: (N,) owners whom margin rules bind.
        row_of_owner: (N,) MISSING before and after.
        senders: (N,) owner of each account.
        n_senders: (1,) accounts.
        opens: (N,) True for accounts with an order that may open a position.
        row_of_order: (n,) account of each order that needs margin.
        position, entry, leverage: (K, N) hypothetical accounts, before fills.
        live_resting, live_position, live_entry, live_leverage: accounts of the pool.
        balance, live_balance: (C, 1, N) of hypothetical accounts, and (C, P, N) of all pools.
        pool: number of the pool.
        resting: (3, K, N) lots and reserves of the hypothetical accounts' orders.
    """
    count = n_senders[0] = 0
    needs_margin = False
    instruments = len(position)
    for order in range(counters[N_ORDERS]):
        owner, k = packed[order, OWNER], packed[order, INSTRUMENT] - first
        if k < 0 or k >= instruments or packed[order, QUANTITY] == 0 or not is_margined[owner]:
            continue
        may_open = packed[order, KIND] < REDUCE_ONLY
        needs_margin |= may_open
        row = row_of_owner[owner]
        if row == MISSING:
            row, count = count, count + 1
            row_of_owner[owner], senders[row], opens[row] = row, owner, False
            for asset in range(len(balance)):
                balance[asset, 0, row] = live_balance[asset, pool, owner]
            for column in range(instruments):
                position[column, row] = live_position[column, owner]
                entry[column, row] = live_entry[column, owner]
                leverage[column, row] = live_leverage[column, owner]
                for plane in range(3):
                    resting[plane, column, row] = live_resting[plane, first + column, owner]
        opens[row] |= may_open
        row_of_order[order] = row
        if may_open and chosen[order]:
            leverage[k, row] = choose_leverage(chosen[order])
        add_order(
            resting[:, k, row], packed[order, QUANTITY], packed[order, RESERVE], replaced[order]
        )
    for row in range(count):
        row_of_owner[senders[row]] = MISSING
    n_senders[0] = count if needs_margin else 0
    return 0


@kernel
def choose_leverage(hundredths: int) -> float:
    """Return the leverage that an order chooses; inf = the venue's highest (ISO-1)."""
    return hundredths * LEVERAGE_STEP if hundredths < VENUE_MAX_LEVERAGE else np.inf


@kernel
def add_order(resting: I8, lots: int, reserve: int, replaced: I8) -> None:
    """Add an order to the resting orders of one account and instrument, (3,).

    The order that it replaces still counts: see ``sim.exchange.admission.add_resting``.
    """
    former = abs(replaced[0]) if (replaced[0] > 0) == (lots > 0) else 0
    more = min(max(abs(lots) - former, 0), MAX_TOTAL_LOTS)
    side = BIDS if lots > 0 else ASKS
    resting[side] = min(resting[side] + more, MAX_TOTAL_LOTS)
    resting[RESERVED] += max(abs(lots) * reserve - former * replaced[1], more * reserve)


@kernel
def find_shortage(
    row: int,
    owner: int,
    required: F8,
    resting: I8,
    position: I8,
    lot_value: F8,
    quote_price: F8,
    balance: I8,
    pool: int,
    price: F8,
) -> float:
    """Return initial margin less equity of one account, with its orders as if they rested."""
    equity = value_account(row, owner, balance, pool, price, position, lot_value)
    reserved = 0.0
    for k in range(lot_value.size):
        reserved += resting[RESERVED, k, row] * quote_price[k]
    return required[row] - (equity - reserved)


@kernel
def is_oversized(row: int, resting: I8, position: I8, max_lots: I8) -> bool:
    """Return whether a fill could take a position beyond the largest allowed."""
    for k in range(max_lots.size):
        held = position[k, row]
        if held + resting[BIDS, k, row] > max_lots[k] or resting[ASKS, k, row] - held > max_lots[k]:
            return True
    return False


@kernel
def pay_margin(
    owner: int,
    shortage: float,
    balance: I8,
    pool: int,
    wallet_pool: int,
    price: F8,
    moves: I8,
    counters: I8,
    deposit: int,
) -> None:
    """Move the initial margin that an account lacks from its separate wallet (ISO-1)."""
    free = find_free_wallet_cash(owner, balance, wallet_pool, price)
    missing = int(min(max(np.ceil(shortage), 0.0), free))
    if missing > 0:
        move_cash(balance, moves, counters, deposit, owner, owner, wallet_pool, pool, 0, missing)


@kernel
def judge_accounts(
    tick: int,
    n_senders: I8,
    senders: I8,
    required: F8,
    resting: I8,
    position: I8,
    lot_value: F8,
    quote_price: F8,
    balance: I8,
    pool: int,
    price: F8,
    max_lots: I8,
    wallet_pool: int,
    opens: B1,
    moves: I8,
    counters: I8,
    deposit: int,
    is_affordable: B1,
    n_refused: I8,
) -> int:
    """Find the accounts that can afford all their orders, whose separate wallets pay the margin."""
    n_refused[0] = 0
    for row in range(n_senders[0]):
        owner = senders[row]
        shortage = find_shortage(
            row, owner, required, resting, position, lot_value, quote_price, balance, pool, price
        )
        lacking = shortage
        if wallet_pool != pool:
            lacking -= find_free_wallet_cash(owner, balance, wallet_pool, price)
        is_affordable[row] = lacking <= 0 and not is_oversized(row, resting, position, max_lots)
        if not is_affordable[row]:
            n_refused[0] += 1
        elif wallet_pool != pool and opens[row]:
            pay_margin(owner, shortage, balance, pool, wallet_pool, price, moves, counters, deposit)
    return 0


@kernel
def admit_affordable(
    tick: int,
    first: int,
    instruments: int,
    packed: I8,
    counters: I8,
    chosen: I8,
    row_of_order: I8,
    n_senders: I8,
    is_affordable: B1,
    leverage: F8,
    live_leverage: F8,
    passes: B1,
    next_order: I8,
    first_order: I8,
) -> int:
    """Admit the orders of accounts that can afford all, and chain those of the others.

    Args:
        tick: present tick.
        first, instruments: first instrument of the pool, and their number.
        packed: (n, 8) orders of the step.
        counters: counts of the step.
        chosen: (n,) leverage that each chooses, hundredths.
        row_of_order: (n,) account of each order that needs margin.
        n_senders: (1,) accounts.
        is_affordable: (N,) whether an account can afford all its orders.
        leverage: (K, N) leverage of the accounts with all choices.
        live_leverage: (K, N) leverage that owners have chosen, out.
        passes: (n,) out.
        next_order: (n,) out, the next order of the same account.
        first_order: (N,) out, the first order of each account.
    """
    first_order[: n_senders[0]] = MISSING
    for order in range(counters[N_ORDERS] - 1 if n_senders[0] else -1, -1, -1):
        k, row = packed[order, INSTRUMENT] - first, row_of_order[order]
        if k < 0 or k >= instruments or row == MISSING:
            continue
        may_open = packed[order, KIND] < REDUCE_ONLY
        if not is_affordable[row]:
            passes[order] = not may_open
            next_order[order], first_order[row] = first_order[row], order
        elif may_open and chosen[order]:
            live_leverage[k, packed[order, OWNER]] = leverage[k, row]
    return 0


@kernel
def drop_refused(tick: int, packed: I8, counters: I8, stood: I8, passes: B1, reduces: B1) -> int:
    """Keep the orders that pass, those that only reduce as reduce-only."""
    kept = 0
    for order in range(counters[N_ORDERS]):
        if passes[order]:
            if reduces[order]:
                packed[order, KIND] |= REDUCE_ONLY
            if kept < order:
                packed[kept] = packed[order]
                stood[kept] = stood[order]
            kept += 1
    counters[N_ORDERS] = kept
    return 0
