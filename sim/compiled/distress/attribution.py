"""Kernels that attribute margin deficits to their causes (phases 7 and 8, LIQ-6).

They do what :class:`sim.attribution.CauseLog` does: the events since the last assessment are undone
on copies of the accounts with negative excess, and made again one kind after another.
"""

import numpy as np

from sim.compiled.arrays import BASIS, LAST, MID, N_FILLS, N_MOVES, ORACLE
from sim.compiled.distress.events import (
    AT_CARRY,
    AT_CLOSE_OUT,
    AT_COLLATERAL,
    AT_FUNDING,
    AT_INDEX,
    AT_LOSS,
    AT_REQUIREMENT,
    AT_VOLUNTARY,
    FILL_EVENT,
    IS_INCOMPLETE,
    N_KINDS,
    N_UNDER,
    REPLAYS,
    ROUND,
    WHOLE,
    count_parts,
    count_stages,
    post_events,
    post_trading_fees,
)
from sim.compiled.kernels.accounts import EQUITY, MAINTENANCE
from sim.compiled.kernels.equity import value_account
from sim.compiled.kernels.marks import mark_quotes
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.margin.rounding import round_up_amount
from sim.numerics.account_sums import copy_values, differ
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
from sim.recording.cause_stages import (
    END,
    HAD_DEFICITS,
    HAS_PRICES,
    append_rows,
    append_stage,
    drop_stages,
    make_stage_room,
)
from sim.types import B1, F8, I8, MISSING


@kernel
def stage_marks(
    tick: int,
    clamp: float,
    start: int,
    former: F8,
    was_empty: B1,
    quotes: F8,
    is_empty: B1,
    mark: F8,
    stages: F8,
) -> int:
    """Mark after the oracle moved, after trading, and now: see ``Venue.mark_stages``.

    ``stages`` is (3, K) of a pool, whose first instrument is the venue's ``start``-th.
    """
    for place in range(stages.shape[1]):
        k = start + place
        oracle, basis = quotes[ORACLE, k], former[BASIS, k]
        ratio = oracle / former[ORACLE, k]
        mid, last = former[MID, k] * ratio, former[LAST, k] * ratio
        stages[0, place] = mark_quotes(clamp, mid, last, oracle, basis, was_empty[k])
        stages[1, place] = mark_quotes(
            clamp, quotes[MID, k], quotes[LAST, k], oracle, basis, is_empty[k]
        )
        stages[2, place] = mark[k]
    return 0


@kernel
def find_negative_excess(
    tick: int,
    round_state: I8,
    state: I8,
    counters: I8,
    assessed: F8,
    is_margined: B1,
    rows: I8,
    excess: F8,
    since: I8,
    logged_mark: F8,
    logged_price: F8,
    log: I8,
    stages: I8,
    stage_rows: I8,
    amounts: F8,
    mark: F8,
    price: F8,
) -> int:
    """Find the accounts with negative excess; call Python if their stages may find no room.

    Args:
        tick: present tick.
        round_state: first the liquidation round just made, MISSING before the first.
        state: (5,) the pool's state of attribution.
        counters: counts of the step.
        assessed: (3, N) the assessment just made.
        is_margined: (N,) owners whom margin rules bind.
        rows: (N,) out, accounts with negative excess.
        excess, since, logged_mark, logged_price, log, stages, stage_rows, amounts: the pool's log.
        mark: (K,) ticks, now.
        price: (C,) now.
    """
    count = 0
    for owner in range(excess.size):
        if is_margined[owner] and assessed[EQUITY, owner] - assessed[MAINTENANCE, owner] < 0:
            rows[count] = owner
            count += 1
    state[N_UNDER], state[REPLAYS], state[ROUND] = count, 0, round_state[0]
    state[FILL_EVENT] = AT_VOLUNTARY if state[ROUND] == MISSING else AT_CLOSE_OUT
    if not count or not log[HAS_PRICES]:
        return 0
    if not make_stage_room(log, stages, stage_rows, amounts, count_stages(mark.size), count):
        return CALL_PYTHON
    for place in range(count):
        row = rows[place]
        if excess[row] >= 0 or since[row] == MISSING:
            since[row] = log[END]
    has_postings = counters[N_FILLS] > 0 or counters[N_MOVES] > 0
    has_new_prices = differ(logged_mark, mark) or differ(logged_price, price)
    state[REPLAYS] = state[ROUND] == MISSING or has_postings or has_new_prices
    return 0


