"""Kernels of margin by the tail of a portfolio's loss (MAR-5)."""

import numpy as np

from sim.margin.leg_values import normalise_leg_shares
from sim.margin.tail.models.history import push_row, scale_row
from sim.margin.tail.risk_measures import weigh_sample_tail
from sim.margin.tail.top_losses import COLUMN_BLOCK, PORTFOLIO_BLOCK, sum_tails
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


@kernel
def compute_margined_value(position: I8, lot_value: F8, spot: B1) -> F8:
    """Return lots times their value, zero for long spot, (A, K)."""
    accounts, instruments = position.shape
    value = np.empty((instruments, accounts))
    for k in range(instruments):
        for a in range(accounts):
            lots = position[a, k]
            value[k, a] = 0.0 if spot[k] and lots > 0 else lots * lot_value[k]
    return value.T


@kernel
def margin_net_position(
    value: F8, leverage: F8, rates: F8, floor: float, ratio: float
) -> tuple[F8, F8]:
    """Return initial and maintenance of legs (A, K) of one underlying, (A,) each.

    The rate of the net side applies, and the margin is at least the floor.
    """
    accounts, instruments = value.shape
    initial, maintenance = np.empty(accounts), np.empty(accounts)
    for a in range(accounts):
        net, gross, chosen = 0.0, 0.0, 0.0
        for k in range(instruments):
            net += value[a, k]
            gross += abs(value[a, k])
            chosen += abs(value[a, k]) / leverage[a, k]
        required = np.maximum((rates[0] if net >= 0 else rates[1]) * abs(net), floor * gross)
        initial[a], maintenance[a] = np.maximum(required, chosen), ratio * required
    return initial, maintenance


@kernel
def net_by_underlying(value: F8, place: I8, underlyings: int) -> F8:
    """Return the sums of legs (A, K) by underlying, (A, U), in the order of the legs."""
    accounts, instruments = value.shape
    net = np.zeros((accounts, underlyings))
    for k in range(instruments):
        for a in range(accounts):
            net[a, place[k]] += value[a, k]
    return net


@kernel
def add_return(tick: int, returns: F8, columns: I8, seen: I8, sums: F8, stride: int) -> int:
    """Add the newest return to the sums, (U,); ask for the plain model where they are complete."""
    if tick - seen[0] != 1 or tick % stride == 0:
        return 1
    for u in range(sums.size):
        sums[u] += returns[tick - 1, columns[u]]
    seen[0] = tick
    return 0


@kernel
def learn_sample(
    tick: int,
    returns: F8,
    columns: I8,
    seen: I8,
    sums: F8,
    stride: int,
    store: F8,
    end: I8,
    n_returns: I8,
    needed: int,
    is_filtered: int,
    variance: F8,
    is_seeded: B1,
    decay: float,
    level: float,
    is_es: int,
    is_order: int,
    horizon_factor: float,
    floor: float,
    side_rates: F8,
    is_stale: B1,
) -> int:
    """Learn the newest return, and set the rates of a long and of a short of each underlying.

    The plain model learns while it has no variance. The arguments from ``store`` on are those of
    :class:`sim.margin.tail.models.base.SampleState`.
    """
    if tick - seen[0] != 1 or (tick % stride == 0 and not is_seeded[0]):
        return 1
    for u in range(sums.size):
        sums[u] += returns[tick - 1, columns[u]]
    seen[0] = tick
    if tick % stride:
        return 0
    push_row(store, end, scale_row(sums, variance, decay) if is_filtered else sums.copy())
    n_returns[0] += 1
    sums[:] = 0.0
    is_stale[0] = True
    if n_returns[0] < needed:
        return 0
    underlyings = sums.size
    exposure = np.zeros((2 * underlyings, underlyings))
    for u in range(underlyings):
        exposure[u, u], exposure[underlyings + u, u] = 1.0, -1.0
    losses = build_losses(store, end, is_filtered, variance)
    weights = weigh_sample_tail(losses.shape[1], level, is_es != 0, is_order != 0)
    tails = sum_tails(pad_exposure(exposure), losses, weights)
    for side in range(2):
        for u in range(underlyings):
            loss = np.maximum(tails[side * underlyings + u], 0.0)
            side_rates[side, u] = np.maximum(horizon_factor * loss, floor)
    return 0


