"""Kernel of hedgers (AGT-10): a perpetual sold against a share of the spot that members own."""

import numpy as np

from agents.compiled.amounts import limit_price
from sim.arrays import U8
from sim.compiled.kernels.orders import send_order
from sim.numerics.compiled_draws import draw_one
from sim.numerics.jit import kernel
from sim.types import F8, I8, IOC


@kernel
def adjust_hedges(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    owner: int,
    perp: I8,
    spot: I8,
    spot_per_perp: F8,
    position: I8,
    mark: F8,
    max_price: I8,
    hedge_ratio: F8,
    band: float,
    probability: float,
    slippage: float,
    draws: F8,
) -> int:
    """Send orders of members whose hedge is away from its target by more than the band.

    Args:
        tick: present tick.
        orders, counters: orders of the step.
        latency: latency class.
        owner: owner of the first member.
        perp, spot: (m,) global numbers of the two instruments of each pair.
        spot_per_perp: (m,) lots of spot that one lot of the perpetual hedges.
        position: (K, N) lots.
        mark, max_price: (K,) ticks.
        hedge_ratio: (n,) share of its spot that each member hedges.
        band: distance from the target that is tolerated, share of the target.
        probability: probability that a member beyond the band acts in a step.
        slippage: worst price accepted, distance from the mark.
        draws: (n, 1) uniform.
    """
    for i in range(hedge_ratio.size):
        if not draws[i, 0] < probability:
            continue
        for m in range(perp.size):
            k, owned = perp[m], position[spot[m], owner + i]
            target = -int(np.trunc(hedge_ratio[i] * max(owned, 0) / spot_per_perp[m]))
            gap = target - position[k, owner + i]
            if gap != 0 and abs(gap) > band * abs(target):
                limit = limit_price(mark[k], np.sign(gap) * slippage, max_price[k])
                send_order(orders, counters, owner + i, k, gap, limit, IOC, 0, latency)
    return 0


@kernel
def draw_members(tick: int, key: U8, draws: F8) -> int:
    """Draw one number of each member."""
    for i in range(len(draws)):
        draws[i, 0] = draw_one(i, tick, key)
    return 0
