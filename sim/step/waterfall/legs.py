"""Auto-deleveraging of the legs of one bankrupt account, compiled.

`sim.waterfall.deleveraging` states the same rules with numpy.
"""

import numpy as np

from sim.numerics.jit import kernel
from sim.step.waterfall.division import (
    divide_capped,
    divide_largest_remainder,
    scale_with_remainder,
)
from sim.step.waterfall.postings import post_trades, write_fill
from sim.step.waterfall.tables import (
    CHOICE,
    COUNT,
    DUES,
    FIRST,
    IS_ELIGIBLE,
    LAYER,
    LAYER_KIND,
    LOTS,
    MAKER,
    MARK,
    MEANS,
    N_FILLS,
    PASSED,
    PLACE,
    POINTS,
    QUEUE,
    SEEN,
    UNIT_VALUE,
    Accounts,
    Pool,
    Queues,
)
from sim.step.waterfall.tree import find_first_able, insert_account, remove_account
from sim.types import I8, MISSING

ROUNDING = 1.0 - 1e-9
"""Factor that makes a float threshold safely lower than the exact one."""


@kernel
def limit_lots(lots: int, means: int, deficit: int, wanted: int) -> int:
    """Return the lots that a counterparty may lose: no more than it holds or can pay for."""
    if deficit and means <= lots * (deficit / wanted) + 1:
        affordable, _ = scale_with_remainder(min(means, deficit), wanted, deficit)
        return min(lots, affordable)
    return lots


@kernel
def sort_by_maker(fills: I8, first: int, count: int) -> None:
    """Sort some fills of a table by maker (shell sort; only makers and lots differ)."""
    gap = (count - first) // 2
    while gap > 0:
        for place in range(first + gap, count):
            maker, lots, at = fills[MAKER, place], fills[LOTS, place], place
            while at - gap >= first and fills[MAKER, at - gap] > maker:
                fills[MAKER, at], fills[LOTS, at] = fills[MAKER, at - gap], fills[LOTS, at - gap]
                at -= gap
            fills[MAKER, at], fills[LOTS, at] = maker, lots
        gap //= 2


@kernel
def close_from_queue(
    pool: Pool,
    accounts: Accounts,
    queues: Queues,
    number: int,
    account: int,
    k: int,
    deficit: int,
    fills: I8,
) -> I8:
    """Close a leg against the front of a queue, and return the table of fills.

    Accounts that lose lots leave the queue, and return to it when they are assessed again.
    """
    whole, position = accounts.whole, accounts.position[pool.state[FIRST] + k]
    price, held, first = int(pool.legs[MARK, k]), position[account], pool.state[N_FILLS]
    wanted, sign, n_passed = abs(held), -1 if held > 0 else 1, 0
    left, least = wanted, deficit / wanted * ROUNDING
    while left > 0:
        row = find_first_able(queues, number, least)
        if row == MISSING:
            break
        means, taken = queues.nodes[number, row, MEANS] - whole[DUES, row], 0
        if means > 0:
            taken = min(left, limit_lots(abs(position[row]), means, deficit, wanted))
        points = queues.score[number, row]
        remove_account(queues, number, row)
        if taken > 0:
            fills = write_fill(pool.state, fills, account, row, k, sign * taken, price)
            left -= taken
        else:
            whole[PASSED, n_passed], accounts.money[POINTS, n_passed] = row, points
            n_passed += 1
    for place in range(n_passed):
        row, points = whole[PASSED, place], accounts.money[POINTS, place]
        insert_account(queues, number, row, points, queues.nodes[number, row, MEANS])
    sort_by_maker(fills, first, pool.state[N_FILLS])
    return fills


