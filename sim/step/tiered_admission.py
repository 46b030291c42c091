"""Admission of one pool's orders under tiered brackets and cash valuation, compiled.

The rule is that of :func:`sim.exchange.admission.admit_batch`, which serves every other engine.
Verdicts on accounts are those of :func:`sim.margin.tiered_admission.compute_shortages`. The cost is
linear in the orders, refused ones included.

The accounts with orders that cost something are copied into rows, which all later loops read: R
accounts, k instruments of the pool, n orders of all pools.
"""

from typing import NamedTuple

import numpy as np

from sim.exchange.admission import MAX_TOTAL_LOTS, compute_added_lots
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, QUANTITY, RESERVE
from sim.margin.tiered_admission import (
    ASKS,
    BIDS,
    ENTRY,
    FILLED,
    HELD,
    RESERVED,
    compute_shortages,
)
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, LEVERAGE_STEP, MISSING, REDUCE_ONLY, VENUE_MAX_LEVERAGE

NO_ROWS: I8 = np.empty(0, dtype=np.int64)
NO_ROWS.flags.writeable = False


class PoolAccounts(NamedTuple):
    """Accounts of all pools and the engine of one, as kernels read them."""

    number: int  # of the pool, among all pools
    first: int  # number of its first instrument
    balance: I8  # (C, P, N) minor units
    position: I8  # (K, N) lots
    entry: I8  # (K, N) minor units
    leverage: F8  # (K, N) that owners chose, inf = the venue's
    resting: I8  # (3, K, N) lots to buy, lots to sell, minor units reserved
    wallet: F8  # (N,) free cash of separate wallets; empty if the pool is the wallet
    max_lots: I8  # (K,) largest position of one account
    price: F8  # (C,) of assets
    terms: F8  # (k, 5) see :func:`sim.margin.tiered_admission.list_terms`
    table: F8  # (5, k, T), and two more of :class:`sim.margin.tiered_admission.TieredTerms`
    factor: float
    is_separable: bool


class WaitingOrders(NamedTuple):
    """Orders of all pools in order of arrival, and what admission writes about them."""

    orders: I8  # (n, 8) as packed for the order books
    replaced: I8  # (n, 2) resting lots (signed) that each replaces, and their reserve per lot
    chosen: I8  # (n,) leverage that each chooses, hundredths, or empty
    passes: B1  # (n,) written: orders that may go to the order book
    reduces: B1  # (n,) False; True is written for those that pass only because they reduce
    leverage: F8  # (n,) NaN, or empty; the leverage that an admitted order sets is written

    @classmethod
    def from_orders(cls, orders: I8, replaced: I8, chosen: I8) -> "WaitingOrders":
        """Return orders of which none has passed yet."""
        passes, reduces = np.zeros((2, len(orders)), dtype=bool)
        return cls(orders, replaced, chosen, passes, reduces, np.full(chosen.size, np.nan))


class SenderRows(NamedTuple):
    """Accounts of one pool whose orders cost something; empty if no order needs margin.

    All orders are added to the accounts, those that pass and those that do not.
    """

    row: I8  # (n,) row of each order's account; MISSING for orders elsewhere or without cost
    owners: I8  # (R,)
    account: I8  # (R, 6, k) see :mod:`sim.margin.tiered_admission`, as the next two
    cash: I8  # (R, C)
    chosen: F8  # (R, k) leverage that owners chose, and that opening orders choose
    funds: F8  # (R,) free cash of separate wallets, else zero
    is_short: B1  # (R,) the orders that need margin are not affordable together


def admit_pool_orders(
    pool: PoolAccounts, waiting: WaitingOrders, row: I8, owners: I8
) -> tuple[I8, I8, int]:
    """Write which orders of one pool may go to the order book (MAR-1).

    The orders of an account pass together if its shortage is at most what its wallet can pay.
    Otherwise those that reduce pass as reduce-only, and the others are tried one by one in order of
    arrival.

    Args:
        pool: the pool.
        waiting: orders of all pools; entries of the pool's orders are written.
        row: (n,) and ``owners`` (R,): see :func:`number_accounts`; some order needs margin.

    Returns:
        Accounts whose opening orders need cash of separate wallets (ISO-1), (m,), the amounts in
        minor units, and the number of orders of accounts that open.
    """
    senders = admit_affordable(pool, waiting, row, owners)
    if senders.is_short.any():
        admit_refused(pool, waiting, senders)
    if waiting.chosen.size:
        set_leverage(pool.first, waiting, senders)
    return find_deposits(pool, waiting, senders) if pool.wallet.size else (NO_ROWS, NO_ROWS, 0)


