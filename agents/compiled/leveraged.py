"""Kernels of leveraged traders' decisions (AGT-1), called one after another in each step."""

from typing import NamedTuple, Self

import numpy as np

from agents.compiled.positions import find_flat
from sim.arrays import U8
from sim.compiled.arrays import LEVERAGE
from sim.compiled.kernels.orders import send_order
from sim.numerics.account_sums import BLOCK
from sim.numerics.compiled_draws import draw_blocks
from sim.numerics.jit import kernel
from sim.types import (
    B1,
    F8,
    I8,
    IOC,
    LEVERAGE_STEP,
    MARKET,
    REDUCE_ONLY,
    VENUE_MAX_LEVERAGE,
)

NO_CHOICE, WISHED, HIGHEST = range(3)
"""Leverage that an entry chooses for its position."""

ENTER, CHOICE, SIDE, LEAVE = range(4)
"""Draws of a member in a step: whether it enters, in which instrument, on which side, whether it
exits."""

BASIS_POINT = 1e-4


class DecisionArrays(NamedTuple):
    """Arrays with which the kernels of one population work in a step; n members, m instruments."""

    hazard: F8  # (m,) probability that a flat member enters
    side: F8  # (m,) side that all members would take, 0 = neither
    n_entries: I8  # (1,) members who enter, the first of the next four
    rows: I8  # (n,)
    columns: I8  # (n,) index of the instrument
    draw: F8  # (n,) uniform draw of the side
    signal: F8  # (n,) leverage desired at the reference leverage, + long
    most: F8  # (n,) leverage that another venue affords them, inf = any
    flat: B1  # (n,) without a position
    leaves: B1  # (n,) members who close their positions

    @classmethod
    def allocate(cls, members: int, instruments: int) -> Self:
        """Return the arrays of a population."""
        (rows, columns), (draw, signal) = (
            np.zeros((2, members), dtype=np.int64),
            np.zeros((2, members)),
        )
        return cls(
            hazard=np.zeros(instruments),
            side=np.zeros(instruments),
            n_entries=np.zeros(1, dtype=np.int64),
            rows=rows,
            columns=columns,
            draw=draw,
            signal=signal,
            most=np.full(members, np.inf),
            flat=np.zeros(members, dtype=np.bool_),
            leaves=np.zeros(members, dtype=np.bool_),
        )


@kernel
def draw_entries(
    tick: int,
    key: U8,
    owner: int,
    position: I8,
    instruments: I8,
    hazard: F8,
    exit_probability: float,
    first_entry: I8,
    is_waiting: B1,
    scale: F8,
    has_tried: B1,
    n_entries: I8,
    rows: I8,
    columns: I8,
    draw: F8,
    flat: B1,
    leaves: B1,
) -> int:
    """Draw the members who enter, with an instrument, and those who exit by time.

    Args:
        tick: present tick.
        key: key of the stream of draws.
        owner: owner of the first member.
        position: (K, N) lots.
        instruments: (m,) instruments that members trade.
        hazard: (m,) probability that a flat member enters.
        exit_probability: probability of an exit by time.
        first_entry: (n,) tick of the first entry of members who wait for it.
        is_waiting: (n,) members who have held no position since the start.
        scale: (n,) share of the desired size that is sent, halved after a failed entry.
        has_tried: (n,) members whose last entry is sent, False after.
        n_entries, rows, columns, draw, flat, leaves: see ``DecisionArrays``.
    """
    count, highest = 0, hazard.max()
    draws, may_enter = np.empty((4, BLOCK)), np.empty(BLOCK, dtype=np.bool_)
    for start in range(0, flat.size, BLOCK):
        members = min(BLOCK, flat.size - start)
        draw_blocks(start, members, tick, key, draws)
        here = slice(start, start + members)
        state = (flat[here], is_waiting[here])
        find_flat(owner + start, position, instruments, flat[here])
        update_members(
            exit_probability, draws[LEAVE], *state, scale[here], has_tried[here], leaves[here]
        )
        find_entrants(tick, highest, draws[ENTER], *state, first_entry[here], may_enter)
        for at in range(members):
            if may_enter[at]:
                i, column = start + at, np.int64(draws[CHOICE, at] * instruments.size)
                is_due = is_waiting[i] and first_entry[i] <= tick
                if is_due or draws[ENTER, at] < hazard[column]:
                    rows[count], columns[count], draw[count] = i, column, draws[SIDE, at]
                    count += 1
    n_entries[0] = count
    return 0


@kernel
def find_entrants(
    tick: int,
    highest: float,
    draw: F8,
    flat: B1,
    is_waiting: B1,
    first_entry: I8,
    may_enter: B1,
) -> None:
    """Find the members, (n,), whose first entry is due or whom the highest hazard makes enter."""
    for i in range(flat.size):
        is_due = is_waiting[i] & (first_entry[i] <= tick)
        may_enter[i] = flat[i] & (is_due | (draw[i] < highest))


