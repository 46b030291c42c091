"""Kernels of SPAN for instruments that move in proportion to an underlying."""

from collections.abc import Sequence

import numpy as np

from sim.margin.scenarios.grid_kernels import find_least_gain, sum_lots
from sim.numerics.jit import kernel
from sim.types import F8, I8


def number_legs(expiry_columns: Sequence[Sequence[I8]], count: int) -> tuple[I8, I8]:
    """Return the place of each leg's underlying, and of its expiry within it, (K,) each.

    Args:
        expiry_columns: columns by underlying and then by expiry.
        count: instruments.
    """
    group, expiry = np.zeros((2, count), dtype=np.int64)
    for number, expiries in enumerate(expiry_columns):
        for place, legs in enumerate(expiries):
            group[legs], expiry[legs] = number, place
    return group, expiry


@kernel
def fix_gains(tick: int, fixed: F8, is_fixed: I8, unit: float, table: F8) -> int:
    """Put published gains in place of computed ones, and round all of them to a unit unless 0."""
    for k in range(is_fixed.size):
        for s in range(len(table)):
            if is_fixed[k]:
                table[s, k] = fixed[s, k]
            if unit > 0:
                table[s, k] = np.rint(table[s, k] / unit) * unit
    return 0


@kernel
def charge_span(
    tick: int,
    count: I8,
    position: I8,
    table: F8,
    per_lot: F8,
    group: I8,
    expiry: I8,
    terms: F8,
    pairs: I8,
    spreads: F8,
    scale: float,
    initial: F8,
    maintenance: F8,
) -> int:
    """Write the margins of the accounts in use: see ``sim.margin.scenarios.span``.

    Args:
        tick: present tick.
        count, position, initial, maintenance: accounts.
        table: (S, K) gain of a lot.
        per_lot: see :func:`value_scenarios`.
        group: (K,) place of each leg's underlying.
        expiry: (K,) place of each leg's expiry among those of its underlying.
        terms: (G, 3) scan range, calendar charge and charge on short options of each underlying.
        pairs: (n, 2) underlyings of each credit.
        spreads: (n, 3) deltas of one spread, and the rate of the credit.
        scale: initial over maintenance.
    """
    accounts, groups = count[0], len(terms)
    held = position[:, :accounts]
    scans, credit = np.zeros((groups, accounts)), np.zeros((groups, accounts))
    for g in range(groups):
        scans[g] = np.maximum(-find_least_gain(held, table, np.flatnonzero(group == g)), 0.0)
    if len(pairs):
        credit_spreads(held, per_lot, group, terms, pairs, spreads, scans, credit)
    maintenance[:accounts] = 0.0
    for g in range(groups):
        risk = scans[g] - credit[g]
        if terms[g, 1]:
            legs = np.flatnonzero(group == g)
            risk += terms[g, 1] * charge_calendar(held, per_lot[1], legs, expiry)
        for a in range(accounts):
            # no option is short: the least charge is zero
            maintenance[a] += np.maximum(risk[a], 0.0) if terms[g, 2] else risk[a]
    for a in range(accounts):
        initial[a] = scale * maintenance[a]
    return 0


@kernel
def charge_calendar(position: I8, delta: F8, legs: I8, expiry: I8) -> F8:
    """Return the value of deltas that offset those of other expiries, (A,)."""
    long, short = np.zeros(position.shape[1]), np.zeros(position.shape[1])
    for number in range(expiry.size):
        own = legs[expiry[legs] == number]
        if own.size:
            value = sum_lots(position, delta, own, False)
            long += np.maximum(value, 0.0)
            short += np.maximum(-value, 0.0)
    return np.minimum(long, short)


@kernel
def credit_spreads(
    position: I8,
    per_lot: F8,
    group: I8,
    terms: F8,
    pairs: I8,
    spreads: F8,
    scans: F8,
    credit: F8,
) -> None:
    """Write the credit on the scan risk of each underlying, (G, A)."""
    left, per_delta = np.zeros_like(scans), np.zeros_like(scans)
    for g in range(len(scans)):
        legs = np.flatnonzero(group == g)
        left[g] = sum_lots(position, per_lot[2], legs, False)
        value = sum_lots(position, per_lot[1], legs, False)
        for a in range(value.size):
            if left[g, a] != 0:
                ranges = abs(value[a]) * terms[g, 0]
                per_delta[g, a] = np.minimum(scans[g, a], ranges) / abs(left[g, a])
    for n in range(len(pairs)):
        first, second = pairs[n]
        for a in range(scans.shape[1]):
            if left[first, a] * left[second, a] < 0:
                number = np.minimum(
                    abs(left[first, a]) / spreads[n, 0], abs(left[second, a]) / spreads[n, 1]
                )
                for side in range(2):
                    g, size = pairs[n, side], spreads[n, side]
                    credit[g, a] += spreads[n, 2] * number * size * per_delta[g, a]
                    left[g, a] -= np.sign(left[g, a]) * number * size
    credit[:] = np.minimum(credit, scans)