@kernel
def number_accounts(
    orders: I8, bound: B1, first: int, count: int, place: I8, row: I8, passes: B1
) -> tuple[I8, int]:
    """Number the pool's accounts whose orders cost something.

    They are in order of appearance; or by owner if most owners have orders, because copying is
    faster in the order of memory. Cancels, and orders of accounts that no margin rule binds, cost
    nothing. ``row`` (n,) is written: MISSING for such orders and those of other pools. So is
    ``passes``: orders that need no margin, as they cost nothing or are reduce-only.

    Returns:
        (R,) owner of each account, and the number of orders that need margin.
    """
    owners, n_accounts, n_needy = np.empty(len(orders), dtype=np.int64), 0, 0
    for i in range(len(orders)):
        row[i] = MISSING
        if not first <= orders[i, INSTRUMENT] < first + count:
            continue
        owner = orders[i, OWNER]
        is_free = orders[i, QUANTITY] == 0 or not bound[owner]
        passes[i] = is_free or orders[i, KIND] >= REDUCE_ONLY
        n_needy += not passes[i]
        if not is_free:
            if place[owner] == MISSING:
                place[owner] = n_accounts
                owners[n_accounts] = owner
                n_accounts += 1
            row[i] = place[owner]
    if n_needy and 2 * n_accounts > place.size:
        n_sorted = 0
        for owner in range(place.size):
            if place[owner] != MISSING:
                owners[n_sorted], place[owner] = owner, n_sorted
                n_sorted += 1
        for i in range(len(orders)):
            if row[i] != MISSING:
                row[i] = place[orders[i, OWNER]]
    for r in range(n_accounts):
        place[owners[r]] = MISSING
    return owners[:n_accounts], n_needy


@kernel
def copy_accounts(
    first: int,
    owners: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    resting: I8,
    account: I8,
    chosen: F8,
) -> None:
    """Write the rows of accounts, (R, 6, k), and the leverage that they chose, (R, k)."""
    for r in range(owners.size):
        owner = owners[r]
        for k in range(chosen.shape[1]):
            account[r, HELD, k] = position[first + k, owner]
            account[r, ENTRY, k] = entry[first + k, owner]
            for side in range(3):
                account[r, BIDS + side, k] = resting[side, first + k, owner]
            chosen[r, k] = leverage[first + k, owner]


@kernel
def add_orders(orders: I8, replaced: I8, row: I8, first: int, account: I8) -> None:
    """Add the orders that have a row to their accounts."""
    for i in range(row.size):
        r, k, quantity = row[i], orders[i, INSTRUMENT] - first, orders[i, QUANTITY]
        if r != MISSING:
            more, reserve = compute_added_lots(
                quantity, orders[i, RESERVE], replaced[i, 0], replaced[i, 1]
            )
            side = BIDS if quantity > 0 else ASKS
            account[r, side, k] = min(account[r, side, k] + more, MAX_TOTAL_LOTS)
            account[r, RESERVED, k] += reserve


@kernel
def choose_leverage(orders: I8, choices: I8, row: I8, first: int, chosen: F8) -> None:
    """Set the leverage that orders choose which may open; the last of an account counts."""
    for i in range(choices.size):
        if row[i] != MISSING and orders[i, KIND] < REDUCE_ONLY and choices[i] != 0:
            is_number = choices[i] < VENUE_MAX_LEVERAGE
            leverage = choices[i] * LEVERAGE_STEP if is_number else np.inf
            chosen[row[i], orders[i, INSTRUMENT] - first] = leverage


@kernel
def admit_affordable(pool: PoolAccounts, waiting: WaitingOrders, row: I8, owners: I8) -> SenderRows:
    """Admit the orders of the accounts that can afford all of theirs; see the caller."""
    orders, passes, first, price, wallet = (
        waiting.orders,
        waiting.passes,
        pool.first,
        pool.price,
        pool.wallet,
    )
    balance, number, terms, count = pool.balance, pool.number, pool.terms, len(pool.terms)
    account = np.empty((owners.size, 6, count), dtype=np.int64)
    cash = np.empty((owners.size, price.size), dtype=np.int64)
    chosen, funds = np.empty((owners.size, count)), np.zeros(owners.size)
    is_short, shortage = np.zeros(owners.size, dtype=np.bool_), np.empty(owners.size)
    copy_accounts(
        first, owners, pool.position, pool.entry, pool.leverage, pool.resting, account, chosen
    )
    for r in range(owners.size):
        for asset in range(price.size):
            cash[r, asset] = balance[asset, number, owners[r]]
        if wallet.size:
            funds[r] = wallet[owners[r]]
    add_orders(orders, waiting.replaced, row, first, account)
    choose_leverage(orders, waiting.chosen, row, first, chosen)
    compute_shortages(
        0,
        owners.size,
        account,
        cash,
        chosen,
        pool.max_lots[first : first + count],
        price,
        terms,
        pool.table,
        pool.factor,
        pool.is_separable,
        shortage,
    )
    for i in range(row.size):
        if row[i] != MISSING and not passes[i]:
            r = row[i]
            passes[i] = shortage[r] - funds[r] <= 0
            is_short[r] = not passes[i]
    return SenderRows(row, owners, account, cash, chosen, funds, is_short)


