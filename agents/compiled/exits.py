"""Kernels of leveraged traders' exits, and of their reactions to short headroom (AGT-1, AGT-7)."""

import numpy as np

from agents.compiled.leveraged import BASIS_POINT, limit_order
from sim.compiled.kernels.orders import send_order
from sim.numerics.account_sums import BLOCK
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MARKET, REDUCE_ONLY


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
