"""Kernels that match orders and post trades and their fees (phase 6)."""

import numpy as np

from sim.compiled.arrays import N_FILLS, N_ORDERS
from sim.compiled.kernels.prices import CALL_PYTHON
from sim.exchange import matching
from sim.exchange.matching import LOTS, MAKER, TAKER, TICKS, TRADED
from sim.exchange.order_ladder import HEADER, LIVE, ORDER, STRIDE
from sim.ledger import post_fill
from sim.numerics.jit import kernel
from sim.numerics.rounding import round_up_one
from sim.types import B1, I8, MISSING


@kernel
def check_room(tick: int, counters: I8, data: I8, fills: I8, instruments: int) -> int:
    """Call Python if the order books may have no room for the orders of the step."""
    most = data[LIVE] + counters[N_ORDERS]
    ladders = HEADER + instruments * data[STRIDE]
    has_room = len(fills) >= most and len(data) >= ladders + ORDER * most
    return 0 if has_room else CALL_PYTHON


@kernel
def find_replaced(
    tick: int,
    counters: I8,
    packed: I8,
    data: I8,
    chain: I8,
    replaced: I8,
    stood: I8,
    row_of_order: I8,
    passes: B1,
    reduces: B1,
) -> int:
    """Find the resting orders that the orders of the step would replace; all pass at first."""
    count = counters[N_ORDERS]
    row_of_order[:count] = MISSING
    passes[:count] = True
    reduces[:count] = False
    matching.find_replaced_orders(data, chain, packed[:count], replaced[:count])
    for row in range(count):
        stood[row] = replaced[row, 0]
    return 0


@kernel
def match_orders(
    tick: int,
    counters: I8,
    packed: I8,
    stood: I8,
    data: I8,
    resting: I8,
    chain: I8,
    delta: I8,
    position: I8,
    bands: I8,
    fills: I8,
) -> int:
    """Match the admitted orders."""
    count, report = counters[N_ORDERS], np.empty((1, 5), dtype=np.int64)
    counters[N_FILLS] = matching.match_orders(
        data, resting, chain, delta, position, bands, packed[:count], stood[:count], report, fills
    )
    return 0


@kernel
def settle_trades(
    tick: int,
    counters: I8,
    fills: I8,
    balance: I8,
    position: I8,
    entry: I8,
    pool: I8,
    settle: I8,
    multiplier: I8,
    sums: I8,
) -> int:
    """Post the trades, and sum them by instrument: see ``sim.step.trading.sum_trades``."""
    sums[:] = 0
    for row in range(counters[N_FILLS]):
        k, lots, price = fills[row, TRADED], fills[row, LOTS], fills[row, TICKS]
        post_fill(
            balance[settle[k], pool[k]],
            position[k],
            entry[k],
            fills[row, TAKER],
            fills[row, MAKER],
            lots,
            price * multiplier[k],
        )
        sums[0, k] += 1
        sums[1, k] += abs(lots)
        sums[2, k] += lots
        sums[3, k] += lots * price
    return 0


@kernel
def charge_fees(
    tick: int,
    counters: I8,
    fills: I8,
    first: int,
    stop: int,
    balance: I8,
    pool: I8,
    settle: I8,
    multiplier: I8,
    wallet_pool: int,
    taker_rate: float,
    maker_rate: float,
    external: int,
    account: int,
) -> int:
    """Charge the fees of a venue's trades; the external owner pays none (FEE-1)."""
    for row in range(counters[N_FILLS]):
        k = fills[row, TRADED]
        if k < first or k >= stop:
            continue
        notional = abs(fills[row, LOTS]) * fills[row, TICKS] * multiplier[k]
        for side in range(2):
            owner = fills[row, TAKER if side == 0 else MAKER]
            if owner != external:
                rate = taker_rate if side == 0 else maker_rate
                due = np.int64(round_up_one(notional * rate))
                balance[settle[k], pool[k], owner] -= due
                balance[settle[k], wallet_pool, account] += due
    return 0
