"""Kernels that unwind acquired positions in slices (AGT-4, AGT-5)."""

import numpy as np

from agents.compiled.amounts import limit_price
from agents.shared.unwinding import UNWIND_SLOT
from sim.compiled.kernels.orders import send_order
from sim.numerics.jit import kernel
from sim.types import F8, I8, IOC, REDUCE_ONLY

KIND = IOC | REDUCE_ONLY


@kernel
def send_slices(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    instruments: I8,
    position: I8,
    first: int,
    mark: F8,
    depth: F8,
    max_price: I8,
    share: float,
    participation: float,
    slippage: F8,
) -> int:
    """Send one reduce-only order per position; see ``agents.shared.unwinding``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        instruments: (m,) global numbers.
        position: (K, N) lots.
        first: owner of the first of n members.
        mark, depth, max_price: (K,) ticks, lots, ticks.
        share, participation: see ``UnwindPace``.
        slippage: (n,) worst price of each member, as a share of the mark away from it.
    """
    for i in range(slippage.size):
        for k in instruments:
            held = position[k, first + i]
            visible = 0.0 if np.isnan(depth[k]) else participation * depth[k]
            lots = np.int64(np.minimum(np.ceil(abs(held) * share), np.floor(visible)))
            quantity = -np.sign(held) * lots
            if quantity:
                limit = limit_price(mark[k], np.sign(quantity) * slippage[i], max_price[k])
                send_order(
                    orders, counters, first + i, k, quantity, limit, KIND, UNWIND_SLOT, latency
                )
    return 0
