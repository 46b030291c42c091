"""Kernels that admit one order after another of accounts that cannot afford all (MAR-1)."""

import numpy as np

from sim.compiled.kernels.admission import (
    ASKS,
    BIDS,
    add_order,
    choose_leverage,
    find_shortage,
    is_oversized,
    pay_margin,
)
from sim.compiled.kernels.equity import find_free_wallet_cash
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, QUANTITY, RESERVE
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING, REDUCE_ONLY


@kernel
def retry_refused(
    tick: int,
    margin: I8,
    first: int,
    packed: I8,
    counters: I8,
    replaced: I8,
    chosen: I8,
    senders: I8,
    n_senders: I8,
    n_refused: I8,
    is_affordable: B1,
    required: F8,
    resting: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    balance: I8,
    live_resting: I8,
    live_position: I8,
    live_entry: I8,
    live_leverage: F8,
    live_balance: I8,
    pool: int,
    lot_value: F8,
    quote_price: F8,
    price: F8,
    max_lots: I8,
    wallet_pool: int,
    moves: I8,
    deposit: int,
    passes: B1,
    reduces: B1,
    next_order: I8,
    first_order: I8,
) -> int:
    """Try the orders of each account that cannot afford all, as ``sim.exchange.admission`` does.

    Those that only reduce its position pass as reduce-only. Each of the others passes if the
    account can afford it beside all that pass, at the leverage that it and those before it choose.
    Accounts are tried in the first row of the arrays.

    Args:
        tick: present tick.
        margin: (2,) addresses of the bound kernel of the margin of orders (``order_margin``).
        first: first instrument of the pool.
        packed, counters, replaced, chosen: orders of the step.
        senders, n_senders, n_refused, is_affordable, required: accounts of the pool.
        resting, position, entry, leverage, balance: their arrays, before fills.
        live_resting, live_position, live_entry, live_leverage, live_balance: accounts as they are.
        pool, lot_value, quote_price, price, max_lots: terms of the pool.
        wallet_pool, moves, deposit: as for ``sim.compiled.kernels.admission.judge_accounts``.
        passes, reduces: (n,) out.
        next_order, first_order: orders of each account.
    """
    if not n_refused[0]:
        return 0
    count, n_senders[0] = n_senders[0], 1
    for row in range(count):
        if is_affordable[row]:
            continue
        owner, order = senders[row], first_order[row]
        mark_reducing(
            order, next_order, first, packed, replaced, live_resting, live_position, passes, reduces
        )
        for asset in range(len(balance)):
            balance[asset, 0, 0] = live_balance[asset, pool, owner]
        for k in range(len(position)):
            position[k, 0], entry[k, 0] = live_position[k, owner], live_entry[k, owner]
            leverage[k, 0] = live_leverage[k, owner]
            for plane in range(3):
                resting[plane, k, 0] = live_resting[plane, first + k, owner]
        add_passing(order, next_order, first, packed, replaced, passes, resting)
        try_orders(
            tick,
            margin,
            owner,
            order,
            next_order,
            first,
            packed,
            replaced,
            chosen,
            required,
            resting,
            position,
            leverage,
            live_leverage,
            live_balance,
            pool,
            lot_value,
            quote_price,
            price,
            max_lots,
            wallet_pool,
            moves,
            counters,
            deposit,
            passes,
            reduces,
        )
    n_senders[0] = count
    return 0


@kernel
def add_passing(
    order: int, next_order: I8, first: int, packed: I8, replaced: I8, passes: B1, resting: I8
) -> None:
    """Add the orders of one account that pass to the resting orders of the first row."""
    while order != MISSING:
        if passes[order]:
            k = packed[order, INSTRUMENT] - first
            quantity, reserve = packed[order, QUANTITY], packed[order, RESERVE]
            add_order(resting[:, k, 0], quantity, reserve, replaced[order])
        order = next_order[order]


