"""Kernels that match, settle, mark and record the close-outs of a round (LIQ-4, FEE-1)."""

import numpy as np

from sim.compiled.arrays import (
    BASIS,
    FIRST_ID,
    HAS_ACTED,
    HAS_FILLED,
    LAST,
    MID,
    N_COLLECTED,
    N_FILLS,
    NEXT_ID,
    NUMBER,
    ORACLE,
)
from sim.compiled.distress.events import AT_CLOSE_OUT
from sim.compiled.kernels.accounts import EQUITY, MAINTENANCE
from sim.compiled.kernels.cash import move_cash
from sim.compiled.kernels.equity import value_account
from sim.compiled.kernels.marks import mark_quotes
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.exchange import matching, order_ladder
from sim.exchange.matching import (
    CAUSE,
    FILLED_LOTS,
    INSTRUMENT,
    LAST_AFTER,
    LOTS,
    MAKER,
    MID2_AFTER,
    MID2_BEFORE,
    OWNER,
    PRICE,
    QUANTITY,
    REASON,
    TAKER,
    TICKS,
    TRADED,
)
from sim.exchange.order_ladder import HEADER, LEVELS, STRIDE
from sim.ledger import post_fill
from sim.liquidation.compiled import POOL, ROUTE
from sim.numerics.account_sums import copy_values
from sim.numerics.jit import kernel
from sim.numerics.rounding import round_up_one
from sim.numerics.sorting import sort_keys
from sim.recording import event_tables
from sim.recording.cause_stages import collect_amounts
from sim.recording.event_tables import N_CAUSES, N_CLOSE_OUTS
from sim.types import B1, F8, I8, MISSING

(CLOSED, LIQUIDATED, LIQUIDATED_NOTIONAL) = range(7, 10)
"""Rows of the recorder's counts."""

VOLUME = 4


@kernel
def match_close_outs(
    tick: int,
    round_state: I8,
    n_planned: I8,
    counters: I8,
    orders: I8,
    data: I8,
    resting: I8,
    chain: I8,
    delta: I8,
    bands: I8,
    fills: I8,
    balance: I8,
    position: I8,
    entry: I8,
    pools: I8,
    settle: I8,
    multiplier: I8,
    quote_price: F8,
    report: I8,
    notional: F8,
) -> int:
    """Match a venue's close-outs one after another, and post their fills.

    Args:
        tick: present tick.
        round_state, n_planned, counters: counts of the rounds, of the plan and of the step.
        orders: (M, 8) close-outs.
        data ... fills: order books.
        balance, position, entry: accounts of the ledger.
        pools, settle, multiplier: (K,) pool and terms of each instrument.
        quote_price: (K,) minor units of the numeraire per minor unit of the settle asset.
        report: (M, 5) out, see ``sim.exchange.matching``.
        notional: (M,) out, whole minor units of the numeraire.
    """
    count, first_fill = n_planned[0], counters[N_FILLS]
    round_state[HAS_ACTED], round_state[FIRST_ID] = 1, round_state[NEXT_ID]
    for row in range(count):
        orders[row, CAUSE] = round_state[NEXT_ID] + row
    round_state[NEXT_ID] += count
    state = (data, resting, chain, delta, position, bands)
    made = matching.match_orders(
        *state,
        orders[:count],
        np.zeros(count, dtype=np.int64),
        report[:count],
        fills[first_fill:],
    )
    counters[N_FILLS] = first_fill + made
    notional[:count] = 0.0
    for row in range(first_fill, first_fill + made):
        k, lots, price = fills[row, TRADED], fills[row, LOTS], fills[row, TICKS]
        sides = (fills[row, TAKER], fills[row, MAKER])
        accounts = (balance[settle[k], pools[k]], position[k], entry[k])
        post_fill(*accounts, *sides, lots, price * multiplier[k])
        value = abs(lots) * price * (multiplier[k] * quote_price[k])
        notional[fills[row, REASON] - round_state[FIRST_ID]] += value
    for row in range(count):
        notional[row] = np.rint(notional[row])
        round_state[HAS_FILLED] |= report[row, FILLED_LOTS] > 0
    return 0


