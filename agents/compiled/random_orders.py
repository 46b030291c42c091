"""Kernels of zero-intelligence traders: random limit orders about the mark."""

from sim.arrays import U8
from sim.compiled.kernels.orders import send_order
from sim.numerics.compiled_draws import draw_four
from sim.numerics.jit import kernel
from sim.types import F8, I8, LIMIT


@kernel
def choose_order(draw: float, mark: float, highest: int, ticks: int, lots: int) -> tuple[int, int]:
    """Return limit and signed lots, made from one draw.

    The first bit of a draw sets the side, the next bits the price and the rest the size.

    Args:
        draw: uniform draw.
        mark: ticks.
        highest: largest price, ticks.
        ticks: farthest price from the mark.
        lots: largest order.
    """
    side = 2 * draw
    away = (side if side < 1 else side - 1) * (2 * ticks + 1)
    size = int((away - int(away)) * lots) + 1
    limit = min(max(int(mark) + int(away) - ticks, 1), highest)
    return limit, size if side < 1 else -size


@kernel
def send_random_orders(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    first: int,
    stream: U8,
    instrument: I8,
    highest: I8,
    mark: F8,
    ticks: int,
    lots: int,
) -> int:
    """Send one order of each member; see ``agents.zero_intelligence``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        first: owner of the first of n members.
        stream: key of the draws of decisions.
        instrument, highest: (n,) global number, and largest price in ticks.
        mark: (K,) ticks.
        ticks, lots: see :func:`choose_order`.
    """
    for block in range((instrument.size + 3) >> 2):
        draws = draw_four(block, tick, stream)
        for i in range(4 * block, min(4 * block + 4, instrument.size)):
            k = instrument[i]
            limit, quantity = choose_order(draws[i & 3], mark[k], highest[i], ticks, lots)
            send_order(orders, counters, first + i, k, quantity, limit, LIMIT, 0, latency)
    return 0