@kernel
def admit_refused(pool: PoolAccounts, waiting: WaitingOrders, senders: SenderRows) -> None:
    """Admit orders of short accounts: those that reduce, then one by one; see the caller.

    On return the rows of accounts hold the orders that pass.
    """
    orders, replaced, passes = waiting.orders, waiting.replaced, waiting.passes
    row, account, cash, caps = senders.row, senders.account, senders.cash, senders.chosen
    funds, is_short, price, terms = senders.funds, senders.is_short, pool.price, pool.terms
    shortage, resting, owners = np.empty(is_short.size), pool.resting, senders.owners
    first, table, factor, is_separable = pool.first, pool.table, pool.factor, pool.is_separable
    max_lots = pool.max_lots[first : first + len(terms)]
    for r in range(is_short.size):
        for k in range(len(terms) if is_short[r] else 0):
            account[r, FILLED, k] = 0  # here: lots of the reducing orders that came before
            for side in range(3):
                account[r, BIDS + side, k] = resting[side, first + k, owners[r]]
    for i in range(row.size):
        r, k, quantity, former = (
            row[i],
            orders[i, INSTRUMENT] - first,
            orders[i, QUANTITY],
            replaced[i, 0],
        )
        if r == MISSING or not is_short[r]:
            continue
        held, size, buys = account[r, HELD, k], abs(quantity), quantity > 0
        if held != 0 and (held > 0) != buys:
            if not passes[i]:
                own = abs(former) if former != 0 and (former > 0) == buys else 0
                rests = resting[0 if buys else 1, first + k, owners[r]]
                room = abs(held) - rests + own
                passes[i] = waiting.reduces[i] = account[r, FILLED, k] + size <= room
            account[r, FILLED, k] += size
    for turn in range(2):  # those that pass already, then the others one by one
        for i in range(row.size):
            r, k, quantity = row[i], orders[i, INSTRUMENT] - first, orders[i, QUANTITY]
            if r == MISSING or not is_short[r] or passes[i] != (turn == 0):
                continue
            more, reserve = compute_added_lots(
                quantity, orders[i, RESERVE], replaced[i, 0], replaced[i, 1]
            )
            side = BIDS if quantity > 0 else ASKS
            before, held_back = account[r, side, k], account[r, RESERVED, k]
            account[r, side, k] = min(before + more, MAX_TOTAL_LOTS)
            account[r, RESERVED, k] = held_back + reserve
            if turn == 1:
                compute_shortages(
                    r,
                    r + 1,
                    account,
                    cash,
                    caps,
                    max_lots,
                    price,
                    terms,
                    table,
                    factor,
                    is_separable,
                    shortage,
                )
                passes[i] = shortage[r] - funds[r] <= 0
                if not passes[i]:
                    account[r, side, k], account[r, RESERVED, k] = before, held_back


@kernel
def set_leverage(first: int, waiting: WaitingOrders, senders: SenderRows) -> None:
    """Write the leverage that admitted opening orders set: the last choice of their owner."""
    row, orders, chosen = senders.row, waiting.orders, waiting.chosen
    for i in range(row.size):
        r, k = row[i], orders[i, INSTRUMENT] - first
        may_open = orders[i, KIND] < REDUCE_ONLY and not waiting.reduces[i]
        if r != MISSING and may_open and waiting.passes[i] and chosen[i] != 0:
            waiting.leverage[i] = senders.chosen[r, k]


@kernel
def find_deposits(
    pool: PoolAccounts, waiting: WaitingOrders, senders: SenderRows
) -> tuple[I8, I8, int]:
    """Return the margin that opening accounts lack and their wallets pay; see the caller."""
    row, owners, passes = senders.row, senders.owners, waiting.passes
    orders, reduces, funds = waiting.orders, waiting.reduces, senders.funds
    payers, amounts, shortage = np.empty_like(owners), np.empty_like(owners), np.empty(owners.size)
    n_payers, n_orders = 0, 0
    is_opening, is_done = np.zeros((2, owners.size), dtype=np.bool_)
    for i in range(row.size):
        if row[i] != MISSING and orders[i, KIND] < REDUCE_ONLY and passes[i] and not reduces[i]:
            is_opening[row[i]] = True
    compute_shortages(
        0,
        owners.size,
        senders.account,
        senders.cash,
        senders.chosen,
        pool.max_lots[pool.first : pool.first + len(pool.terms)],
        pool.price,
        pool.terms,
        pool.table,
        pool.factor,
        pool.is_separable,
        shortage,
    )
    for i in range(row.size):
        r = row[i]
        if r != MISSING and is_opening[r] and passes[i]:
            n_orders += 1
            if not is_done[r]:
                is_done[r] = True
                paid = np.int64(min(max(np.ceil(shortage[r]), 0.0), funds[r]))
                if paid > 0:
                    payers[n_payers], amounts[n_payers] = owners[r], paid
                    n_payers += 1
    return payers[:n_payers], amounts[:n_payers], n_orders