@kernel
def update_members(
    exit_probability: float,
    draw: F8,
    flat: B1,
    is_waiting: B1,
    scale: F8,
    has_tried: B1,
    leaves: B1,
) -> None:
    """Update the state of members, (n,), before entries; see :func:`draw_entries`."""
    for i in range(flat.size):
        rescaled = scale[i] * (0.5 if has_tried[i] else 1.0)
        scale[i] = rescaled if flat[i] else 1.0
        has_tried[i], is_waiting[i] = False, is_waiting[i] & flat[i]
        leaves[i] = draw[i] < exit_probability


@kernel
def draw_sides(
    tick: int, long_share: float, target: F8, n_entries: I8, rows: I8, draw: F8, signal: F8
) -> int:
    """Set signals on a random side."""
    for at in range(n_entries[0]):
        signal[at] = (1.0 if draw[at] < long_share else -1.0) * target[rows[at]]
    return 0


@kernel
def follow_sides(
    tick: int, side: F8, target: F8, n_entries: I8, rows: I8, columns: I8, signal: F8
) -> int:
    """Set signals on the side of each instrument."""
    for at in range(n_entries[0]):
        signal[at] = side[columns[at]] * target[rows[at]]
    return 0


@kernel
def respond_to_leverage(admitted: float, reference: float, elasticity: float) -> float:
    """Return the factor by which desired leverage responds to the engine's leverage."""
    ratio = admitted / reference
    if elasticity == 0.0:
        return 1.0
    if elasticity == 1.0:
        return ratio
    response: float = np.sqrt(ratio) if elasticity == 0.5 else ratio**elasticity
    return response


@kernel
def list_responses(admitted: F8, reference: float, elasticity: float) -> F8:
    """Return the response to each leverage; see :func:`respond_to_leverage`."""
    responses = np.empty_like(admitted)
    for k in range(admitted.size):
        responses[k] = respond_to_leverage(admitted[k], reference, elasticity)
    return responses


@kernel
def find_affordable_leverage(admitted: float, cap: float, slippage: float) -> float:
    """Return the highest leverage that margin and the cost of slippage leave."""
    affordable: float = np.divide(1.0, np.divide(1.0, cap * admitted) + slippage)
    return affordable


@kernel
def size_order(value: float, lot: float, side: float) -> int:
    """Return the signed whole lots that a value buys, zero unless it is a positive number."""
    if np.isfinite(value) and value > 0 and lot > 0:
        return int(side) * int(min(value / lot, 2.0**53))
    return 0


@kernel
def limit_order(mark: float, slip: float, highest: int) -> int:
    """Return the limit at a signed distance from the mark, whole ticks from 1 to ``highest``."""
    return int(min(max(np.rint(mark * (1 + slip)), 1), highest))


@kernel
def choose_position_leverage(leverage: float, highest: float, cap: float, slippage: float) -> int:
    """Return the leverage chosen for a position of some size, hundredths (ISO-1).

    Args:
        leverage: value of the position, times equity.
        highest: highest leverage that the engine admits.
        cap: share of the leverage chosen that the position uses.
        slippage: worst entry accepted, distance from the mark.
    """
    # repeated halving may reduce the leverage to zero
    if not (leverage > 0 and np.divide(1.0, leverage) > slippage):
        return VENUE_MAX_LEVERAGE
    wanted = np.maximum(np.divide(1.0, cap * (np.divide(1.0, leverage) - slippage)), 1.0)
    if not wanted < highest:
        return VENUE_MAX_LEVERAGE
    return int(min(np.ceil(wanted / LEVERAGE_STEP), float(VENUE_MAX_LEVERAGE)))


@kernel
def list_position_leverages(leverage: F8, highest: F8, cap: float, slippage: float) -> I8:
    """Return the leverage chosen for each position; see :func:`choose_position_leverage`."""
    chosen = np.empty(leverage.size, dtype=np.int64)
    for i in range(leverage.size):
        chosen[i] = choose_position_leverage(leverage[i], highest[i], cap, slippage)
    return chosen


