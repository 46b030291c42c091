"""Kernels that allocate the losses of bankrupt accounts (phase 9, LIQ-3, LOSS-1 to LOSS-3).

They do what :class:`sim.step.waterfall.driver.CompiledWaterfall` does with the same kernels of the
layers, without Python: accounts are listed and shown to the layers, queues are sorted when a layer
asks for them, and events are recorded.
"""

import numpy as np

from sim.compiled.arrays import NUMBER
from sim.compiled.distress.events import AT_LOSS, N_UNDER, ROUND
from sim.compiled.kernels.accounts import EQUITY, MAINTENANCE
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.compiled.kernels.recording import SHORTFALL
from sim.compiled.program import JUMP
from sim.exchange import matching
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
from sim.recording.cause_stages import HAS_PRICES, append_rows, append_stage
from sim.recording.event_tables import (
    FIRST_LEG,
    LOSS_ABSORBED,
    LOSS_LAYER,
    LOSS_OWNER,
    LOSS_POOL,
    LOSS_SHORTFALL,
    LOSS_STEP,
    N_LOSSES,
)
from sim.step.waterfall import tables
from sim.step.waterfall.margins import value_wallet
from sim.step.waterfall.run import run_waterfall
from sim.step.waterfall.scores import list_side, write_profits
from sim.step.waterfall.tables import Accounts, Pool, Queues
from sim.step.waterfall.tree import build_queue
from sim.types import B1, F8, I8, MISSING

WEIGHT_SCALE = 2.0**32
"""Parts of one in a rounded weight, as in ``sim.step.plain_waterfall``."""

FIRST_ROOM = 256
"""Rows of the tables of fills and events at first; they grow."""


@kernel
def list_bankrupt(
    tick: int,
    assessed: F8,
    is_offered: B1,
    fund: int,
    has_separate_wallet: int,
    rows: I8,
    n_rows: I8,
) -> int:
    """List the bankrupt accounts that do not wait, the largest shortfall first; jump if none.

    The plain phase does all where the fund's own account is bankrupt and its wallet pays (LIQ-3).
    """
    count = 0
    for owner in range(is_offered.size):
        if assessed[EQUITY, owner] < 0 and (owner == fund or not is_offered[owner]):
            if owner == fund and has_separate_wallet:
                return CALL_PYTHON
            rows[count] = owner
            count += 1
    n_rows[0] = count
    if not count:
        return JUMP
    order = np.argsort(assessed[EQUITY][rows[:count]], kind="mergesort")
    rows[:count] = rows[:count][order]
    return 0


@kernel
def check_loss_room(tick: int, n_rows: I8, layers: F8, counts: I8, losses: I8) -> int:
    """Call Python if the events of all layers may find no room."""
    most = n_rows[0] * layers.shape[1]
    return 0 if counts[N_LOSSES] + most <= len(losses) else CALL_PYTHON