@kernel
def close_pro_rata(
    pool: Pool,
    accounts: Accounts,
    profit_only: bool,
    account: int,
    k: int,
    deficit: int,
    fills: I8,
) -> I8:
    """Close a leg against the same share of every opposite position; return the fills."""
    instrument, price = pool.state[FIRST] + k, int(pool.legs[MARK, k])
    position, entry = accounts.position[instrument], accounts.entry[instrument]
    is_eligible, seen = accounts.flags[IS_ELIGIBLE], accounts.money[SEEN]
    held, unit_value = position[account], pool.legs[UNIT_VALUE, k]
    wanted, sign = abs(held), -1 if held > 0 else 1
    rows, dues = accounts.whole[PASSED], accounts.whole[DUES]
    size, weights = 0, np.empty(rows.size, dtype=np.int64)
    limits = np.empty(rows.size, dtype=np.int64)
    for row in range(rows.size):
        lots = sign * position[row]
        if lots > 0 and is_eligible[row]:
            means = int(np.floor(seen[row])) - dues[row]
            if means > 0:
                limits[size] = limit_lots(lots, means, deficit, wanted)
                gain = sign * (lots * unit_value - float(max(abs(entry[row]), 1)))
                rows[size], weights[size] = row, 0 if profit_only and gain <= 0 else lots
                size += 1
    shares = divide_capped(wanted, weights[:size], limits[:size])
    for place in range(size):
        if shares[place] > 0:
            lots = sign * shares[place]
            fills = write_fill(pool.state, fills, account, rows[place], k, lots, price)
    return fills


@kernel
def split_deficit(pool: Pool, accounts: Accounts, turns: I8, deficit: int) -> I8:
    """Return the deficit of each leg of the present account, (K,), by the weights of its turn."""
    place, first, count = pool.state[PLACE], pool.state[FIRST], pool.state[COUNT]
    weights, total, n_held, last = np.zeros(count, dtype=np.int64), 0, 0, 0
    for k in range(count):
        if accounts.position[first + k, turns[place, 0]] != 0:
            weights[k], last = turns[place, 1 + k], k
            total += weights[k]
            n_held += 1
    if n_held <= 1:
        weights[last] = deficit
        return weights
    for k in range(count if total == 0 else 0):
        weights[k] = 1 if accounts.position[first + k, turns[place, 0]] != 0 else 0
    return divide_largest_remainder(deficit, weights)


@kernel
def owe_for_leg(
    accounts: Accounts, fills: I8, first: int, count: int, deficit: int, held: int
) -> None:
    """Add a leg's deficit to the dues of the makers of its fills, in proportion to lots (LOSS-2).

    Args:
        accounts: in place.
        fills: table of fills.
        first: row of the leg's first fill.
        count: row after its last.
        deficit: of the leg, minor units.
        held: lots of the leg.
    """
    dues, lots, closed = accounts.whole[DUES], np.empty(count - first, dtype=np.int64), 0
    for place in range(lots.size):
        lots[place] = abs(fills[LOTS, first + place])
        closed += lots[place]
    amount, _ = scale_with_remainder(closed, deficit, abs(held))
    if lots.size == 1:
        dues[fills[MAKER, first]] += amount
    else:
        parts = divide_largest_remainder(amount, lots)
        for place in range(lots.size):
            dues[fills[MAKER, first + place]] += parts[place]


@kernel
def close_legs(
    pool: Pool, accounts: Accounts, queues: Queues, turns: I8, deficit: int, fills: I8
) -> I8:
    """Close the present account's legs, and write what the makers owe as dues (LOSS-2)."""
    state, account, begin = pool.state, turns[pool.state[PLACE], 0], pool.state[N_FILLS]
    layer, count = state[LAYER], state[COUNT]
    deficits = split_deficit(pool, accounts, turns, deficit)
    for k in range(count):
        held, first = accounts.position[state[FIRST] + k, account], state[N_FILLS]
        if held == 0:
            continue
        if pool.layers[LAYER_KIND, layer] == QUEUE:
            number = 2 * (layer * count + k) + (1 if held > 0 else 0)
            fills = close_from_queue(pool, accounts, queues, number, account, k, deficits[k], fills)
        else:
            profit_only = pool.layers[CHOICE, layer] == 1
            fills = close_pro_rata(pool, accounts, profit_only, account, k, deficits[k], fills)
        owe_for_leg(accounts, fills, first, state[N_FILLS], deficits[k], held)
    post_trades(pool, accounts, fills, begin)
    return fills
