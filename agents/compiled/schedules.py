"""Kernel of metaorders (AGT-2b): orders executed in equal parts over time."""

from agents.compiled.amounts import limit_price
from sim.compiled.kernels.orders import send_order
from sim.numerics.jit import kernel
from sim.types import F8, I8, IOC


@kernel
def send_parts(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    members: int,
    first: int,
    instrument: int,
    side: int,
    first_tick: int,
    targets: I8,
    position: I8,
    mark: F8,
    max_price: I8,
    slip: float,
) -> int:
    """Send one part of each member while the order is being executed; see ``agents.metaorder``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        members: number of them.
        first: owner of the first.
        instrument: global number.
        side: sign of the whole order.
        first_tick: tick of the first part.
        targets: (parts,) lots that are to be held after each part.
        position: (K, N) lots.
        mark, max_price: (K,) ticks.
        slip: signed distance of the limit from the mark, share.
    """
    number = tick - first_tick
    if number < 0 or number >= targets.size:
        return 0
    limit = limit_price(mark[instrument], slip, max_price[instrument])
    for owner in range(first, first + members):
        missing = targets[number] - position[instrument, owner]
        if missing * side > 0:
            send_order(orders, counters, owner, instrument, missing, limit, IOC, 0, latency)
    return 0
