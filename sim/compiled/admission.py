"""Kernels that admit the orders of one pool (phase 5, MAR-1)."""

import numpy as np

from sim.compiled.arrays import N_ORDERS
from sim.compiled.cash import move_cash
from sim.exchange.admission import MAX_TOTAL_LOTS
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, QUANTITY, RESERVE
from sim.margin.engine import round_up_amount
from sim.margin.fills import compute_entry_value
from sim.numerics.bound_kernels import call_bound
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
    """Pay for fills from assets other than cash: see ``sim.margin.engine.pay_for_fills``."""
    if len(balance) == 1:
        return
    for row in range(accounts):
        for asset in range(len(balance)):
            balance[asset, 0, row] = balance_before[asset, 0, row]
        for k in range(settle.size):
            if settle[k]:
                lots = position[k, row] - before[k, row]
                balance[settle[k], 0, row] -= unit_value[k] * lots


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
    account can afford it beside all that pass. Accounts are tried in the first row of the arrays.

    Args:
        tick: present tick.
        margin: (2,) addresses of the bound kernel :func:`require_margin` of the pool.
        first: first instrument of the pool.
        packed, counters, replaced, chosen: orders of the step.
        senders, n_senders, n_refused, is_affordable, required: accounts of the pool.
        resting, position, entry, leverage, balance: their arrays, before fills.
        live_resting, live_position, live_entry, live_leverage, live_balance: accounts as they are.
        pool, lot_value, quote_price, price, max_lots: terms of the pool.
        wallet_pool, moves, deposit: as for :func:`judge_accounts`.
        passes, reduces: (n,) out.
        next_order, first_order: orders of each account.
    """
    if not n_refused[0]:
        return 0
    count, n_senders[0] = n_senders[0], 1
    for row in range(count):
        if is_affordable[row]:
            continue
        owner = senders[row]
        mark_reducing(
            first_order[row],
            next_order,
            first,
            packed,
            replaced,
            live_resting,
            live_position,
            passes,
            reduces,
        )
        for asset in range(len(balance)):
            balance[asset, 0, 0] = live_balance[asset, pool, owner]
        for k in range(len(position)):
            position[k, 0], entry[k, 0] = live_position[k, owner], live_entry[k, owner]
            leverage[k, 0] = leverage[k, row]
            for plane in range(3):
                resting[plane, k, 0] = live_resting[plane, first + k, owner]
        opens = False
        order = first_order[row]
        while order != MISSING:
            if passes[order]:
                k = packed[order, INSTRUMENT] - first
                quantity, reserve = packed[order, QUANTITY], packed[order, RESERVE]
                add_order(resting[:, k, 0], quantity, reserve, replaced[order])
            order = next_order[order]
        order = first_order[row]
        while order != MISSING:
            k = packed[order, INSTRUMENT] - first
            if not passes[order]:
                quantity, reserve = packed[order, QUANTITY], packed[order, RESERVE]
                before = resting[:, k, 0].copy()
                add_order(resting[:, k, 0], quantity, reserve, replaced[order])
                call_bound(margin[0], tick, margin[1])
                lacking = find_shortage(
                    0,
                    owner,
                    required,
                    resting,
                    position,
                    lot_value,
                    quote_price,
                    live_balance,
                    pool,
                    price,
                )
                if wallet_pool != pool:
                    lacking -= find_free_wallet_cash(owner, live_balance, wallet_pool, price)
                passes[order] = lacking <= 0 and not is_oversized(0, resting, position, max_lots)
                if not passes[order]:
                    resting[:, k, 0] = before
            if passes[order] and not reduces[order] and packed[order, KIND] < REDUCE_ONLY:
                opens = True
                if chosen[order]:
                    live_leverage[k, owner] = leverage[k, 0]
            order = next_order[order]
        if opens and wallet_pool != pool:
            call_bound(margin[0], tick, margin[1])
            shortage = find_shortage(
                0,
                owner,
                required,
                resting,
                position,
                lot_value,
                quote_price,
                live_balance,
                pool,
                price,
            )
            pay_margin(
                owner, shortage, live_balance, pool, wallet_pool, price, moves, counters, deposit
            )
    n_senders[0] = count
    return 0


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


@kernel
def value_account(
    row: int, owner: int, balance: I8, pool: int, price: F8, position: I8, lot_value: F8
) -> float:
    """Return the equity of one account, added in the order of ``account_sums.sum_equity``."""
    equity = 0.0
    for asset in range(price.size):
        equity += balance[asset, pool, owner] * price[asset]
    for k in range(lot_value.size):
        equity += position[k, row] * lot_value[k]
    return equity


@kernel
def find_free_wallet_cash(owner: int, balance: I8, wallet_pool: int, price: F8) -> float:
    """Return what a wallet can pay in the numeraire, at most its total value (ISO-1)."""
    value = 0.0
    for asset in range(price.size):
        value += balance[asset, wallet_pool, owner] * price[asset]
    return max(min(float(balance[0, wallet_pool, owner]), value), 0.0)