@kernel
def send_entries(
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
    scale: F8,
    has_tried: B1,
    n_entries: I8,
    rows: I8,
    columns: I8,
    signal: F8,
    most: F8,
) -> int:
    """Send the orders of members who enter.

    Args:
        tick: present tick.
        orders, counters: orders of the step.
        owner: owner of the first member.
        latency: latency class.
        instruments: (m,) instruments that members trade.
        max_leverage, lot_value, mark, max_price: (K,) of all instruments.
        equity: (N,) of owners at the venue.
        reference, elasticity, cap, slippage: fields of the population.
        choice: leverage that the order chooses for the position.
        scale, has_tried: see ``draw_entries``.
        n_entries, rows, columns, signal, most: see ``DecisionArrays``.
    """
    for at in range(n_entries[0]):
        i, k = rows[at], instruments[columns[at]]
        if signal[at] == 0:
            continue
        has_tried[i] = True
        admitted, side = max_leverage[k], np.sign(signal[at])
        desired = abs(signal[at]) * respond_to_leverage(admitted, reference, elasticity)
        affordable = np.fmin(find_affordable_leverage(admitted, cap, slippage), most[at])
        leverage = np.minimum(desired, affordable) * scale[i]
        lots = size_order(leverage * equity[owner + i], lot_value[k], side)
        if lots == 0:
            continue
        limit = limit_order(mark[k], side * slippage, max_price[k])
        row = send_order(orders, counters, owner + i, k, lots, limit, IOC, 0, latency)
        if choice == HIGHEST:
            orders[row, LEVERAGE] = VENUE_MAX_LEVERAGE
        elif choice == WISHED:
            orders[row, LEVERAGE] = choose_position_leverage(leverage, admitted, cap, slippage)
    return 0


@kernel
def stop_losses_of_equity(
    tick: int,
    stop: float,
    owner: int,
    position: I8,
    entry: I8,
    instruments: I8,
    lot_value: F8,
    quote_price: F8,
    equity: F8,
    leaves: B1,
) -> int:
    """Let members leave whose loss is beyond a share of the equity without it."""
    for i in range(leaves.size):
        gain = 0.0
        for k in instruments:
            paid = entry[k, owner + i] * quote_price[k]
            gain += position[k, owner + i] * lot_value[k] - paid
        stake = equity[owner + i] - gain
        share = -np.inf if gain < 0 else 0.0
        if stake > 0:
            share = gain / stake
        leaves[i] |= share <= -stop
    return 0


@kernel
def exit_at_levels(
    tick: int,
    take_profit: float,
    stop: float,
    owner: int,
    position: I8,
    entry: I8,
    instruments: I8,
    mark: F8,
    multiplier: I8,
    leaves: B1,
) -> int:
    """Let members leave whose position has a gain beyond take-profit or stop; inf = never."""
    for i in range(leaves.size):
        for k in instruments:
            held, paid = position[k, owner + i], float(entry[k, owner + i])
            value = held * (mark[k] * multiplier[k])
            gain = ((value / paid if paid != 0 else 1.0) - 1) * np.sign(held)
            leaves[i] |= gain >= take_profit or gain <= -stop
    return 0


@kernel
def send_exits(
    tick: int,
    orders: I8,
    counters: I8,
    owner: int,
    latency: int,
    position: I8,
    closing: I8,
    closes_flat: int,
    flat: B1,
    leaves: B1,
) -> int:
    """Send reduce-only market orders for the whole positions of members who leave.

    With ``closes_flat`` those without a position in the traded instruments close their hedges.
    """
    for start in range(0, leaves.size, BLOCK):
        here = slice(start, start + BLOCK)
        if not find_leavers(closes_flat, flat[here], leaves[here]):
            continue
        for i in range(start, min(start + BLOCK, leaves.size)):
            for k in closing if leaves[i] else closing[:0]:
                held = position[k, owner + i]
                if held != 0:
                    send_order(
                        orders, counters, owner + i, k, -held, 0, MARKET | REDUCE_ONLY, 0, latency
                    )
    return 0


@kernel
def find_leavers(closes_flat: int, flat: B1, leaves: B1) -> bool:
    """Let members without a position leave, too, if they close hedges; return if any leaves."""
    has_leavers = False
    for i in range(leaves.size):
        leaves[i] |= (closes_flat != 0) & flat[i]
        has_leavers |= leaves[i]
    return has_leavers


@kernel
def send_reactions(
    tick: int,
    orders: I8,
    counters: I8,
    owner: int,
    latency: int,
    seen: I8,
    n_kept: I8,
    kept: I8,
    mark: F8,
    max_price: I8,
    slippage: float,
    leaves: B1,
) -> int:
    """Send the orders of members short of headroom, except those who leave (AGT-7).

    Args:
        tick: present tick.
        orders, counters: orders of the step.
        owner: owner of the first member.
        latency: latency class.
        seen: (1,) tick at which the orders were kept.
        n_kept: (1,) number of orders.
        kept: (., 4) member, instrument, lots and kind of each.
        mark, max_price: (K,) ticks.
        slippage: worst hedge accepted, distance from the mark (basis points).
        leaves: (n,) members who close their positions.
    """
    if seen[0] != tick:
        return 0
    for at in range(n_kept[0]):
        i, k, lots, kind = kept[at, 0], kept[at, 1], kept[at, 2], kept[at, 3]
        if leaves[i]:
            continue
        limit = 0
        if kind < REDUCE_ONLY:
            limit = limit_order(mark[k], np.sign(lots) * slippage * BASIS_POINT, max_price[k])
        send_order(orders, counters, owner + i, k, lots, limit, kind, 0, latency)
    return 0
