"""Kernels that collect, sort and pack the orders of a step (phase 4)."""

import numpy as np

from sim.arrays import U8
from sim.compiled.arrays import (
    INSTRUMENT,
    KIND,
    LATENCY,
    LEVERAGE,
    LIMIT,
    N_FILLS,
    N_ORDERS,
    N_PAYMENTS,
    OWNER,
    QUANTITY,
    SLOT,
)
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.exchange import matching
from sim.numerics.compiled_draws import draw_four
from sim.numerics.jit import kernel
from sim.numerics.sorting import sort_keys
from sim.step.orders import LEAST_LEVERAGE, PLACE_BITS, compute_reserve, pack_arrival_key
from sim.types import B1, F8, I8, MISSING
from sim.types import LIMIT as LIMIT_ORDER


@kernel
def send_order(
    orders: I8,
    counters: I8,
    owner: int,
    instrument: int,
    quantity: int,
    limit: int,
    kind: int,
    slot: int,
    latency: int,
) -> int:
    """Append one order to those of the step, and return its row."""
    row = counters[N_ORDERS]
    orders[row, OWNER], orders[row, INSTRUMENT] = owner, instrument
    orders[row, QUANTITY], orders[row, LIMIT] = quantity, limit
    orders[row, KIND], orders[row, SLOT] = kind, slot
    orders[row, LEVERAGE], orders[row, LATENCY] = 0, latency
    counters[N_ORDERS] = row + 1
    return row


@kernel
def begin_step(tick: int, counters: I8, paid: I8) -> int:
    """Begin a step: no order, fill or payment yet; cash moves since the assessment are kept."""
    counters[N_ORDERS] = counters[N_FILLS] = counters[N_PAYMENTS] = 0
    paid[:] = 0
    return 0


@kernel
def quote_spot(
    tick: int,
    orders: I8,
    counters: I8,
    external: int,
    first: int,
    columns: I8,
    half: float,
    index_ticks: F8,
    ask: F8,
    max_lots: I8,
) -> int:
    """Quote a venue's spot around the index for the external owner; see ``sim.step.orders``."""
    for turn in range(2):
        for side in range(2):
            for place in range(columns.size):
                column = columns[place]
                fair = index_ticks[column]
                low = np.int64(max(np.floor(fair * (1 - half)), 1.0))
                high = max(np.int64(np.ceil(fair * (1 + half))), low + 1)
                is_bid_first = low < ask[column]
                # a bid that reaches the last ask comes after the ask that replaces it
                if (side == 0) != (is_bid_first == (turn == 0)):
                    continue
                k = first + column
                lots, limit = (max_lots[k], int(low)) if side == 0 else (-max_lots[k], int(high))
                send_order(orders, counters, external, k, lots, limit, LIMIT_ORDER, side, 0)
    return 0


@kernel
def compute_index_ticks(tick: int, index: F8, underlying: I8, tick_size: F8, ticks: F8) -> int:
    """Compute the price of each instrument's underlying in ticks."""
    for k in range(ticks.size):
        ticks[k] = index[underlying[k]] / tick_size[k]
    return 0


@kernel
def set_bands(tick: int, oracle_ticks: F8, width: float, max_price: I8, bands: I8) -> int:
    """Set the lowest and highest price that may trade now, around the oracle (BOOK-1)."""
    for k in range(oracle_ticks.size):
        bands[k, 0] = np.int64(max(1.0, np.ceil(oracle_ticks[k] * (1 - width))))
        highest = np.floor(oracle_ticks[k] * (1 + width))
        bands[k, 1] = max_price[k] if width >= 1 else np.int64(min(float(max_price[k]), highest))
    return 0


@kernel
def sort_orders(
    tick: int,
    orders: I8,
    counters: I8,
    is_retired: B1,
    external: int,
    stream: U8,
    keys: I8,
    mark: F8,
    bands: I8,
    multiplier: I8,
    fee: F8,
    packed: I8,
    chosen: I8,
) -> int:
    """Pack the orders of participants who have not retired, in order of arrival (BOOK-2).

    If there are too many, or one chooses a leverage below one, the plain counterpart refuses them.
    """
    if counters[N_ORDERS] > 1 << PLACE_BITS:
        return CALL_PYTHON
    count, block, draws = 0, -1, (0.0, 0.0, 0.0, 0.0)
    for row in range(counters[N_ORDERS]):
        owner = orders[row, OWNER]
        if owner == external:
            keys[count] = pack_arrival_key(orders[row, LATENCY], 0.0, row)
        elif is_retired[owner]:
            continue
        else:
            if owner >> 2 != block:  # four owners share a block of draws
                block = owner >> 2
                draws = draw_four(block, tick, stream)
            keys[count] = pack_arrival_key(orders[row, LATENCY], draws[owner & 3], row)
        count += 1
    ordered = sort_keys(keys[:count], PLACE_BITS)
    for row in range(count):
        sent = orders[ordered[row] & ((1 << PLACE_BITS) - 1)]
        k, quantity = sent[INSTRUMENT], sent[QUANTITY]
        packed[row, matching.OWNER], packed[row, matching.INSTRUMENT] = sent[OWNER], k
        packed[row, matching.QUANTITY], packed[row, matching.PRICE] = quantity, sent[LIMIT]
        packed[row, matching.KIND], packed[row, matching.SLOT] = sent[KIND], sent[SLOT]
        packed[row, matching.RESERVE] = compute_reserve(
            quantity > 0, sent[LIMIT], sent[KIND], mark[k], bands[k], multiplier[k], fee[k]
        )
        packed[row, matching.CAUSE] = MISSING
        chosen[row] = sent[LEVERAGE]
        if sent[LEVERAGE] and sent[LEVERAGE] < LEAST_LEVERAGE:
            return CALL_PYTHON
    counters[N_ORDERS] = count
    return 0
