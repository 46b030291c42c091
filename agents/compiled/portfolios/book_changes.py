"""Kernels of traders who change or leave a book of several positions (AGT-10)."""

import numpy as np

from agents.compiled.leveraged import ENTER, limit_order, size_order
from agents.compiled.portfolios.books import CHOICE
from sim.compiled.kernels.orders import send_order
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, IOC, MARKET, REDUCE_ONLY


@kernel
def find_busy(tick: int, seen: I8, n_kept: I8, kept: I8, is_busy: B1) -> int:
    """Find the members who react to short headroom in this step (AGT-7).

    Args:
        tick: present tick.
        seen, n_kept, kept: see ``agents.shared.capital_binding.KeptOrders``.
        is_busy: (n,) out.
    """
    is_busy[:] = False
    if seen[0] == tick:
        for at in range(n_kept[0]):
            is_busy[kept[at, 0]] = True
    return 0


@kernel
def change_books(
    tick: int,
    orders: I8,
    counters: I8,
    owner: int,
    latency: int,
    instruments: I8,
    position: I8,
    lot_value: F8,
    mark: F8,
    max_price: I8,
    slippage: float,
    band: float,
    probability: float,
    exit_share: float,
    keeps_gross: int,
    draws: F8,
    weights: F8,
    flat: B1,
    is_busy: B1,
    is_leaving: B1,
    leaves: B1,
) -> int:
    """Send exits of members who leave, and trades that restore the weights of books.

    Args:
        tick: present tick.
        orders, counters: orders of the step.
        owner: owner of the first member.
        latency: latency class.
        instruments: (m,) instruments that members trade.
        position: (K, N) lots.
        lot_value, mark, max_price: (K,) of all instruments.
        slippage: worst price accepted, distance from the mark.
        band: distance from the weights beyond which members act, share of gross value.
        probability: probability that such a member acts in a step.
        exit_share: probability that it then exits; otherwise it restores the weights.
        keeps_gross: 1 to keep the gross value of the book; 0 to complete its other legs to the
            largest.
        draws: (n, w) uniform.
        weights: (n, m) signed shares of the legs.
        flat: (n,) members without a position.
        is_busy: (n,) members who react to short headroom now.
        is_leaving: (n,) members who close what is left of their book, in place.
        leaves: (n,) members who decide to leave now; out, all who send exits.
    """
    for i in range(flat.size):
        is_leaving[i] |= leaves[i] and not flat[i]
        is_open = not (flat[i] or is_leaving[i] or is_busy[i])
        if is_open and draws[i, ENTER] < probability:
            held = position[:, owner + i]
            gross = find_book_value(held, instruments, lot_value, weights[i], keeps_gross)
            if measure_drift(held, instruments, lot_value, weights[i], gross) > band:
                if draws[i, CHOICE] < exit_share:
                    is_leaving[i] = True
                else:
                    for j in range(instruments.size):
                        k, own = instruments[j], weights[i, j]
                        wanted = size_order(abs(own) * gross, lot_value[k], np.sign(own))
                        gap = wanted - held[k]
                        if gap != 0:
                            limit = limit_order(mark[k], np.sign(gap) * slippage, max_price[k])
                            send_order(orders, counters, owner + i, k, gap, limit, IOC, 0, latency)
        leaves[i] = is_leaving[i]
        if is_leaving[i]:
            for k in instruments:
                lots = position[k, owner + i]
                if lots != 0:
                    kind = MARKET | REDUCE_ONLY
                    send_order(orders, counters, owner + i, k, -lots, 0, kind, 0, latency)
    return 0


@kernel
def find_book_value(
    held: I8, instruments: I8, lot_value: F8, weights: F8, keeps_gross: int
) -> float:
    """Return the gross value that a book is to have; see :func:`change_books`.

    Args:
        held: (K,) lots.
        instruments: (m,) of the legs.
        lot_value: (K,) minor units of the numeraire.
        weights: (m,) signed shares of the legs.
        keeps_gross: 1 for the present value; 0 for that at which the largest leg has its weight.
    """
    gross = 0.0
    for j in range(instruments.size):
        value = abs(held[instruments[j]] * lot_value[instruments[j]])
        if keeps_gross:
            gross += value
        elif weights[j] != 0:
            gross = max(gross, value / abs(weights[j]))
    return gross


@kernel
def measure_drift(held: I8, instruments: I8, lot_value: F8, weights: F8, gross: float) -> float:
    """Return how far a book is from its weights, share of its gross value; zero without weights.

    Args:
        held: (K,) lots.
        instruments: (m,) of the legs.
        lot_value: (K,) minor units of the numeraire.
        weights: (m,) signed shares of the legs.
        gross: gross value that the book is to have.
    """
    away, total = 0.0, 0.0
    for j in range(instruments.size):
        value = held[instruments[j]] * lot_value[instruments[j]]
        away += abs(value - weights[j] * gross)
        total += abs(weights[j])
    return away / gross if gross > 0 and total > 0 else 0.0
