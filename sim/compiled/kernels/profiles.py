"""Kernels of the readings of the liquidation profile and of populations (phase 10, LIQ-7)."""

import numpy as np

from sim.compiled.kernels.accounts import EQUITY, INITIAL, MAINTENANCE
from sim.compiled.kernels.equity import value_account
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.compiled.program import JUMP
from sim.exchange import matching
from sim.margin.rounding import round_up_amount
from sim.numerics.account_sums import copy_values, sum_pairwise
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


@kernel
def is_reading_due(tick: int, every: int) -> int:
    """Call the plain phase if a reading is due."""
    return 0 if tick % every else CALL_PYTHON


@kernel
def skip_reading(tick: int, every: int) -> int:
    """Jump over the kernels of a reading unless it is due."""
    return JUMP if tick % every else 0


@kernel
def begin_reading(
    tick: int,
    count: I8,
    steps: I8,
    data: I8,
    mark: F8,
    moves: F8,
    resting: I8,
) -> int:
    """Count lots bid in the way of a fall, or offered in the way of a rise."""
    row = count[0]
    steps[row] = tick
    low, high = np.empty(mark.size, dtype=np.int64), np.empty(mark.size, dtype=np.int64)
    lots = np.empty((mark.size, 2), dtype=np.int64)
    for place in range(moves.size):
        for k in range(mark.size):
            low[k] = np.int64(np.ceil(mark[k] * (1 + min(moves[place], 0.0))))
            high[k] = np.int64(np.floor(mark[k] * (1 + max(moves[place], 0.0))))
        lots[:] = 0
        matching.sum_depth(data, low, high, lots)
        for k in range(mark.size):
            resting[row, k, place] = lots[k, 1 if moves[place] > 0 else 0]
    return 0


@kernel
def profile_pool(
    tick: int,
    count: I8,
    first: int,
    moves: F8,
    is_margined: B1,
    assessed: F8,
    live_balance: I8,
    live_pool: int,
    live_position: I8,
    live_entry: I8,
    mark: F8,
    multiplier: I8,
    quote_price: F8,
    price: F8,
    n_accounts: I8,
    balance: I8,
    position: I8,
    entry: I8,
    moved_mark: F8,
    lot_value: F8,
    initial: F8,
    maintenance: F8,
    addresses: I8,
    blocks: I8,
    senders: I8,
    at_risk: F8,
    fresh: I8,
) -> int:
    """Assess accounts with one mark moved and others held: see ``liquidation_profile``.

    Args:
        tick: present tick.
        count: (1,) readings so far.
        first: the pool's first instrument.
        moves: (m,) relative moves of one mark.
        is_margined: (N,) owners whom margin rules bind.
        assessed: (3, N) the pool's last assessment.
        live_balance, live_pool, live_position, live_entry: accounts of the pool.
        mark, multiplier, quote_price: (K,) prices of the pool's instruments.
        price: (C,) of assets.
        n_accounts, balance, position, entry, moved_mark, lot_value, initial, maintenance: accounts
            that the engine reads and writes.
        addresses, blocks: the engine's bound kernels.
        senders: (N,) room for owners.
        at_risk, fresh: (R, K, m) out.
    """
    row = count[0]
    for k in range(mark.size):
        number = _take_holders(k, is_margined, live_position, senders)
        _copy_accounts(
            senders[:number],
            live_balance,
            live_pool,
            live_position,
            live_entry,
            balance,
            position,
            entry,
        )
        n_accounts[0] = number
        notional = np.empty(number)
        for account in range(number):
            notional[account] = abs(
                position[k, account] * (mark[k] * multiplier[k] * quote_price[k])
            )
        for place in range(moves.size):
            for other in range(mark.size):
                moved_mark[other] = mark[other]
                lot_value[other] = mark[other] * multiplier[other] * quote_price[other]
            moved_mark[k] = np.rint(mark[k] * (1 + moves[place]))
            lot_value[k] = moved_mark[k] * multiplier[k] * quote_price[k]
            for number_of in range(addresses.size):
                call_bound(addresses[number_of], tick, blocks[number_of])
            risky = np.empty(number)
            n_risky, lots = 0, 0
            for account in range(number):
                equity = value_account(account, account, balance, 0, price, position, lot_value)
                if not equity < round_up_amount(maintenance[account]):
                    continue
                risky[n_risky] = notional[account]
                n_risky += 1
                owner = senders[account]
                if not assessed[EQUITY, owner] < assessed[MAINTENANCE, owner]:
                    side = -1 if moves[place] > 0 else 1
                    lots += max(side * position[k, account], 0)
            at_risk[row, first + k, place] = sum_pairwise(risky[:n_risky])
            fresh[row, first + k, place] = lots
    return 0


