"""Kernels of traders who enter a book of several positions (AGT-10), of both kinds of steps."""

import numpy as np

from agents.compiled.leveraged import (
    ENTER,
    HIGHEST,
    LEAVE,
    SIDE,
    WISHED,
    choose_position_leverage,
    find_affordable_leverage,
    limit_order,
    respond_to_leverage,
    size_order,
)
from sim.arrays import U8
from sim.compiled.arrays import LEVERAGE
from sim.compiled.kernels.orders import send_order
from sim.numerics.compiled_draws import draw_four
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, IOC, VENUE_MAX_LEVERAGE

CHOICE = 1
"""Column of the draw that chooses the book of an entry, and how broken books are restored."""

FIRST_LEG = 4
"""Column of the first draw of an entry's legs."""


@kernel
def fill_draws(tick: int, key: U8, hazard: F8, is_waiting: B1, draws: F8) -> int:
    """Draw the first four numbers of all members, and those of legs for members who may enter.

    Args:
        tick: present tick.
        key: key of the stream of draws.
        hazard: (b,) probability of entering each book.
        is_waiting: (n,) members who wait for their first entry.
        draws: (n, w) out, w a multiple of four.
    """
    blocks, highest = draws.shape[1] // 4, hazard.max()
    for i in range(len(draws)):
        for block in range(blocks):
            if block > 0 and not (is_waiting[i] or draws[i, ENTER] < highest):
                break
            four = draw_four(i * blocks + block, tick, key)
            for at in range(4):
                draws[i, 4 * block + at] = four[at]
    return 0


@kernel
def open_books(
    tick: int,
    owner: int,
    position: I8,
    instruments: I8,
    draws: F8,
    hazard: F8,
    exit_probability: float,
    last_tick: I8,
    first_entry: I8,
    is_waiting: B1,
    scale: F8,
    has_tried: B1,
    is_leaving: B1,
    n_entries: I8,
    rows: I8,
    columns: I8,
    draw: F8,
    flat: B1,
    leaves: B1,
) -> int:
    """Update the state of members, and draw those who enter a book and those who exit by time.

    Args:
        tick: present tick.
        owner: owner of the first member.
        position: (K, N) lots.
        instruments: (m,) instruments that members trade.
        draws: (n, w) uniform.
        hazard: (b,) probability that a flat member enters each book.
        exit_probability: probability of an exit by time.
        last_tick: (1,) tick of the last update; state is updated once in a step.
        first_entry, is_waiting, scale, has_tried: see ``EntryState``.
        is_leaving: (n,) members who close what is left of their book.
        n_entries, rows, columns, draw, flat, leaves: see ``DecisionArrays``.
    """
    is_new, count = last_tick[0] != tick, 0
    last_tick[0] = tick
    for i in range(flat.size):
        flat[i] = True
        for k in instruments:
            flat[i] &= position[k, owner + i] == 0
        if is_new:
            rescaled = scale[i] * (0.5 if has_tried[i] else 1.0)
            scale[i] = rescaled if flat[i] else 1.0
            has_tried[i] = False
            is_waiting[i] &= flat[i]
            is_leaving[i] &= not flat[i]
        leaves[i] = draws[i, LEAVE] < exit_probability
        column = np.int64(draws[i, CHOICE] * hazard.size)
        is_due = is_waiting[i] and first_entry[i] <= tick
        if flat[i] and (is_due or draws[i, ENTER] < hazard[column]):
            rows[count], columns[count], draw[count] = i, column, draws[i, SIDE]
            count += 1
    n_entries[0] = count
    return 0


@kernel
def weigh_views(
    tick: int,
    mixed_share: float,
    long_share: float,
    shares: F8,
    draws: F8,
    n_entries: I8,
    rows: I8,
    signal: F8,
    weights: F8,
) -> int:
    """Weigh the legs of members who enter: all on one side, or each on a side of its own.

    Args:
        tick: present tick.
        mixed_share: probability that each leg has a side of its own.
        long_share: probability that such a leg is long.
        shares: (n, m) share of each instrument in a member's book.
        draws: (n, w) uniform.
        n_entries, rows, signal: see ``DecisionArrays``.
        weights: (n, m) out, signed shares.
    """
    for at in range(n_entries[0]):
        i, side = rows[at], np.sign(signal[at])
        is_mixed = draws[i, CHOICE] < mixed_share
        for j in range(shares.shape[1]):
            own = 1.0 if draws[i, FIRST_LEG + j] < long_share else -1.0
            weights[i, j] = shares[i, j] * (own if is_mixed else side)
    return 0


