"""Kernel of liquidators (AGT-4): bids and offers for lots that a venue has on offer."""

import numpy as np

from agents.compiled.amounts import count_lots, sum_exposure
from sim.compiled.kernels.orders import send_order
from sim.numerics.account_sums import sum_pairwise
from sim.numerics.jit import kernel
from sim.types import F8, I8, POST_ONLY

MAX_LEVERAGE = 1e6
"""Largest leverage that a member counts with, where an engine admits more."""


@kernel
def share_offered_value(to_sell: I8, to_buy: I8, lot: F8) -> F8:
    """Return the share of each instrument in the value of lots on offer, (m,).

    Args:
        to_sell, to_buy: (m,) lots on offer.
        lot: (m,) value of a lot.
    """
    value = np.empty(2 * lot.size)
    for m in range(lot.size):
        value[2 * m], value[2 * m + 1] = to_sell[m] * lot[m], to_buy[m] * lot[m]
    total = sum_pairwise(value)
    shares = np.zeros(lot.size)
    if total > 0:
        for m in range(lot.size):
            shares[m] = value[2 * m] / total + value[2 * m + 1] / total
    return shares


@kernel
def send_bids(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    instruments: I8,
    position: I8,
    first: int,
    mark: F8,
    lot_value: F8,
    max_price: I8,
    max_leverage: F8,
    to_sell: I8,
    to_buy: I8,
    equity: F8,
    free_margin: F8,
    discount: F8,
    share: float,
    leverage: float,
    cap: float,
) -> int:
    """Send bids and offers of all members, zero lots where none are on offer.

    See ``agents.liquidators``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        instruments: (m,) global numbers.
        position: (K, N) lots.
        first: owner of the first of n members.
        mark, lot_value, max_price, max_leverage: (K,) ticks, minor units of the numeraire, ticks,
            and leverage that the engines admit.
        to_sell, to_buy: (K,) lots on offer.
        equity, free_margin: (n,) minor units of the numeraire, at the venue.
        discount: (n,) smallest discount a member accepts, share of the mark.
        share, leverage, cap: fields of the population.
    """
    shares = share_offered_value(to_sell[instruments], to_buy[instruments], lot_value[instruments])
    for i in range(discount.size):
        used = sum_exposure(position, first + i, instruments, lot_value)
        room = np.maximum(leverage * np.maximum(equity[i], 0.0) - used, 0.0)
        headroom = cap * np.maximum(free_margin[i], 0.0)
        for m in range(instruments.size):
            k = instruments[m]
            admitted = np.minimum(max_leverage[k], MAX_LEVERAGE)
            notional = np.minimum(room, headroom * admitted) * shares[m]
            affordable = count_lots(notional, lot_value[k])
            for slot in range(2):
                turn = 1 - 2 * slot
                offered = to_sell[k] if slot == 0 else to_buy[k]
                price = turn * np.floor(turn * (mark[k] * (1 - turn * discount[i])))
                quantity, limit = 0, 1
                if 1 <= price <= max_price[k]:
                    quantity = turn * int(min(np.ceil(share * offered), affordable))
                    limit = int(price)
                send_order(
                    orders, counters, first + i, k, quantity, limit, POST_ONLY, slot, latency
                )
    return 0
