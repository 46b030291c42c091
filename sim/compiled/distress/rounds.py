"""Kernels of the liquidation rounds (phase 8, LIQ-1 to LIQ-5)."""

import numpy as np

from sim.arrays import U8
from sim.compiled.arrays import HAS_ACTED, HAS_FILLED, N_FILLS, NUMBER
from sim.compiled.kernels.accounts import EQUITY, MAINTENANCE
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.compiled.program import JUMP
from sim.exchange import matching
from sim.exchange.order_ladder import LIVE
from sim.numerics.compiled_draws import draw_one
from sim.numerics.jit import kernel
from sim.numerics.sorting import sort_stably
from sim.recording.event_tables import N_CLOSE_OUTS
from sim.types import B1, F8, I8, MISSING


@kernel
def begin_assessment(tick: int, round_state: I8) -> int:
    """Begin the assessment before the first round."""
    round_state[NUMBER] = MISSING
    return 0


@kernel
def begin_rounds(tick: int, round_state: I8) -> int:
    """Begin the rounds of a step."""
    round_state[NUMBER] = 0
    return 0


@kernel
def begin_round(tick: int, round_state: I8) -> int:
    """Begin a round."""
    round_state[HAS_ACTED] = round_state[HAS_FILLED] = 0
    return 0


@kernel
def value_ticks(tick: int, multiplier: I8, quote_price: F8, tick_value: F8) -> int:
    """Value a tick and lot of each instrument, (K,) minor units of the numeraire."""
    for k in range(tick_value.size):
        tick_value[k] = multiplier[k] * quote_price[k]
    return 0


@kernel
def begin_plan(tick: int, n_planned: I8) -> int:
    """Begin the plan of a venue."""
    n_planned[0] = 0
    return 0


@kernel
def find_liquidatable(
    tick: int,
    assessed: F8,
    since: I8,
    data: I8,
    resting: I8,
    chain: I8,
    first: int,
    instruments: int,
    rows: I8,
    n_rows: I8,
) -> int:
    """Find the liquidatable accounts of a pool and cancel their orders; jump if there are none."""
    count = 0
    for owner in range(since.size):
        if assessed[EQUITY, owner] < assessed[MAINTENANCE, owner]:
            rows[count] = owner
            count += 1
            if since[owner] == MISSING:
                since[owner] = tick
        else:
            since[owner] = MISSING
    n_rows[0] = count
    if not count:
        return JUMP
    for k in range(first, first + instruments):
        matching.cancel_owner_orders(data, resting, chain, k, rows[:count])
    return 0


@kernel
def check_room(
    tick: int, n_planned: I8, counters: I8, data: I8, fills: I8, counts: I8, close_outs: I8
) -> int:
    """Check the room for a venue's close-outs and their fills; jump if none are planned."""
    count = n_planned[0]
    if not count:
        return JUMP
    has_room = len(fills) >= counters[N_FILLS] + data[LIVE] + count
    return 0 if has_room and counts[N_CLOSE_OUTS] + count <= len(close_outs) else CALL_PYTHON


@kernel
def shuffle_close_outs(
    tick: int, round_state: I8, n_planned: I8, orders: I8, details: I8, keys: U8
) -> int:
    """Draw the order in which a venue's close-outs are matched."""
    count, key = n_planned[0], keys[round_state[NUMBER]]
    drawn = np.empty(count)
    for row in range(count):
        drawn[row] = draw_one(row, tick, key)
    order = sort_stably(drawn)
    sent, described = orders[:count].copy(), details[:count].copy()
    for row in range(count):
        for column in range(orders.shape[1]):
            orders[row, column] = sent[order[row], column]
        for column in range(details.shape[1]):
            details[row, column] = described[order[row], column]
    return 0


@kernel
def end_round(tick: int, round_state: I8, rounds: I8) -> int:
    """End the rounds if nothing was planned in this one."""
    if round_state[HAS_ACTED]:
        return 0
    rounds[tick - 1] = round_state[NUMBER]
    return JUMP


@kernel
def begin_next_round(tick: int, round_state: I8, max_rounds: int, rounds: I8) -> int:
    """Go on with another round unless nothing was filled in this one, or it was the last."""
    made = round_state[NUMBER] + 1
    rounds[tick - 1] = made
    if not round_state[HAS_FILLED] or made == max_rounds:
        return 0
    round_state[NUMBER] = made
    return JUMP


@kernel
def find_bankrupt(tick: int, assessed: F8, bankrupt_since: I8, is_offered: B1) -> int:
    """Note since when accounts are bankrupt; no lots are on offer yet."""
    is_offered[:] = False
    for owner in range(bankrupt_since.size):
        if not assessed[EQUITY, owner] < 0:
            bankrupt_since[owner] = MISSING
        elif bankrupt_since[owner] == MISSING:
            bankrupt_since[owner] = tick
    return 0


@kernel
def await_offers(tick: int, assessed: F8, is_offered: B1, fund: int) -> int:
    """Call the loss waterfall unless all bankrupt accounts wait for their lots to be sold.

    The fund does not wait (LIQ-3).
    """
    for owner in range(is_offered.size):
        if assessed[EQUITY, owner] < 0 and (owner == fund or not is_offered[owner]):
            return CALL_PYTHON
    return 0


@kernel
def publish_offers(
    tick: int, is_offered: B1, position: I8, is_spot: B1, to_sell: I8, to_buy: I8
) -> int:
    """Add the lots of a pool's accounts on public offer, (K,): see ``Venue.publish_auctions``."""
    for k in range(is_spot.size):
        for owner in range(0 if is_spot[k] else is_offered.size):
            if is_offered[owner]:
                to_sell[k] += max(position[k, owner], 0)
                to_buy[k] += max(-position[k, owner], 0)
    return 0


@kernel
def begin_offers(tick: int, to_sell: I8, to_buy: I8) -> int:
    """Offer nothing yet."""
    to_sell[:] = 0
    to_buy[:] = 0
    return 0