@kernel
def _take_holders(k: int, is_margined: B1, position: I8, senders: I8) -> int:
    """List the owners of a position in one instrument, and return their number."""
    number = 0
    for owner in range(is_margined.size):
        if is_margined[owner] and position[k, owner] != 0:
            senders[number] = owner
            number += 1
    return number


@kernel
def _copy_accounts(
    owners: I8,
    live_balance: I8,
    live_pool: int,
    live_position: I8,
    live_entry: I8,
    balance: I8,
    position: I8,
    entry: I8,
) -> None:
    """Copy the accounts of some owners of a pool to hypothetical ones."""
    for account in range(owners.size):
        owner = owners[account]
        for asset in range(len(balance)):
            balance[asset, 0, account] = live_balance[asset, live_pool, owner]
        for k in range(len(position)):
            position[k, account] = live_position[k, owner]
            entry[k, account] = live_entry[k, owner]


@kernel
def sum_populations(
    tick: int,
    count: I8,
    venue: int,
    starts: I8,
    stops: I8,
    equity: F8,
    net_paid_in: I8,
    assessed: F8,
    pools: I8,
    position: I8,
    value: F8,
    sums: F8,
) -> int:
    """Sum equity, initial margin, gross notional and payments of each population at a venue."""
    row, owners = count[0], equity.size
    initial, gross = np.zeros(owners), np.zeros(owners)
    for place in range(pools.size):
        for owner in range(owners):
            initial[owner] += assessed[pools[place], INITIAL, owner]
    for k in range(value.size):
        for owner in range(owners):
            gross[owner] += abs(position[k, owner]) * value[k]
    for group in range(starts.size):
        part = slice(starts[group], stops[group])
        sums[row, venue, group, 0] = sum_pairwise(equity[part])
        sums[row, venue, group, 1] = sum_pairwise(initial[part])
        sums[row, venue, group, 2] = sum_pairwise(gross[part])
        sums[row, venue, group, 3] = net_paid_in[part].sum()
    return 0


@kernel
def end_reading(
    tick: int,
    count: I8,
    fresh: I8,
    resting: I8,
    move: int,
    feedback: F8,
) -> int:
    """Record R(1%) of every instrument."""
    row = count[0]
    count[0] = row + 1
    for k in range(feedback.shape[1]):
        lots = resting[row, k, move]
        feedback[tick - 1, k] = fresh[row, k, move] / lots if lots > 0 else np.nan
    return 0


@kernel
def keep_peak(
    tick: int,
    gross: I8,
    peak_gross: I8,
    balance: I8,
    wallet_pools: I8,
    price: F8,
    live_assessed: F8,
    live_position: I8,
    live_lot_value: F8,
    step: I8,
    assessed: F8,
    position: I8,
    lot_value: F8,
    wallet_value: F8,
) -> int:
    """Keep all accounts if gross notional is at its peak: see ``recording.account_columns``."""
    total = 0
    for k in range(gross.shape[1]):
        total += gross[tick - 1, k]
    if total <= peak_gross[0]:
        return 0
    peak_gross[0], step[0] = total, tick
    for k in range(len(position)):
        for owner in range(position.shape[1]):
            position[k, owner] = live_position[k, owner]
    for pool in range(len(assessed)):
        for row in range(assessed.shape[1]):
            for owner in range(assessed.shape[2]):
                assessed[pool, row, owner] = live_assessed[pool, row, owner]
    copy_values(live_lot_value, lot_value)
    for venue in range(wallet_pools.size):
        for owner in range(wallet_value.shape[1]):
            value = 0.0
            for asset in range(price.size):
                value += balance[asset, wallet_pools[venue], owner] * price[asset]
            wallet_value[venue, owner] = value
    return 0
