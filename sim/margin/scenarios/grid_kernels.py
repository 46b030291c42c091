"""Kernels of margin by scenario grids, for instruments that move in proportion to an underlying.

Their volatility has no part in a scenario, and their delta is their price over the oracle's.
"""

import numpy as np

from sim.margin.compiled import MarginArrays
from sim.margin.scenarios.scenarios import sum_and_minimise
from sim.numerics.bound_kernels import Argument, BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8


def bind_linear_gains(
    arrays: MarginArrays, factors: F8, weights: F8, table: F8, per_lot: F8
) -> BoundKernel:
    """Return the kernel that values scenarios of linear instruments.

    Args:
        arrays: accounts and their market.
        factors: (S, K) price of each instrument's underlying in each scenario, over the present.
        weights: (S,) factors on gains and losses.
        table: (S, K) out, gain of a lot, minor units of the numeraire.
        per_lot: (3, K) out, see :func:`value_scenarios`.
    """
    terms, market = arrays.market.contracts, arrays.market
    money: tuple[Argument, ...] = (terms.multiplier, arrays.settle, arrays.price)
    units: tuple[Argument, ...] = (terms.tick, terms.lot, terms.underlying)
    prices = (arrays.mark, market.oracle)
    return bind_kernel(value_scenarios, *prices, *money, *units, factors, weights, table, per_lot)


@kernel
def value_scenarios(
    tick: int,
    mark: F8,
    oracle: F8,
    multiplier: I8,
    settle: I8,
    price: F8,
    tick_size: F8,
    lot: F8,
    underlying: I8,
    factors: F8,
    weights: F8,
    table: F8,
    per_lot: F8,
) -> int:
    """Write gains of one lot in each scenario, and what charges on deltas need.

    ``per_lot`` is the value of the underlying at the oracle, that of the delta, and the delta in
    units of the underlying.
    """
    for k in range(mark.size):
        spot = oracle[underlying[k]]
        tick_value = multiplier[k] * price[settle[k]]
        before = mark[k] * (spot / spot)
        for s in range(weights.size):
            moved = mark[k] * (factors[s, k] * spot / spot)
            table[s, k] = (moved - before) * tick_value * weights[s]
        delta = mark[k] * tick_size[k] / spot
        per_lot[0, k] = spot * (tick_value / tick_size[k])
        per_lot[1, k] = delta * per_lot[0, k]
        per_lot[2, k] = delta * lot[k]
    return 0


@kernel
def find_least_gain(position: I8, table: F8, legs: I8) -> F8:
    """Return the least gain over scenarios of accounts whose positions are (K, A), (A,)."""
    least: F8 = sum_and_minimise(position.T, table, legs, False)[1]
    return least


@kernel
def sum_lots(position: I8, per_lot: F8, legs: I8, is_gross: bool) -> F8:
    """Return totals of one value per lot (K,) over some legs, (A,), of accounts (K, A).

    Absolute positions and values are added if it is gross.
    """
    total = np.zeros(position.shape[1])
    for leg in legs:
        value = abs(per_lot[leg]) if is_gross else per_lot[leg]
        for a in range(total.size):
            lots = position[leg, a]
            total[a] += value * (abs(lots) if is_gross else lots)
    return total


@kernel
def charge_grid(
    tick: int,
    count: I8,
    position: I8,
    lot_value: F8,
    table: F8,
    per_lot: F8,
    group: I8,
    is_future: I8,
    shares: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see ``sim.margin.scenarios.grid``.

    Args:
        tick: present tick.
        count, position, lot_value, initial, maintenance: accounts.
        table: (S, K) gain of a lot.
        per_lot: see :func:`value_scenarios`.
        group: (K,) place of each leg's underlying.
        is_future: (K,) one for perpetuals and futures.
        shares: charges on offset futures, net delta and offset delta; initial and maintenance
            ratios; fee of closing.
    """
    accounts = count[0]
    held = position[:, :accounts]
    futures, net_delta, hedged_delta, initial_ratio, maintenance_ratio, fee = shares
    needed = np.zeros(accounts)
    for g in range(group.max() + 1):
        if futures:
            legs = np.flatnonzero((group == g) & (is_future != 0))
            needed += futures * find_offset(held, per_lot[0], legs)[1]
    for g in range(group.max() + 1):
        legs = np.flatnonzero(group == g)
        scan = -find_least_gain(held, table, legs)
        net, hedged = find_offset(held, per_lot[1], legs)
        for a in range(accounts):
            charge = net_delta * abs(net[a]) + hedged_delta * hedged[a]
            needed[a] += np.maximum(scan[a], charge)
    for a in range(accounts):
        provision = 0.0
        for k in range(len(position)):
            provision += abs(position[k, a] * lot_value[k])
        provision = fee * provision if fee else 0.0
        initial[a] = initial_ratio * needed[a] + provision
        maintenance[a] = maintenance_ratio * needed[a] + provision
    return 0


@kernel
def find_offset(position: I8, per_lot: F8, legs: I8) -> tuple[F8, F8]:
    """Return the net value of some legs, (A,), and the value that is offset, (A,)."""
    net = sum_lots(position, per_lot, legs, False)
    return net, (sum_lots(position, per_lot, legs, True) - np.abs(net)) / 2


def bind_standalone_shares(arrays: MarginArrays, table: F8, shares: F8) -> BoundKernel:
    """Return the kernel of ``scenarios.compute_standalone_shares`` for gains of a lot, (S, K)."""
    columns = (arrays.n_accounts, arrays.position, arrays.lot_value)
    return bind_kernel(share_standalone, *columns, table, shares)


@kernel
def share_standalone(
    tick: int, count: I8, position: I8, lot_value: F8, table: F8, shares: F8
) -> int:
    """Write each leg's share of the sum of the legs' worst standalone losses."""
    worst = np.zeros((2, lot_value.size))
    for k in range(lot_value.size):
        for s in range(len(table)):
            worst[0, k] = max(worst[0, k], -table[s, k])
            worst[1, k] = max(worst[1, k], table[s, k])
    for a in range(count[0]):
        for stand_in in range(3):
            total, is_any = 0.0, False
            for k in range(lot_value.size):
                lots = position[k, a]
                size = abs(lots) * worst[0 if lots > 0 else 1, k]
                if stand_in == 1:
                    size = abs(lots * lot_value[k])
                elif stand_in == 2:
                    size = float(abs(lots))
                shares[k, a] = size
                total += size
                is_any |= size > 0
            if is_any:
                break
        for k in range(lot_value.size):
            shares[k, a] = shares[k, a] / (total if total > 0 else 1.0)
    return 0