@kernel
def reassess_excess(
    tick: int,
    count: int,
    mark: F8,
    multiplier: I8,
    settle: I8,
    price: F8,
    lot_value: F8,
    position: I8,
    balance: I8,
    maintenance: F8,
    addresses: I8,
    blocks: I8,
    concerns_all: bool,
    touched: B1,
    before: F8,
    after: F8,
) -> bool:
    """Assess hypothetical accounts after an event, and return whether any excess has changed.

    Accounts that it did not touch keep the excess that they had ``before``.
    """
    for k in range(mark.size):
        lot_value[k] = mark[k] * multiplier[k] * price[settle[k]]
    for place in range(addresses.size):
        call_bound(addresses[place], tick, blocks[place])
    is_changed = False
    for row in range(count):
        after[row] = before[row]
        if concerns_all or touched[row]:
            equity = value_account(row, row, balance, 0, price, position, lot_value)
            after[row] = equity - round_up_amount(maintenance[row])
        is_changed |= after[row] != before[row]
        touched[row] = False
    return is_changed


@kernel
def find_stage_mark(kind: int, round_number: int) -> int:
    """Return the row of the marks that an event of a kind led to, or MISSING."""
    if round_number != MISSING:
        return MISSING
    if kind == AT_INDEX:
        return 0
    if kind == AT_VOLUNTARY:
        return 1
    return 2 if kind == AT_CARRY else MISSING


