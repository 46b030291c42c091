"""Kernels of arbitrageurs (AGT-3): perpetual legs, and hedges in spot."""

import numpy as np

from agents.base import BASIS_POINT
from agents.compiled.amounts import count_lots, limit_price, sum_exposure
from sim.arrays import U8
from sim.compiled.kernels.orders import send_order
from sim.numerics.compiled_draws import draw_one
from sim.numerics.jit import kernel
from sim.types import F8, I8, IOC, REDUCE_ONLY


@kernel
def send_hedges(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    members: int,
    first: int,
    perp: I8,
    spot: I8,
    ratio: F8,
    position: I8,
    index: F8,
    underlying: I8,
    tick_size: F8,
    max_price: I8,
    slippage: float,
) -> int:
    """Send orders for the missing lots of spot; see ``agents.shared.hedging.HedgedPairs``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        members: number of them.
        first: owner of the first.
        perp, spot: (m,) global numbers of the two instruments of each pair.
        ratio: (m,) lots of spot that hedge one lot of the perpetual.
        position: (K, N) lots.
        index: (U,) quote currency.
        underlying, tick_size, max_price: (K,) of all instruments.
        slippage: largest distance from the index, basis points.
    """
    for owner in range(first, first + members):
        for m in range(perp.size):
            k = spot[m]
            target = -int(position[perp[m], owner] * ratio[m])
            missing = target - position[k, owner]
            if missing:
                fair = index[underlying[k]] / tick_size[k]
                slip = np.sign(missing) * slippage * BASIS_POINT
                limit = limit_price(fair, slip, max_price[k])
                send_order(orders, counters, owner, k, missing, limit, IOC, 0, latency)
    return 0


@kernel
def send_legs(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    first: int,
    stream: U8,
    probability: float,
    entry_basis: F8,
    exit_basis: float,
    perp: I8,
    spot: I8,
    ratio: F8,
    position: I8,
    index: F8,
    underlying: I8,
    tick_size: F8,
    max_price: I8,
    mark: F8,
    lot_value: F8,
    max_leverage: F8,
    perp_equity: F8,
    spot_equity: F8,
    perp_margin: F8,
    spot_margin: F8,
    leverage: float,
    cap: float,
    max_step_share: float,
) -> int:
    """Send the perpetual legs of the members who react; see ``agents.arbitrageurs``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        first: owner of the first of n members.
        stream: key of the draws of decisions.
        probability: that a member reacts in a step.
        entry_basis: (n,) basis that opens a position, share.
        exit_basis: basis that limits entries and closes positions, basis points.
        perp, spot, ratio: see :func:`send_hedges`.
        position, index, underlying, tick_size, max_price: see :func:`send_hedges`.
        mark, lot_value: (K,) ticks, and minor units of the numeraire.
        max_leverage: (K,) that the engines admit.
        perp_equity, spot_equity, perp_margin, spot_margin: (n,) equity and free margin of the
            members at the two venues, minor units of the numeraire.
        leverage, cap, max_step_share: fields of the population.
    """
    for i in range(entry_basis.size):
        if not draw_one(i, tick, stream) < probability:
            continue
        owner = first + i
        capital = np.maximum(np.minimum(perp_equity[i], spot_equity[i]), 0.0)
        headroom = np.minimum(perp_margin[i], spot_margin[i])
        used = sum_exposure(position, owner, perp, lot_value)
        for m in range(perp.size):
            k, twin = perp[m], spot[m]
            held, lot = position[k, owner], lot_value[k]
            fair = index[underlying[k]] / tick_size[k]
            basis = mark[k] / fair - 1
            against, side, size = -np.sign(basis), np.sign(held), abs(basis)
            opens = size > entry_basis[i] and side * against >= 0
            closes = side != 0 and side * against * size < exit_basis * BASIS_POINT
            if not (opens or closes):
                continue
            times = np.fmin(leverage, cap * np.fmin(max_leverage[k], max_leverage[twin]))
            most = times * capital
            unhedged = abs(held + position[twin, owner] / ratio[m]) * lot
            step = max_step_share * most
            room = 0.0
            if unhedged <= step + lot / ratio[m]:
                room = np.minimum(most - used, headroom * times) - unhedged
            if opens:
                quantity = int(count_lots(np.minimum(step, room), lot) * against)
            else:
                quantity = -side * min(abs(held), max(count_lots(step, lot), 1))
            if quantity:
                premium = -against if opens else -float(side)
                limit = limit_price(fair, premium * exit_basis * BASIS_POINT, max_price[k])
                kind = IOC if opens else IOC | REDUCE_ONLY
                send_order(orders, counters, owner, k, quantity, limit, kind, 0, latency)
    return 0
