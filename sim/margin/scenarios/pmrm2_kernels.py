"""Kernels of Derive's portfolio margin for instruments that move in proportion."""

import numpy as np

from sim.margin.compiled import MarginArrays
from sim.margin.scenarios.grid_kernels import sum_lots
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8


def bind_moves(arrays: MarginArrays, moves: F8, table: F8, spot: F8) -> BoundKernel:
    """Return the kernel that writes gains of one lot, (S, K), and values of underlyings, (K,)."""
    contracts = arrays.market.contracts
    money = (contracts.multiplier, contracts.tick, arrays.settle, arrays.price)
    prices = (arrays.mark, arrays.market.oracle, contracts.underlying)
    return bind_kernel(value_moves, *prices, *money, moves, table, spot)


@kernel
def value_moves(
    tick: int,
    mark: F8,
    oracle: F8,
    underlying: I8,
    multiplier: I8,
    tick_size: F8,
    settle: I8,
    price: F8,
    moves: F8,
    table: F8,
    spot: F8,
) -> int:
    """Write the gain of a lot in each scenario, (S, K), and the value of its underlying, (K,)."""
    for k in range(mark.size):
        now = oracle[underlying[k]]
        tick_value = multiplier[k] * price[settle[k]]
        before = mark[k] * (now / now) * tick_value
        for s in range(moves.size):
            moved = mark[k] * ((1.0 + moves[s]) * now / now) * tick_value
            table[s, k] = moved - before
        spot[k] = now * tick_value / tick_size[k]
    return 0


@kernel
def charge_pmrm(
    tick: int,
    count: I8,
    position: I8,
    balance: I8,
    pool: int,
    price: F8,
    table: F8,
    spot: F8,
    moves: F8,
    weights: F8,
    numbers: I8,
    underlying: I8,
    is_linear: I8,
    follows: I8,
    collateral: I8,
    confidence: F8,
    shares: F8,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see ``sim.margin.scenarios.derive_pmrm2``.

    Args:
        tick: present tick.
        count, position, balance, pool, price, initial, maintenance: accounts.
        table: (S, K) gain of a lot in each scenario.
        spot: (K,) value of the underlying of one lot at the oracle.
        moves, weights: (S,) of the scenarios.
        numbers: (G,) underlyings.
        underlying, is_linear: (K,) of each leg.
        follows: (C,) underlying with which an asset moves, MISSING if with none.
        collateral: assets that the rule names.
        confidence: (U,) of oracles.
        shares: initial and maintenance over the worst loss; initial and maintenance charge on
            perpetuals; confidence below which doubt is charged, and its factor.
    """
    accounts = count[0]
    held = position[:, :accounts]
    initial_factor, kept, perp_initial, perp_kept, least, doubt_factor = shares
    initial[:accounts] = 0.0
    maintenance[:accounts] = 0.0
    surest = 1.0
    for number in numbers:
        surest = min(surest, confidence[number])
    for asset in collateral:
        rate = find_doubt(surest, least, doubt_factor)
        for a in range(accounts):
            initial[a] += rate * np.maximum(balance[asset, pool, a] * price[asset], 0.0)
    for number in numbers:
        gain = find_worst_gain(
            held,
            balance,
            pool,
            price,
            table,
            moves,
            weights,
            underlying,
            follows,
            collateral,
            number,
        )
        legs = np.flatnonzero((underlying == number) & (is_linear != 0))
        perps = sum_lots(np.abs(held), spot, legs, False)
        rate = find_doubt(confidence[number], least, doubt_factor)
        for a in range(accounts):
            loss = -np.minimum(gain[a], 0.0)
            maintenance[a] += kept * loss + perp_kept * perps[a]
            initial[a] += initial_factor * loss + (perp_initial * perps[a] + rate * perps[a])
    return 0


@kernel
def find_doubt(confidence: float, least: float, factor: float) -> float:
    """Return the charge on what an oracle values with a confidence."""
    return (1.0 - confidence) * factor if confidence < least else 0.0


@kernel
def find_worst_gain(
    position: I8,
    balance: I8,
    pool: int,
    price: F8,
    table: F8,
    moves: F8,
    weights: F8,
    underlying: I8,
    follows: I8,
    collateral: I8,
    number: int,
) -> F8:
    """Return the least gain of accounts (K, A) over the scenarios of one underlying, (A,)."""
    accounts = position.shape[1]
    worst, gain = np.full(accounts, np.inf), np.empty(accounts)
    for s in range(moves.size):
        gain[:] = 0.0
        for k in range(underlying.size):
            if underlying[k] == number:
                for a in range(accounts):
                    gain[a] += table[s, k] * position[k, a]
        for asset in collateral:
            if follows[asset] == number:
                for a in range(accounts):
                    gain[a] += moves[s] * (balance[asset, pool, a] * price[asset])
        for a in range(accounts):
            worst[a] = min(worst[a], gain[a] * weights[s])
    return worst


@kernel
def weigh_gains(tick: int, weights: F8, table: F8) -> int:
    """Multiply the gains of a lot, (S, K), by the weights of scenarios."""
    for s in range(weights.size):
        table[s] *= weights[s]
    return 0
