"""Kernels of carry traders (AGT-1, LED-3): carry, what another venue affords, unhedged members."""

import numpy as np

from sim.compiled.arrays import N_PAYMENTS
from sim.compiled.kernels.payments import OWNER
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


@kernel
def average_carry(
    tick: int,
    perp: I8,
    mark: F8,
    index: F8,
    underlying: I8,
    tick_size: F8,
    funding: F8,
    opening_funding: float,
    first_payment: int,
    per_funding: F8,
    per_basis: F8,
    learn: float,
    average: F8,
) -> int:
    """Update the moving average of the carry.

    Args:
        tick: present tick.
        perp: (m,) perpetuals.
        mark, tick_size, funding: (K,) ticks, quote currency and rate of all instruments.
        index: (U,) quote currency.
        underlying: (K,).
        opening_funding: rate expected while the venue shows none, before ``first_payment``.
        first_payment: tick.
        per_funding: (m,) funding rates in a year.
        per_basis: (m,) mean holding times in a year.
        learn: weight of the newest carry.
        average: (m,) share per year.
    """
    for m in range(perp.size):
        k = perp[m]
        basis = mark[k] / (index[underlying[k]] / tick_size[k]) - 1
        is_unknown = funding[k] == 0 and tick < first_payment
        rate = opening_funding if is_unknown else funding[k]
        now = rate * per_funding[m] + basis * per_basis[m]
        average[m] = average[m] + learn * (now - average[m])
    return 0


@kernel
def find_paid_sides(
    tick: int,
    average: F8,
    threshold: float,
    can_short_spot: int,
    probability: float,
    hazard: F8,
    side: F8,
) -> int:
    """Set the side of each perpetual with enough carry, and its hazard.

    Args:
        tick: present tick.
        average: (m,) carry, share per year.
        threshold: carry that opens a position.
        can_short_spot: 1 if members also earn a negative carry.
        probability: probability per step of an entry where the carry is enough.
        hazard, side: (m,) out.
    """
    for m in range(average.size):
        enough = average[m] > threshold or (can_short_spot and average[m] < -threshold)
        side[m] = -np.sign(average[m]) if enough else 0.0
        hazard[m] = probability if side[m] != 0 else 0.0
    return 0


@kernel
def afford_both_legs(
    tick: int,
    owner: int,
    perp: I8,
    spot: I8,
    is_joint: int,
    cap: float,
    max_leverage: F8,
    perp_equity: F8,
    spot_equity: F8,
    n_entries: I8,
    rows: I8,
    columns: I8,
    most: F8,
) -> int:
    """Set the highest leverage that the venue of the spot leg affords members who enter.

    Args:
        tick: present tick.
        owner: owner of the first member.
        perp, spot: (m,) the two instruments of each pair.
        is_joint: 1 if one account pays for both legs.
        cap: most leverage used, share of the engine's highest.
        max_leverage: (K,) highest leverage that the engines admit.
        perp_equity, spot_equity: (N,) equity at the two venues.
        n_entries, rows, columns, most: see ``agents.compiled.leveraged.DecisionArrays``.
    """
    for at in range(n_entries[0]):
        i, m = owner + rows[at], columns[at]
        equity, twin = perp_equity[i], max_leverage[spot[m]]
        capital = cap * twin * np.maximum(spot_equity[i], 0.0)
        if is_joint:
            capital = np.divide(
                equity,
                np.divide(1.0, cap * twin) + np.divide(1.0, cap * max_leverage[perp[m]]),
            )
        most[at] = capital / equity if equity > 0 else 0.0
    return 0


@kernel
def check_hedges(
    tick: int,
    owner: int,
    perp: I8,
    spot: I8,
    ratio: F8,
    position: I8,
    lacks: B1,
    lacked_twice: B1,
) -> int:
    """Note the members who lack a hedge, and those who also lacked one in the step before.

    Args:
        tick: present tick.
        owner: owner of the first member.
        perp, spot, ratio: (m,) pairs, see ``agents.shared.hedging.HedgedPairs``.
        position: (K, N) lots.
        lacks, lacked_twice: (n,) members.
    """
    for i in range(lacks.size):
        is_hedged = has_all_hedges(owner + i, perp, spot, ratio, position)
        lacked_twice[i] = lacks[i] and not is_hedged
        lacks[i] = not is_hedged
    return 0


@kernel
def has_all_hedges(owner: int, perp: I8, spot: I8, ratio: F8, position: I8) -> bool:
    """Return True for an owner without a missing hedge."""
    is_hedged = True
    for m in range(perp.size):
        target = -int(np.trunc(position[perp[m], owner] * ratio[m]))
        is_hedged &= target == position[spot[m], owner]
    return is_hedged


@kernel
def leave_low_carry(
    tick: int,
    owner: int,
    perp: I8,
    position: I8,
    average: F8,
    threshold: float,
    lacked_twice: B1,
    leaves: B1,
) -> int:
    """Let members leave whose carry is below the exit, or whose hedge was not available.

    Args:
        tick: present tick.
        owner: owner of the first member.
        perp: (m,) perpetuals.
        position: (K, N) lots.
        average: (m,) carry, share per year.
        threshold: carry below which a position is closed.
        lacked_twice: (n,) members without a hedge for two steps.
        leaves: (n,) members who close their positions.
    """
    for i in range(leaves.size):
        leaves[i] |= lacked_twice[i]
        for m in range(perp.size):
            held = position[perp[m], owner + i]
            leaves[i] |= held != 0 and -np.sign(held) * average[m] < threshold
    return 0


@kernel
def open_hedged_accounts(
    tick: int,
    payments: I8,
    counters: I8,
    owner: int,
    perp: I8,
    spot: I8,
    ratio: F8,
    position: I8,
    is_open: B1,
) -> int:
    """Find the accounts of hedged perpetuals, of members without another payment.

    Args:
        tick: present tick.
        payments, counters: payments of the step.
        owner: owner of the first member.
        perp, spot, ratio: (m,) pairs, see ``agents.shared.hedging.HedgedPairs``.
        position: (K, N) lots.
        is_open: (n, m) out.
    """
    members = len(is_open)
    for i in range(members):
        is_hedged = has_all_hedges(owner + i, perp, spot, ratio, position)
        for m in range(perp.size):
            is_open[i, m] = is_hedged and position[perp[m], owner + i] != 0
    for row in range(counters[N_PAYMENTS]):
        i = payments[row, OWNER] - owner
        if 0 <= i < members:
            is_open[i] = False
    return 0
