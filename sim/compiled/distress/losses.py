"""Kernels that allocate the losses of bankrupt accounts (phase 9, LIQ-3, LOSS-1 to LOSS-3).

They do what :class:`sim.step.waterfall.driver.CompiledWaterfall` does with the same kernels of the
layers, without Python: accounts are listed and shown to the layers, queues are sorted when a layer
needs them, and events are recorded.
"""

import numpy as np

from sim.compiled.arrays import NUMBER
from sim.compiled.kernels.accounts import EQUITY, MAINTENANCE
from sim.compiled.kernels.equity import find_free_wallet_cash, value_account
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.compiled.kernels.recording import SHORTFALL
from sim.compiled.program import JUMP
from sim.exchange import matching
from sim.margin.rounding import round_up_amount
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
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
from sim.step.waterfall.cash_layers import assume_account
from sim.step.waterfall.margins import value_wallet
from sim.step.waterfall.postings import pay, requeue_account, update_accounts, write_event
from sim.step.waterfall.run import collect_dues, run_waterfall
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
    rows: I8,
    n_rows: I8,
) -> int:
    """List the bankrupt accounts that do not wait, the largest shortfall first; jump if none."""
    count = 0
    for owner in range(is_offered.size):
        if assessed[EQUITY, owner] < 0 and (owner == fund or not is_offered[owner]):
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
    live_leverage: F8,
    n_accounts: I8,
    own_position: I8,
    own_entry: I8,
    own_leverage: F8,
    own_balance: I8,
    own_mark: F8,
    own_lot_value: F8,
    own_price: F8,
    initial: F8,
    engine: I8,
    engine_blocks: I8,
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
        live_leverage: (K, N) of the ledger.
        n_accounts ... initial: hypothetical accounts of the pool and their prices.
        engine, engine_blocks: the engine's bound kernels for these accounts.
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
        elif need == tables.NEEDS_PLAIN_LAYER:  # the fund's, by an engine without brackets
            account = turns[state[tables.PLACE], 0]
            n_accounts[0] = 1
            own_mark[:], own_lot_value[:], own_price[:] = mark, lot_value, price
            hypothetical = (own_position, own_entry, own_leverage, own_balance)
            values = (own_price, own_lot_value, initial)
            shown = (live_leverage, *hypothetical, *values, engine, engine_blocks)
            is_separate = state[tables.HAS_SEPARATE_WALLET]
            equity, required = assess_fund(tick, pool, accounts, account, is_separate, *shown)
            if equity >= required:
                first = state[tables.N_FILLS]
                fills = assume_account(pool, accounts, account, fills)
                if is_separate:
                    equity, required = assess_fund(tick, pool, accounts, MISSING, 0, *shown)
                    pay_from_wallet(pool, accounts, int(np.ceil(max(0.0, required - equity))))
                events = record_take_over(pool, accounts, queues, account, fills, first, events)
            state[tables.LAYER] += 1
        elif need in (tables.NEEDS_WEIGHTS, tables.NEEDS_PLAIN_ACCOUNT):
            turn = turns[state[tables.PLACE]]
            if need == tables.NEEDS_PLAIN_ACCOUNT:
                venue_money[SHORTFALL, tick, venue] += begin_fund_turn(pool, accounts, queues)
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
def assess_fund(
    tick: int,
    pool: Pool,
    accounts: Accounts,
    other: int,
    with_wallet: int,
    live_leverage: F8,
    position: I8,
    entry: I8,
    leverage: F8,
    balance: I8,
    price: F8,
    lot_value: F8,
    initial: F8,
    engine: I8,
    blocks: I8,
) -> tuple[float, float]:
    """Return equity and initial margin that the fund has alone, or with another account."""
    first, number = pool.state[tables.FIRST], pool.state[tables.POOL]
    fund = pool.state[tables.FUND_OWNER]
    for k in range(len(position)):
        lots = accounts.position[first + k, other] if other != MISSING else 0
        paid = np.int64(lots * pool.legs[tables.MARK, k] * pool.terms[tables.MULTIPLIER, k])
        position[k, 0] = accounts.position[first + k, fund] + lots
        entry[k, 0] = accounts.entry[first + k, fund] + paid
        leverage[k, 0] = live_leverage[k, fund]
    for asset in range(len(balance)):
        balance[asset, 0, 0] = accounts.balance[asset, number, fund]
        if other != MISSING:
            balance[asset, 0, 0] += accounts.balance[asset, number, other]
        if with_wallet:
            balance[asset, 0, 0] += accounts.balance[asset, pool.state[tables.WALLET], fund]
    for place in range(engine.size):
        call_bound(engine[place], tick, blocks[place])
    equity = value_account(0, 0, balance, 0, price, position, lot_value)
    return equity, round_up_amount(initial[0])


@kernel
def pay_from_wallet(pool: Pool, accounts: Accounts, amount: int) -> None:
    """Move cash from the fund's wallet into its account."""
    fund = pool.state[tables.FUND_OWNER]
    pay(pool, accounts, fund, fund, 0, amount, True)


@kernel
def record_take_over(
    pool: Pool,
    accounts: Accounts,
    queues: Queues,
    account: int,
    fills: I8,
    first: int,
    events: I8,
) -> I8:
    """Update the accounts of a take-over, and return the table of events with it."""
    deficit = int(np.ceil(-accounts.money[tables.EQUITY, account]))
    payers = accounts.whole[tables.PASSED, :1]
    absorbed = deficit + collect_dues(pool, accounts, queues, account, payers)
    pool.state[tables.IS_MOVED] = 1
    return write_event(pool, events, account, deficit, absorbed, fills, first)


@kernel
def begin_fund_turn(pool: Pool, accounts: Accounts, queues: Queues) -> int:
    """Begin the turn of a bankrupt fund, return the shortfall that its wallet leaves (LIQ-3)."""
    state, equity, fund = pool.state, accounts.money[tables.EQUITY], pool.state[tables.FUND_OWNER]
    state[tables.BEGUN] = state[tables.PLACE] + 1
    if state[tables.HAS_SEPARATE_WALLET]:
        cash = find_free_wallet_cash(fund, accounts.balance, state[tables.WALLET], pool.price)
        short = int(np.ceil(max(0.0, -equity[fund])))
        pay(pool, accounts, fund, fund, 0, min(short, int(cash)), True)
        own = np.empty(1, dtype=np.int64)
        own[0] = fund
        update_accounts(pool, accounts, queues, own)
    accounts.flags[tables.IS_ELIGIBLE, fund] = False
    if state[tables.HAS_SEPARATE_WALLET] and state[tables.N_BUILT]:
        requeue_account(pool, accounts, queues, fund)
    return int(np.ceil(max(0.0, -equity[fund])))


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
    """Sort the counterparties of the side of an instrument that a layer needs."""
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
