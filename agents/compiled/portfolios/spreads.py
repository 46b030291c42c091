"""Kernels of relative-value traders (AGT-10): spreads of pairs, their legs and their exits."""

import numpy as np

from agents.shared.signals import standardise
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8

LEAST_BETA = 0.25
"""Least beta with which legs are weighed; its inverse is the largest."""


@kernel
def read_prices(
    tick: int, mark: F8, tick_size: F8, instruments: I8, first: I8, second: I8, prices: F8
) -> int:
    """Set the prices of instruments, and the ratio of each pair.

    Args:
        tick: present tick.
        mark, tick_size: (K,) ticks, and quote currency per tick.
        instruments: (m,) global numbers.
        first, second: (b,) columns of them, the legs of each pair.
        prices: (m + b,) out, quote currency and ratios.
    """
    m = instruments.size
    for j in range(m):
        prices[j] = mark[instruments[j]] * tick_size[instruments[j]]
    for c in range(first.size):
        prices[m + c] = prices[first[c]] / prices[second[c]]
    return 0


@kernel
def find_spreads(
    tick: int,
    threshold: float,
    over: float,
    probability: float,
    log_prices: F8,
    averages: F8,
    variance_weight: F8,
    mean_squares: F8,
    steps_per_year: F8,
    seconds_per_year: F8,
    spread: F8,
    hazard: F8,
    side: F8,
) -> int:
    """Measure the spread of each pair, and set the side against it and the hazard.

    Args:
        tick: present tick.
        threshold: spread that opens a pair, standard deviations.
        over: half-life of the average, seconds.
        probability: probability per step of an entry where the spread is wide enough.
        log_prices: (m + b,) of instruments and ratios.
        averages: (1, m + b).
        variance_weight, mean_squares, steps_per_year, seconds_per_year: see ``PriceScales``.
        spread: (b,) out, standard deviations of the ratio above its average.
        hazard, side: (b,) out, see ``DecisionArrays``.
    """
    legs = log_prices.size - spread.size
    for c in range(spread.size):
        place = legs + c
        spread[c] = standardise(
            log_prices[place] - averages[0, place],
            place,
            over,
            variance_weight,
            mean_squares,
            steps_per_year,
            seconds_per_year,
        )
        is_wide = abs(spread[c]) >= threshold
        side[c] = -np.sign(spread[c]) if is_wide else 0.0
        hazard[c] = probability if side[c] != 0 else 0.0
    return 0


@kernel
def estimate_beta(first: float, second: float, ratio: float) -> float:
    """Return the slope of returns of the first leg on those of the second, within bounds.

    The variance of the ratio is that of the legs less twice their covariance.

    Args:
        first, second, ratio: mean squares of log returns.
    """
    covariance = (first + second - ratio) / 2
    beta = covariance / second if second > 0 else 1.0
    return max(LEAST_BETA, min(beta, 1 / LEAST_BETA))


@kernel
def weigh_pairs(
    tick: int,
    uses_beta: int,
    first: I8,
    second: I8,
    mean_squares: F8,
    n_entries: I8,
    rows: I8,
    columns: I8,
    signal: F8,
    weights: F8,
) -> int:
    """Weigh the two legs of members who enter: of equal value, or such that their betas offset.

    Args:
        tick: present tick.
        uses_beta: 1 to weigh the second leg by beta, 0 for legs of equal value.
        first, second: (b,) columns of the legs of each pair.
        mean_squares: (m + b,) of log returns of instruments and ratios.
        n_entries, rows, columns, signal: see ``DecisionArrays``.
        weights: (n, m) out, signed shares.
    """
    legs = weights.shape[1]
    for at in range(n_entries[0]):
        i, c, side = rows[at], columns[at], np.sign(signal[at])
        beta = 1.0
        if uses_beta:
            one, other = mean_squares[first[c]], mean_squares[second[c]]
            beta = estimate_beta(one, other, mean_squares[legs + c])
        weights[i] = 0.0
        weights[i, first[c]] = side / (1 + beta)
        weights[i, second[c]] = -side * beta / (1 + beta)
    return 0


@kernel
def leave_converged(
    tick: int, threshold: float, first: I8, second: I8, spread: F8, weights: F8, leaves: B1
) -> int:
    """Let members leave whose spread has come back to its average, or gone beyond it.

    Args:
        tick: present tick.
        threshold: spread that closes a pair, standard deviations.
        first, second: (b,) columns of the legs of each pair.
        spread: (b,) standard deviations.
        weights: (n, m) signed shares of the legs, which identify the pair of a member.
        leaves: (n,) members who leave, in place.
    """
    for i in range(leaves.size):
        for c in range(spread.size):
            own = weights[i, first[c]]
            if own != 0 and weights[i, second[c]] != 0:
                leaves[i] |= np.sign(own) * spread[c] >= -threshold
    return 0
