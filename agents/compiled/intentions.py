"""Kernel of slow traders whose intentions become orders near the price (AGT-2a)."""

import numpy as np

from agents.compiled.amounts import count_lots
from sim.arrays import U8
from sim.compiled.kernels.orders import send_order
from sim.numerics.compiled_draws import draw_four
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, LIMIT, MISSING


@kernel
def send_intentions(
    tick: int,
    orders: I8,
    counters: I8,
    latency: int,
    first: int,
    stream: U8,
    instrument: I8,
    position: I8,
    equity: F8,
    mark: F8,
    lot_value: F8,
    max_price: I8,
    drop_probability: float,
    return_probability: float,
    size: float,
    price_range: float,
    reveal_distance: float,
    last_tick: I8,
    side: I8,
    price: F8,
    target: I8,
    is_shown: B1,
    is_withdrawn: B1,
) -> int:
    """Update the intentions of all members, and send the orders of those near the mark.

    See ``agents.latent_liquidity``.

    Args:
        tick: present tick.
        orders, counters: of the step.
        latency: of all orders.
        first: owner of the first of n members.
        stream: key of the draws of decisions.
        instrument: (n,) global number of the instrument of each member.
        position: (K, N) lots.
        equity: (n,) minor units of the numeraire, at the venue.
        mark, lot_value, max_price: (K,) ticks, minor units of the numeraire, ticks.
        drop_probability, return_probability: per step.
        size, price_range, reveal_distance: fields of the population.
        last_tick: (1,) tick of the last update; MISSING = none.
        side, price, target, is_shown, is_withdrawn: (n,) see ``Intentions``.
    """
    is_first, last_tick[0] = last_tick[0] == MISSING, tick
    for block in range((instrument.size + 1) >> 1):
        draws = draw_four(block, tick, stream)
        for i in range(2 * block, min(2 * block + 2, instrument.size)):
            k = instrument[i]
            held, lane = position[k, first + i], 2 * (i & 1)
            if (target[i] - held) * side[i] <= 0:
                side[i] = 0
            changes = draws[lane] < (drop_probability if side[i] else return_probability)
            if changes or is_first:
                side[i], price[i] = choose_intention(draws[lane + 1], held, mark[k], price_range)
                price[i] = np.minimum(np.maximum(price[i], 1.0), float(max_price[k]))
                wanted = side[i] * count_lots(size * equity[i], lot_value[k])
                target[i] = wanted if held == 0 else 0
            is_near = side[i] != 0 and side[i] * (price[i] / mark[k] - 1) >= -reveal_distance
            is_withdrawn[i], is_shown[i] = is_shown[i] and not is_near, is_near
            if is_near or is_withdrawn[i]:
                quantity = max((target[i] - held) * side[i], 0) * side[i] if is_near else 0
                limit = int(np.maximum(price[i], 1.0))
                send_order(orders, counters, first + i, k, quantity, limit, LIMIT, 0, latency)
    return 0


@kernel
def choose_intention(place: float, held: int, mark: float, price_range: float) -> tuple[int, float]:
    """Return side and price of an intention, the price in ticks and not yet limited.

    Args:
        place: uniform draw.
        held: lots held.
        mark: ticks.
        price_range: farthest intention, share of the mark.
    """
    away = 2 * place - 1
    side = -np.sign(held) if held else (1 if away < 0 else -1)
    price = side * np.floor(side * mark * (1 - side * price_range * abs(away)))
    return side, price