@kernel
def intend_lots(
    tick: int,
    owner: int,
    instruments: I8,
    lot_value: F8,
    equity: F8,
    n_entries: I8,
    rows: I8,
    signal: F8,
    weights: F8,
    count: I8,
    lots: I8,
) -> int:
    """Set the lots that members who enter would hold at their desired leverage.

    Args:
        tick: present tick.
        owner: owner of the first member.
        instruments: (m,) instruments that members trade.
        lot_value: (K,) minor units of the numeraire.
        equity: (N,) of owners at the venue.
        n_entries, rows, signal: see ``DecisionArrays``.
        weights: (n, m) signed shares of the legs.
        count, lots: (1,) and (n, m) out, see ``PreviewArrays``.
    """
    count[0] = n_entries[0]
    for at in range(n_entries[0]):
        i = rows[at]
        value = abs(signal[at]) * equity[owner + i]
        for j in range(instruments.size):
            own = weights[i, j]
            lots[at, j] = size_order(abs(own) * value, lot_value[instruments[j]], np.sign(own))
    return 0


@kernel
def measure_gross(lots: I8, instruments: I8, lot_value: F8, weights: F8, is_whole: int) -> float:
    """Return the gross value of a book; zero if it is empty, or whole books only and a leg lacks.

    Args:
        lots: (m,) of the book.
        instruments: (m,) of the legs.
        lot_value: (K,) minor units of the numeraire.
        weights: (m,) signed shares of the legs.
        is_whole: 1 if every leg must have a lot.
    """
    gross = 0.0
    for j in range(lots.size):
        gross += abs(lots[j] * lot_value[instruments[j]])
        if is_whole and weights[j] != 0 and lots[j] == 0:
            return 0.0
    return gross


@kernel
def send_books(
    tick: int,
    orders: I8,
    counters: I8,
    owner: int,
    latency: int,
    instruments: I8,
    max_leverage: F8,
    lot_value: F8,
    mark: F8,
    max_price: I8,
    equity: F8,
    reference: float,
    elasticity: float,
    cap: float,
    slippage: float,
    choice: int,
    is_whole: int,
    scale: F8,
    has_tried: B1,
    n_entries: I8,
    rows: I8,
    signal: F8,
    weights: F8,
    lots: I8,
    required: F8,
) -> int:
    """Send all legs of the books of members who enter.

    Args:
        tick: present tick.
        orders, counters: orders of the step.
        owner: owner of the first member.
        latency: latency class.
        instruments: (m,) instruments that members trade.
        max_leverage, lot_value, mark, max_price: (K,) of all instruments.
        equity: (N,) of owners at the venue.
        reference, elasticity, cap, slippage: fields of the population.
        choice: leverage that the orders choose for positions.
        is_whole: 1 if a book is entered with all of its legs or not at all.
        scale, has_tried: see ``EntryState``.
        n_entries, rows, signal: see ``DecisionArrays``.
        weights: (n, m) signed shares of the legs.
        lots, required: (n, m) and (n,) books at the desired leverage, and their initial margin.
    """
    for at in range(n_entries[0]):
        i = rows[at]
        if signal[at] == 0:
            continue
        has_tried[i] = True
        gross = measure_gross(lots[at], instruments, lot_value, weights[i], is_whole)
        if gross == 0:
            continue
        admitted = gross / required[at] if required[at] > 0 else np.inf
        desired = abs(signal[at]) * respond_to_leverage(admitted, reference, elasticity)
        affordable = find_affordable_leverage(admitted, cap, slippage)
        leverage = np.minimum(desired, affordable) * scale[i]
        value = leverage * equity[owner + i]
        for j in range(instruments.size):
            own = weights[i, j]
            lots[at, j] = size_order(abs(own) * value, lot_value[instruments[j]], np.sign(own))
        if measure_gross(lots[at], instruments, lot_value, weights[i], is_whole) == 0:
            continue
        for j in range(instruments.size):
            k, leg = instruments[j], lots[at, j]
            if leg == 0:
                continue
            limit = limit_order(mark[k], np.sign(leg) * slippage, max_price[k])
            row = send_order(orders, counters, owner + i, k, leg, limit, IOC, 0, latency)
            if choice == HIGHEST:
                orders[row, LEVERAGE] = VENUE_MAX_LEVERAGE
            elif choice == WISHED:
                orders[row, LEVERAGE] = choose_position_leverage(
                    leverage, max_leverage[k], cap, slippage
                )
    return 0