@kernel
def charge_liquidation_fees(
    tick: int,
    n_planned: I8,
    orders: I8,
    details: I8,
    notional: F8,
    rate: float,
    target: int,
    wallet_pool: int,
    pool: int,
    balance: I8,
    price: F8,
    position: I8,
    lot_value: F8,
    due: F8,
    moves: I8,
    counters: I8,
) -> int:
    """Charge a pool's close-outs from the equity that they left (FEE-1).

    Args:
        tick: present tick.
        n_planned, orders, details, notional: the venue's close-outs.
        rate: fee (share of notional).
        target: owner who receives it in ``wallet_pool``.
        pool: number of the pool.
        balance: (C, P, N).
        price: (C,).
        position, lot_value: the pool's instruments, at the marks before the round.
        due: (N,) zeros, before and after.
        moves, counters: cash moves of the step, and their number.
    """
    for row in range(n_planned[0]):
        if details[row, POOL] == pool:
            due[orders[row, OWNER]] += np.int64(round_up_one(notional[row] * rate))
    for row in range(n_planned[0]):
        owner = orders[row, OWNER]
        if details[row, POOL] != pool or due[owner] == 0:
            continue
        left = value_account(owner, owner, balance, pool, price, position, lot_value)
        paid = int(np.floor(min(due[owner], max(left, 0.0))))
        due[owner] = 0.0
        if owner != target:
            move_cash(
                balance, moves, counters, AT_CLOSE_OUT, owner, target, pool, wallet_pool, 0, paid
            )
    return 0


@kernel
def read_tops(
    tick: int, data: I8, first: int, bid: F8, ask: F8, last: F8, mark: F8, mark_before: F8
) -> int:
    """Read a venue's best and last prices, and keep its marks before the round."""
    copy_values(mark, mark_before)
    for k in range(bid.size):
        base = HEADER + (first + k) * data[STRIDE]
        best_bid, best_ask = data[base + order_ladder.BID], data[base + order_ladder.ASK]
        traded = data[base + order_ladder.LAST]
        bid[k] = np.nan if best_bid == 0 else float(best_bid)
        ask[k] = np.nan if best_ask > data[LEVELS] else float(best_ask)
        last[k] = np.nan if traded == MISSING else float(traded)
    return 0


@kernel
def mark_around(
    tick: int,
    n_planned: I8,
    orders: I8,
    report: I8,
    first: int,
    clamp: float,
    quotes: F8,
    is_empty: B1,
    mark: F8,
    mark_before: F8,
    around: F8,
) -> int:
    """Mark a venue after the round, and just before and after each close-out (LIQ-4).

    See ``sim.step.liquidation._marks_around``.

    Args:
        tick: present tick.
        n_planned, orders, report: the venue's close-outs.
        first: its first instrument.
        clamp: that of the median mark, negative = the book's mark.
        quotes, is_empty: its quotes after the round.
        mark: (K,) out.
        mark_before: (K,) before the round; used up.
        around: (2, M) out, before and after each close-out.
    """
    last_traded = np.zeros(mark.size, dtype=np.int64)
    for row in range(n_planned[0]):
        if report[row, FILLED_LOTS]:
            last_traded[orders[row, INSTRUMENT] - first] = row
    for row in range(n_planned[0]):
        k = orders[row, INSTRUMENT] - first
        mid2 = report[row, MID2_AFTER]
        after = mark_quotes(
            clamp,
            np.nan if mid2 == MISSING else mid2 / 2,
            float(report[row, LAST_AFTER]),
            quotes[ORACLE, k],
            quotes[BASIS, k],
            is_empty[k] and row >= last_traded[k],
        )
        around[0, row], around[1, row] = mark_before[k], after
        mark_before[k] = after
    for k in range(mark.size):
        mark[k] = mark_quotes(
            clamp, quotes[MID, k], quotes[LAST, k], quotes[ORACLE, k], quotes[BASIS, k], is_empty[k]
        )
    return 0


@kernel
def find_actions(
    tick: int,
    n_planned: I8,
    orders: I8,
    details: I8,
    pools: I8,
    row_of_owner: I8,
    actions: I8,
) -> int:
    """Find the id of the first close-out of the same account for each close-out, (M,)."""
    for pool in pools:
        for row in range(n_planned[0]):
            owner = orders[row, OWNER]
            if details[row, POOL] == pool:
                if row_of_owner[owner] == MISSING:
                    row_of_owner[owner] = orders[row, CAUSE]
                actions[row] = row_of_owner[owner]
        for row in range(n_planned[0]):
            row_of_owner[orders[row, OWNER]] = MISSING
    return 0