@kernel
def replay_events(
    tick: int,
    state: I8,
    counters: I8,
    fills: I8,
    moves: I8,
    rows: I8,
    row_of_owner: I8,
    first: int,
    pool: int,
    settle: I8,
    multiplier: I8,
    rates: F8,
    external: int,
    position: I8,
    balance: I8,
    touched: B1,
    present: B1,
    assessed: F8,
    excess: F8,
    logged_mark: F8,
    logged_price: F8,
    log: I8,
    stages: I8,
    stage_rows: I8,
    amounts: F8,
    stage_marks: F8,
    now_mark: F8,
    now_price: F8,
    mark: F8,
    price: F8,
    lot_value: F8,
    maintenance: F8,
    addresses: I8,
    blocks: I8,
    before: F8,
    after: F8,
) -> int:
    """Make the events again kind by kind, and append a stage for each that changed an excess.

    In a pool of several instruments, each kind is divided into that of no instrument and of each.

    Args:
        tick: present tick.
        state ... present: see :func:`undo_events`.
        assessed: (3, N) the assessment just made.
        excess ... amounts: the pool's log.
        stage_marks: (3, K) marks after the oracle moved, after trading, and now.
        now_mark, now_price: prices now.
        mark, price, lot_value, maintenance: those of the hypothetical accounts.
        addresses, blocks: the engine's bound kernels for these accounts.
        before, after: (N,) their excess.
    """
    if not state[REPLAYS]:
        return 0
    count, number = state[N_UNDER], state[ROUND]
    copy_values(logged_mark, mark)
    copy_values(logged_price, price)
    for row in range(count):
        before[row] = excess[rows[row]]
    done, moved = fills[: counters[N_FILLS]], moves[: counters[N_MOVES]]
    terms = (row_of_owner, first, pool, settle, multiplier, position, balance, touched, present)
    prices = (mark, multiplier, settle, price, lot_value, position, balance, maintenance)
    engine = (addresses, blocks)
    first_row = MISSING
    parts = count_parts(mark.size)
    for event in range(N_KINDS * parts + mark.size):
        kind, part = min(event // parts, AT_CLOSE_OUT), event % parts
        instrument = MISSING if part == WHOLE else first + part - 1
        if event < N_KINDS * parts:
            concerns_all = kind == AT_REQUIREMENT and part == WHOLE and number == MISSING
            if present[kind, part]:
                post_events(kind, part, 1, state[FILL_EVENT], done, moved, *terms)
                if kind == AT_FUNDING and state[FILL_EVENT] == AT_VOLUNTARY:
                    post_trading_fees(
                        part,
                        1,
                        done,
                        row_of_owner,
                        first,
                        settle,
                        multiplier,
                        rates,
                        external,
                        balance,
                        touched,
                        present,
                    )
            concerns_all |= reprice_event(kind, part, number, stage_marks, now_price, mark, price)
            if not concerns_all and not present[kind, part]:
                continue
        else:
            k = event - N_KINDS * parts
            if mark[k] == now_mark[k]:
                continue
            mark[k], instrument, concerns_all = now_mark[k], first + k, True
        if reassess_excess(tick, count, *prices, *engine, concerns_all, touched, before, after):
            if first_row == MISSING:
                first_row = append_rows(log, stage_rows, rows[:count])
            place = (kind, tick, number, instrument, first_row)
            change = np.empty(count)
            for row in range(count):
                change[row] = after[row] - before[row]
            append_stage(log, stages, amounts, *place, change)
        copy_values(after[:count], before)
    for row in range(count):
        final = assessed[EQUITY, rows[row]] - assessed[MAINTENANCE, rows[row]]
        if not abs(final - before[row]) <= 1.0 + 1e-9 * abs(before[row]):
            state[IS_INCOMPLETE] = 1
        row_of_owner[rows[row]] = MISSING
    return CALL_PYTHON if state[IS_INCOMPLETE] else 0


@kernel
def reprice_event(
    kind: int, part: int, number: int, stage_marks: F8, now_price: F8, mark: F8, price: F8
) -> bool:
    """Set the prices that a part of a kind of event led to, and return whether any has changed."""
    is_changed = False
    if kind == AT_COLLATERAL and part == WHOLE and differ(price, now_price):
        copy_values(now_price, price)
        is_changed = True
    place, k = find_stage_mark(kind, number), max(part - 1, 0)
    if place == MISSING or (part == WHOLE and mark.size > 1):
        return is_changed
    if mark[k] != stage_marks[place, k]:
        mark[k] = stage_marks[place, k]
        is_changed = True
    return is_changed


@kernel
def keep_assessment(
    tick: int,
    state: I8,
    assessed: F8,
    is_margined: B1,
    rows: I8,
    excess: F8,
    since: I8,
    logged_mark: F8,
    logged_price: F8,
    log: I8,
    mark: F8,
    price: F8,
) -> int:
    """Keep excess and prices, from which the next attribution begins; drop stages not needed."""
    for owner in range(excess.size):
        excess[owner] = assessed[EQUITY, owner] - assessed[MAINTENANCE, owner]
    count = state[N_UNDER]
    if count or log[HAD_DEFICITS]:
        for owner in range(excess.size):
            if not (is_margined[owner] and excess[owner] < 0):
                since[owner] = MISSING
        drop_stages(log, since, rows[:count])
    copy_values(mark, logged_mark)
    copy_values(price, logged_price)
    log[HAS_PRICES], log[HAD_DEFICITS] = 1, count > 0
    return 0


@kernel
def attribute_losses(
    tick: int,
    state: I8,
    assessed: F8,
    rows: I8,
    excess: F8,
    log: I8,
    stages: I8,
    stage_rows: I8,
    amounts: F8,
) -> int:
    """Append a stage of the losses allocated; they are all that happened since the last one.

    Args:
        tick: present tick.
        state: (5,) the pool's state of attribution.
        assessed: (3, N) the assessment just made.
        rows: (N,) accounts with negative excess.
        excess ... amounts: the pool's log.
    """
    count = state[N_UNDER]
    if not count or not log[HAS_PRICES]:
        return 0
    change, has_changed = np.empty(count), False
    for place in range(count):
        row = rows[place]
        after = assessed[EQUITY, row] - assessed[MAINTENANCE, row]
        change[place] = after - excess[row]
        has_changed |= after != excess[row]
    if has_changed:
        first_row = append_rows(log, stage_rows, rows[:count])
        place_in = (AT_LOSS, tick, state[ROUND], MISSING, first_row)
        append_stage(log, stages, amounts, *place_in, change)
    return 0


@kernel
def forget_postings(tick: int, counters: I8) -> int:
    """Forget the postings that every pool has attributed."""
    counters[N_FILLS] = counters[N_MOVES] = 0
    return 0