@kernel
def try_orders(
    tick: int,
    margin: I8,
    owner: int,
    order: int,
    next_order: I8,
    first: int,
    packed: I8,
    replaced: I8,
    chosen: I8,
    required: F8,
    resting: I8,
    position: I8,
    leverage: F8,
    live_leverage: F8,
    balance: I8,
    pool: int,
    lot_value: F8,
    quote_price: F8,
    price: F8,
    max_lots: I8,
    wallet_pool: int,
    moves: I8,
    counters: I8,
    deposit: int,
    passes: B1,
    reduces: B1,
) -> None:
    """Try the orders of one account that do not pass yet.

    If one that may open a position passes, its chosen leverage is kept and the margin is paid.

    Args:
        tick, margin, first, packed, replaced, chosen: see :func:`retry_refused`.
        owner: owner of the account, which is in the first row of the arrays.
        order: its first order.
        next_order: (n,) the next order of the same account.
        required, resting, position, leverage, live_leverage: see :func:`retry_refused`.
        balance: (C, P, N) of all pools.
        pool, lot_value, quote_price, price, max_lots, wallet_pool: see :func:`retry_refused`.
        moves, counters, deposit: as for ``sim.compiled.kernels.admission.judge_accounts``.
        passes, reduces: (n,) in and out.
    """
    opens = False
    while order != MISSING:
        k = packed[order, INSTRUMENT] - first
        if not passes[order]:
            quantity, reserve = packed[order, QUANTITY], packed[order, RESERVE]
            before, leverage_before = resting[:, k, 0].copy(), leverage[k, 0]
            if chosen[order] and packed[order, KIND] < REDUCE_ONLY:
                leverage[k, 0] = choose_leverage(chosen[order])
            add_order(resting[:, k, 0], quantity, reserve, replaced[order])
            call_bound(margin[0], tick, margin[1])
            lacking = find_shortage(
                0, owner, required, resting, position, lot_value, quote_price, balance, pool, price
            )
            if wallet_pool != pool:
                lacking -= find_free_wallet_cash(owner, balance, wallet_pool, price)
            passes[order] = lacking <= 0 and not is_oversized(0, resting, position, max_lots)
            if not passes[order]:
                resting[:, k, 0], leverage[k, 0] = before, leverage_before
        if passes[order] and not reduces[order] and packed[order, KIND] < REDUCE_ONLY:
            opens = True
            if chosen[order]:
                live_leverage[k, owner] = leverage[k, 0]
        order = next_order[order]
    if opens and wallet_pool != pool:
        call_bound(margin[0], tick, margin[1])
        shortage = find_shortage(
            0, owner, required, resting, position, lot_value, quote_price, balance, pool, price
        )
        pay_margin(owner, shortage, balance, pool, wallet_pool, price, moves, counters, deposit)


@kernel
def mark_reducing(
    order: int,
    next_order: I8,
    first: int,
    packed: I8,
    replaced: I8,
    live_resting: I8,
    live_position: I8,
    passes: B1,
    reduces: B1,
) -> None:
    """Mark the orders of one account that only reduce its position.

    See ``sim.exchange.admission.OrderBatch.find_reducing_orders``.
    """
    before = np.zeros(len(live_position), dtype=np.int64)
    while order != MISSING:
        owner, k = packed[order, OWNER], packed[order, INSTRUMENT] - first
        quantity, held = packed[order, QUANTITY], live_position[k, owner]
        if quantity != 0 and np.sign(quantity) == -np.sign(held):
            lots = abs(quantity)
            side = ASKS if held > 0 else BIDS
            own = replaced[order, 0]
            own = abs(own) if np.sign(own) == np.sign(quantity) else 0
            left = abs(held) - live_resting[side, first + k, owner] + own
            if packed[order, KIND] < REDUCE_ONLY and before[k] + lots <= left:
                passes[order] = reduces[order] = True
            before[k] += lots
        order = next_order[order]