@kernel
def record_close_outs(
    tick: int,
    venue: int,
    round_state: I8,
    n_planned: I8,
    orders: I8,
    details: I8,
    report: I8,
    notional: F8,
    around: F8,
    actions: I8,
    assessed: F8,
    counts: I8,
    close_outs: I8,
    values: F8,
    step_counts: I8,
) -> int:
    """Record a venue's close-outs: see :class:`sim.recording.event_tables.EventTables`."""
    first = counts[N_CLOSE_OUTS]
    for row in range(n_planned[0]):
        whole, real = close_outs[first + row], values[first + row]
        account, pool, k = orders[row, OWNER], details[row, POOL], orders[row, INSTRUMENT]
        whole[event_tables.NUMBER], whole[event_tables.ACTION] = orders[row, CAUSE], actions[row]
        whole[event_tables.ACCOUNT], whole[event_tables.POOL] = account, pool
        whole[event_tables.INSTRUMENT] = k
        whole[event_tables.PLANNED] = orders[row, QUANTITY]
        whole[event_tables.FILLED] = report[row, FILLED_LOTS]
        whole[event_tables.LIMIT], whole[event_tables.ROUTE] = (
            orders[row, PRICE],
            details[row, ROUTE],
        )
        whole[event_tables.NOTIONAL] = np.int64(notional[row])
        whole[event_tables.STEP], whole[event_tables.ROUND] = tick, round_state[NUMBER]
        whole[event_tables.ORDER], whole[event_tables.VENUE] = row, venue
        real[event_tables.MARK_BEFORE] = around[0, row]
        real[event_tables.MARK_AFTER] = around[1, row]
        real[event_tables.MID_BEFORE] = halve_mid(report[row, MID2_BEFORE])
        real[event_tables.MID_AFTER] = halve_mid(report[row, MID2_AFTER])
        real[event_tables.EQUITY] = assessed[pool, EQUITY, account]
        real[event_tables.MAINTENANCE] = assessed[pool, MAINTENANCE, account]
        step_counts[CLOSED, tick - 1, k] += 1
        step_counts[LIQUIDATED, tick - 1, k] += report[row, FILLED_LOTS]
        step_counts[LIQUIDATED_NOTIONAL, tick - 1, k] += np.int64(notional[row])
        step_counts[VOLUME, tick - 1, k] += report[row, FILLED_LOTS]
    counts[N_CLOSE_OUTS] = first + n_planned[0]
    return 0


@kernel
def halve_mid(doubled: int) -> float:
    """Return a mid from the sum of bid and ask, NaN if a side is empty."""
    return np.nan if doubled == MISSING else doubled / 2


@kernel
def collect_causes(
    tick: int,
    round_state: I8,
    n_planned: I8,
    orders: I8,
    details: I8,
    report: I8,
    actions: I8,
    pool: int,
    row_of_owner: I8,
    rows: I8,
    log: I8,
    since: I8,
    stages: I8,
    stage_rows: I8,
    amounts: F8,
    counts: I8,
    causes: I8,
    values: F8,
) -> int:
    """Record the causes of deficits of a pool's accounts with fills, if there is room (LIQ-6)."""
    count = 0
    for row in range(n_planned[0]):
        owner = orders[row, OWNER]
        if details[row, POOL] == pool and report[row, FILLED_LOTS] > 0:
            if row_of_owner[owner] == MISSING:
                rows[count] = owner
                count += 1
            row_of_owner[owner] = actions[row]
    if not count:
        return 0
    wanted, used = sort_keys(rows[:count].copy(), 0), counts[N_CAUSES]
    state = (log, since, stages, stage_rows, amounts)
    found = collect_amounts(*state, wanted, causes[used:], values[used:])
    has_room = used + found <= len(causes)
    if has_room:
        for place in range(used, used + found):
            causes[place, 0] = row_of_owner[wanted[causes[place, 0]]]
        counts[N_CAUSES] = used + found
    for row in wanted:
        row_of_owner[row] = MISSING
    round_state[N_COLLECTED] = found
    return 0 if has_room else CALL_PYTHON
