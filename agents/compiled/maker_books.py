"""Kernels of makers whose inventory links the instruments that they quote (AGT-2)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8


@kernel
def track_correlations(
    tick: int,
    prices: F8,
    places: I8,
    prior: F8,
    decay: float,
    updated: I8,
    weight: F8,
    log_prices: F8,
    products: F8,
    correlation: F8,
) -> int:
    """Update the makers' own estimate of correlations by one more price of each, once a tick.

    The estimate is that of exponentially weighted products of log returns, whose mean is taken as
    zero. Its weight is the sum of the weights of all returns so far, and the rest is the prior. So
    the first returns hardly matter, and the result is a correlation matrix at any time.

    Args:
        tick: present tick.
        prices: prices of which those at ``places``, (m,), are tracked.
        places: (m,).
        prior: (m, m) correlations before the first return.
        decay: of the weights, per step.
        updated: (1,) tick of the last update.
        weight: (1,) sum of the weights of all returns; negative = no price yet.
        log_prices: (m,) last ones.
        products: (m, m) weighted products of returns.
        correlation: (m, m) out.
    """
    if updated[0] == tick:
        return 0
    updated[0] = tick
    is_first, new = weight[0] < 0, 1 - decay
    weight[0] = 0.0 if is_first else decay * weight[0] + new
    change = np.zeros(places.size)
    for m in range(places.size):
        log = np.log(prices[places[m]])
        change[m] = 0.0 if is_first else log - log_prices[m]
        log_prices[m] = log
    for m in range(places.size):
        for j in range(places.size):
            products[m, j] = decay * products[m, j] + new * (change[m] * change[j])
    for m in range(places.size):
        for j in range(places.size):
            scale, seen = np.sqrt(products[m, m] * products[j, j]), prior[m, j]
            if scale > 0:
                seen = products[m, j] / scale
            correlation[m, j] = prior[m, j] + weight[0] * (seen - prior[m, j])
    return 0


@kernel
def link_inventories(
    tick: int,
    n_rows: I8,
    vol: F8,
    correlation: F8,
    has_shared_limit: int,
    has_shared_reservation: int,
    inventory: F8,
    lean: F8,
    elsewhere: F8,
) -> int:
    """Find the inventories that shift prices, and those that use up a limit of the whole book.

    Args:
        tick: present tick.
        n_rows: (1,) members due to quote.
        vol: (m,) annualised volatilities.
        correlation: (m, m) of returns.
        has_shared_limit: 1 if the largest position is that of the whole book, otherwise 0.
        has_shared_reservation: 1 if prices shift by the risk of the whole book, otherwise 0.
        inventory: (n, m) shares of the largest position, -1 to 1.
        lean: (n, m) out; see ``agents.shared.maker_book.MakerBook``.
        elsewhere: (n, m) out, gross inventory in other instruments, share of the largest position.
    """
    for r in range(n_rows[0]):
        for m in range(vol.size):
            leaning, used = inventory[r, m], 0.0
            for j in range(vol.size):
                if j != m:
                    used += abs(inventory[r, j])
                    if vol[m] > 0 and vol[j] > 0:
                        beta = correlation[m, j] * (vol[j] / vol[m])
                        leaning += beta * inventory[r, j]
            lean[r, m] = leaning if has_shared_reservation else inventory[r, m]
            elsewhere[r, m] = used if has_shared_limit else 0.0
    return 0