@kernel
def allocate_losses(
    tick: int,
    rows: I8,
    n_rows: I8,
    shares: F8,
    addresses: I8,
    blocks: I8,
    assessed: F8,
    is_margined: B1,
    mark: F8,
    lot_value: F8,
    tick_value: F8,
    state: I8,
    legs: F8,
    terms: I8,
    listed: I8,
    price: F8,
    layers: F8,
    brackets: F8,
    factors: F8,
    balance: I8,
    position: I8,
    entry: I8,
    money: F8,
    flags: B1,
    whole: I8,
    net: I8,
    nodes: I8,
    score: F8,
    heads: I8,
    data: I8,
    resting: I8,
    chain: I8,
    venue: int,
    is_adl: B1,
    first_count: int,
    event_counts: I8,
    losses: I8,
    counts: I8,
    venue_money: I8,
) -> int:
    """Apply the layers of a venue to the bankrupt accounts of a pool, and record the events.

    Args:
        tick: present tick.
        rows, n_rows: bankrupt accounts in the order of their turns.
        shares: (K, N) each leg's share of maintenance, of these accounts in the same order.
        addresses, blocks: bound kernels that write the shares of the accounts in ``rows``.
        assessed: (3, N) the last assessment.
        is_margined: (N,) owners whom margin rules bind.
        mark, lot_value, tick_value: (K,) ticks, and minor units of the numeraire.
        state ... factors: see ``sim.step.waterfall.tables.Pool``.
        balance ... net: see ``sim.step.waterfall.tables.Accounts``.
        nodes, score, heads: see ``sim.step.waterfall.tables.Queues``.
        data, resting, chain: order books.
        venue: number of the venue.
        is_adl: (L + 1,) layers whose lots are counted as deleveraged.
        first_count: row of ``counts`` of deleveraged lots; that of their notional is the next.
        event_counts, losses: table of events of the run.
        counts, venue_money: the recorder's.
    """
    pool = Pool(state, legs, terms, listed, price, layers, brackets, factors)
    accounts = Accounts(balance, position, entry, money, flags, whole, net)
    queues = Queues(nodes, score, heads)
    begin_pool(pool, mark, lot_value, tick_value)
    show_accounts(pool, accounts, assessed, is_margined)
    count, size = n_rows[0], mark.size
    turns = np.empty((count, 1 + size), dtype=np.int64)
    for place in range(count):
        turns[place, 0] = rows[place]
        if rows[place] != state[tables.FUND_OWNER]:  # that of the fund is added in its turn
            venue_money[SHORTFALL, tick, venue] += int(np.ceil(-assessed[EQUITY, rows[place]]))
        weigh_legs(shares, place, turns[place])
    cancel_orders(pool, rows[:count], data, resting, chain)
    fills = np.empty((6, FIRST_ROOM), dtype=np.int64)
    events = np.empty((FIRST_ROOM, tables.FIRST_LOTS + 2 * size), dtype=np.int64)
    while True:
        need, fills, events = run_waterfall(pool, accounts, queues, turns, fills, events)
        if need == tables.NEEDS_QUEUE:
            sort_queue(pool, accounts, queues)
        elif need in (tables.NEEDS_WEIGHTS, tables.NEEDS_PLAIN_ACCOUNT):
            turn = turns[state[tables.PLACE]]
            if need == tables.NEEDS_PLAIN_ACCOUNT:
                venue_money[SHORTFALL, tick, venue] += begin_fund_turn(pool, accounts)
            rows[0], n_rows[0] = turn[0], 1
            for place in range(addresses.size):
                call_bound(addresses[place], tick, blocks[place])
            weigh_legs(shares, 0, turn)
            state[tables.IS_MOVED] = 0
        else:
            break
    cancel_maker_orders(pool, fills, data, resting, chain)
    record_events(tick, pool, events, is_adl, first_count, event_counts, losses, counts)
    forget_changes(pool, accounts)
    return 0


@kernel
def begin_fund_turn(pool: Pool, accounts: Accounts) -> int:
    """Begin the turn of a bankrupt fund, and return its shortfall."""
    fund = pool.state[tables.FUND_OWNER]
    pool.state[tables.BEGUN] = pool.state[tables.PLACE] + 1
    accounts.flags[tables.IS_ELIGIBLE, fund] = False
    return int(np.ceil(max(0.0, -accounts.money[tables.EQUITY, fund])))


@kernel
def cancel_orders(pool: Pool, rows: I8, data: I8, resting: I8, chain: I8) -> None:
    """Cancel the orders of some accounts in every instrument of the pool."""
    first = pool.state[tables.FIRST]
    for k in range(first, first + pool.state[tables.COUNT]):
        matching.cancel_owner_orders(data, resting, chain, k, rows)


@kernel
def begin_pool(pool: Pool, mark: F8, lot_value: F8, tick_value: F8) -> None:
    """Set prices, and the variables before the first turn."""
    pool.state[tables.PLACE :] = 0
    for k in range(mark.size):
        pool.legs[tables.MARK, k] = mark[k]
        pool.legs[tables.UNIT_VALUE, k] = mark[k] * pool.terms[tables.MULTIPLIER, k]
        pool.legs[tables.LOT_VALUE, k] = lot_value[k]
        pool.legs[tables.EVENT_VALUE, k] = tick_value[k] * mark[k]
        pool.legs[tables.ASSET_PRICE, k] = pool.price[pool.terms[tables.SETTLE, k]]


