"""The largest losses of many portfolios over many scenarios: what tails of samples are made of."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8

PAIR, FOUR = 2, 4
"""Portfolios, and columns, that are worked on together."""

GROUP = 16
"""Losses that are passed over together where none of them is large."""


def worst(exposure: F8 | I8, returns: F8, weights: F8) -> F8:
    """Weighted sum of each portfolio's largest losses, (A,), at least nil.

    Args:
        exposure: (A, U), finite.
        returns: (S, U), finite: what one unit gains in each scenario.
        weights: of the largest loss, the next, ..., (m,), m at most S.
    """
    units, losses = _padded(exposure, PAIR, FOUR), _padded(-returns.T, FOUR, 1)
    return np.maximum(tails(units, losses, weights)[: len(exposure)], 0.0)


def _padded(table: F8 | I8, rows: int, columns: int) -> F8:
    """A contiguous copy, brought to multiples of these by zeros, which add nothing."""
    height, width = table.shape
    whole = np.zeros((height + -height % rows, width + -width % columns))
    whole[:height, :width] = table
    return whole


@kernel
def tails(units: F8, losses: F8, weights: F8) -> F8:
    """Weighted sums of the largest of what portfolios (A, U) lose by losses per unit (U, S), (A,); shapes are padded.

    A pair of portfolios at a time, whose losses stay in the first cache. A loss is a sum over columns in their order,
    whatever the company and the processor, which a matrix product does not promise.
    """
    found, rows, whole = np.empty(len(units)), np.empty((PAIR, losses.shape[1])), losses.shape[1] // GROUP * GROUP
    top, scratch = np.empty(weights.size), np.empty(losses.shape[1] // 2)
    for start in range(0, len(units), PAIR):
        _add_up(units[start : start + PAIR], losses, rows)
        for i in range(PAIR):
            row = rows[i]
            top[:] = _bar(row, scratch, top.size)
            _sort_groups(row[:whole].reshape(-1, GROUP), top)
            _sort_in(row[whole:], top)
            found[start + i] = _weighed(top, weights)
    return found


@kernel
def _add_up(units: F8, losses: F8, rows: F8) -> None:
    """Fill ``rows`` (PAIR, S) with the sums over columns of units (PAIR, U) times losses (U, S)."""
    one, other = rows[0], rows[1]
    rows[:] = 0.0
    for u in range(0, units.shape[1], FOUR):
        a, b, c, d = units[0, u], units[0, u + 1], units[0, u + 2], units[0, u + 3]
        e, f, g, h = units[1, u], units[1, u + 1], units[1, u + 2], units[1, u + 3]
        p, q, r, t = losses[u], losses[u + 1], losses[u + 2], losses[u + 3]
        for s in range(one.size):
            w, x, y, z = p[s], q[s], r[s], t[s]
            one[s] = (((one[s] + a * w) + b * x) + c * y) + d * z
            other[s] = (((other[s] + e * w) + f * x) + g * y) + h * z


@kernel
def _bar(row: F8, scratch: F8, count: int) -> float:
    """A value that at least ``count`` entries of ``row`` reach, and few more; minus infinity of a short row.

    The row is folded upon itself, the larger of two being kept, while twice as many places as asked are left. They are
    different entries of it, so that the ``count``-th largest of them is no more than the ``count``-th largest of all.
    """
    size = row.size // 2
    if size < 2 * count:
        return -np.inf
    _fold(row[:size], row[size:], scratch[:size])
    while size // 2 >= 2 * count:
        size //= 2
        _fold(scratch[:size], scratch[size:], scratch[:size])
    bar, left = -np.inf, scratch[:size]
    for i in range(size):
        reach, value = 0, left[i]
        for j in range(size):
            reach += left[j] >= value
        if reach >= count and value > bar:
            bar = value
    return bar


@kernel
def _fold(low: F8, high: F8, larger: F8) -> None:
    for i in range(larger.size):
        x, y = low[i], high[i]
        larger[i] = x if x > y else y


@kernel
def _sort_groups(groups: F8, top: F8) -> None:
    """Sort in the groups (n, GROUP) that hold anything large enough, which is found without a branch per loss."""
    for g in range(groups.shape[0]):
        larger, last = 0, top[top.size - 1]
        for s in range(groups.shape[1]):
            larger += groups[g, s] > last
        if larger:
            _sort_in(groups[g], top)


@kernel
def _sort_in(losses: F8, top: F8) -> None:
    """Keep the largest of ``losses`` in ``top`` (m,), largest first.

    ``top`` begins at a value that at least m of all losses reach: where fewer exceed it, the others equal it.
    """
    for loss in losses:
        place = top.size - 1
        if loss > top[place]:
            while place > 0 and top[place - 1] < loss:
                top[place] = top[place - 1]
                place -= 1
            top[place] = loss


@kernel
def _weighed(top: F8, weights: F8) -> float:
    total = 0.0
    for i in range(top.size):
        if weights[i] != 0.0:  # a short row leaves minus infinity where nothing is asked
            total += weights[i] * top[i]
    return total