@kernel
def build_losses(store: F8, end: I8, is_filtered: int, variance: F8) -> F8:
    """Return the losses of a unit of each underlying in a model's sample, (U, S) padded."""
    first = max(end[0] - len(store) // 2, 0)
    underlyings = variance.size
    losses = np.zeros((underlyings + -underlyings % COLUMN_BLOCK, end[0] - first))
    for u in range(underlyings):
        scale = np.sqrt(variance[u]) if is_filtered else 1.0
        for s in range(losses.shape[1]):
            losses[u, s] = -(store[first + s, u] * scale)
    return losses


@kernel
def pad_exposure(exposure: F8) -> F8:
    """Return portfolios (A, U), padded with zeros for :func:`sum_tails`."""
    accounts, underlyings = exposure.shape
    units = np.zeros(
        (accounts + accounts % PORTFOLIO_BLOCK, underlyings + -underlyings % COLUMN_BLOCK)
    )
    units[:accounts, :underlyings] = exposure
    return units


@kernel
def charge_net_positions(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    side_rates: F8,
    floor: float,
    ratio: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of accounts whose legs have one underlying, whose rates are (2, 1)."""
    accounts = count[0]
    value = compute_margined_value(position[:, :accounts].T, lot_value, is_spot)
    required = margin_net_position(value, leverage[:, :accounts].T, side_rates[:, 0], floor, ratio)
    initial[:accounts], maintenance[:accounts] = required
    return 0


@kernel
def charge_tails(
    tick: int,
    count: I8,
    position: I8,
    leverage: F8,
    lot_value: F8,
    is_spot: B1,
    place: I8,
    store: F8,
    end: I8,
    n_returns: I8,
    needed: int,
    is_filtered: int,
    variance: F8,
    is_seeded: B1,
    decay: float,
    level: float,
    is_es: int,
    is_order: int,
    horizon_factor: float,
    opening_rate: float,
    floor: float,
    ratio: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of accounts by a sample of the returns of several underlyings."""
    accounts = count[0]
    value = compute_margined_value(position[:, :accounts].T, lot_value, is_spot)
    net = net_by_underlying(value, place, variance.size)
    loss = np.zeros(accounts)
    if n_returns[0] < needed or not is_seeded[0]:
        for u in range(variance.size):
            for a in range(accounts):
                loss[a] += abs(net[a, u])
        loss *= opening_rate
    else:
        losses = build_losses(store, end, is_filtered, variance)
        weights = weigh_sample_tail(losses.shape[1], level, is_es != 0, is_order != 0)
        tails = sum_tails(pad_exposure(net), losses, weights)
        for a in range(accounts):
            loss[a] = horizon_factor * np.maximum(tails[a], 0.0)
    for a in range(accounts):
        gross, chosen = 0.0, 0.0
        for k in range(len(position)):
            size = abs(value[a, k])
            gross += size
            chosen += np.divide(size, leverage[k, a])
        required = np.maximum(loss[a], floor * gross)
        initial[a], maintenance[a] = np.maximum(required, chosen), ratio * required
    return 0


@kernel
def share_by_rates(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    is_spot: B1,
    place: I8,
    side_rates: F8,
    shares: F8,
) -> int:
    """Write each leg's share of the standalone margins: rates of sides of underlyings, (2, U)."""
    for k in range(len(position)):
        long, short = side_rates[0, place[k]], side_rates[1, place[k]]
        for a in range(count[0]):
            lots = position[k, a]
            value = 0.0 if is_spot[k] and lots > 0 else lots * lot_value[k]
            shares[k, a] = abs(value) * (long if value >= 0 else short)
    normalise_leg_shares(count[0], position, lot_value, shares)
    return 0