@kernel
def show_accounts(pool: Pool, accounts: Accounts, assessed: F8, is_margined: B1) -> None:
    """Show the accounts, as assessed, to the layers."""
    money, flags, fund = accounts.money, accounts.flags, pool.state[tables.FUND_OWNER]
    money[tables.EQUITY] = money[tables.SEEN] = assessed[EQUITY]
    money[tables.MAINTENANCE] = assessed[MAINTENANCE]
    if pool.state[tables.HAS_SEPARATE_WALLET]:
        money[tables.SEEN, fund] += value_wallet(pool, accounts)
    seen, is_eligible = money[tables.SEEN], flags[tables.IS_ELIGIBLE]
    flags[tables.IS_MARGINED] = is_margined
    for owner in range(seen.size):
        is_eligible[owner] = is_margined[owner] & (seen[owner] > 0)
    if pool.state[tables.KEEPS_PROFIT]:
        write_profits(pool, accounts)


@kernel
def weigh_legs(shares: F8, place: int, turn: I8) -> None:
    """Write the weights by which a deficit is split over an account's legs."""
    for k in range(len(shares)):
        turn[1 + k] = np.int64(np.rint(shares[k, place] * WEIGHT_SCALE))


@kernel
def sort_queue(pool: Pool, accounts: Accounts, queues: Queues) -> None:
    """Sort the counterparties of the side of an instrument that a layer asked for."""
    state = pool.state
    number, count = state[tables.WANTED], state[tables.COUNT]
    layer, column = (number >> 1) // count, (number >> 1) % count
    choice = int(pool.layers[tables.CHOICE, layer])
    rows, points, means = list_side(pool, accounts, choice, column, number & 1)
    order = np.argsort(-points, kind="mergesort")
    build_queue(queues, number, rows[order], points[order], means[order])
    queues.heads[tables.BUILT, state[tables.N_BUILT]] = number
    state[tables.N_BUILT] += 1


@kernel
def cancel_maker_orders(pool: Pool, fills: I8, data: I8, resting: I8, chain: I8) -> None:
    """Cancel the makers' resting orders in the instruments of the fills."""
    count, first = pool.state[tables.N_FILLS], pool.state[tables.FIRST]
    makers = np.empty(count, dtype=np.int64)
    for k in range(first, first + pool.state[tables.COUNT]):
        found = 0
        for place in range(count):
            if fills[tables.TRADED, place] == k:
                makers[found] = fills[tables.MAKER, place]
                found += 1
        if found:
            matching.cancel_owner_orders(data, resting, chain, k, makers[:found])


@kernel
def record_events(
    tick: int,
    pool: Pool,
    events: I8,
    is_adl: B1,
    first_count: int,
    event_counts: I8,
    losses: I8,
    counts: I8,
) -> None:
    """Append the events to those of the run, and count deleveraged lots."""
    first, size = pool.state[tables.FIRST], pool.state[tables.COUNT]
    for event in events[: pool.state[tables.N_EVENTS]]:
        row = losses[event_counts[N_LOSSES]]
        event_counts[N_LOSSES] += 1
        row[LOSS_STEP], row[LOSS_POOL] = tick, pool.state[tables.POOL]
        row[LOSS_LAYER], row[LOSS_OWNER] = event[tables.EVENT_LAYER], event[tables.ACCOUNT]
        row[LOSS_SHORTFALL], row[LOSS_ABSORBED] = event[tables.SHORTFALL], event[tables.ABSORBED]
        lots = event[tables.FIRST_LOTS :]
        row[FIRST_LEG : FIRST_LEG + lots.size] = lots
        for k in range(size if is_adl[event[tables.EVENT_LAYER]] else 0):
            counts[first_count, tick - 1, first + k] += lots[k]
            counts[first_count + 1, tick - 1, first + k] += lots[size + k]


@kernel
def forget_changes(pool: Pool, accounts: Accounts) -> None:
    """Forget which accounts have changed; the next assessment shows their state."""
    for place in range(pool.state[tables.N_CHANGED]):
        owner = accounts.whole[tables.CHANGED, place]
        accounts.flags[tables.IS_CHANGED, owner] = False
        accounts.net[:, :, owner] = 0


@kernel
def end_losses(tick: int, round_state: I8, max_rounds: int) -> int:
    """Begin the assessment after losses, whose number is that of the round after the last."""
    round_state[NUMBER] = max_rounds
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
