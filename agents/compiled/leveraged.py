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
