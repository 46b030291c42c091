"""The largest losses of many portfolios over many scenarios: what tails of samples are made of."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8

PORTFOLIO_BLOCK, COLUMN_BLOCK = 2, 4
"""Portfolios, and columns, that are worked on together."""

LOSS_GROUP = 16
"""Losses that are passed over together where none of them is large."""


def sum_worst_losses(exposure: F8 | I8, returns: F8, weights: F8) -> F8:
    """Weighted sum of each portfolio's largest losses, (A,), at least nil.

    Args:
        exposure: (A, U), finite.
        returns: (S, U), finite: what one unit gains in each scenario.
        weights: of the largest loss, the next, ..., (m,), m at most S.
    """
    units, losses = (
        _pad_table(exposure, PORTFOLIO_BLOCK, COLUMN_BLOCK),
        _pad_table(-returns.T, COLUMN_BLOCK, 1),
    )
    return np.maximum(sum_tails(units, losses, weights)[: len(exposure)], 0.0)


def _pad_table(table: F8 | I8, rows: int, columns: int) -> F8:
    """A contiguous copy, brought to multiples of these by zeros, which add nothing."""
    height, width = table.shape
    whole = np.zeros((height + -height % rows, width + -width % columns))
    whole[:height, :width] = table
    return whole


@kernel
def sum_tails(units: F8, losses: F8, weights: F8) -> F8:
    """Weighted sums of the largest of what portfolios (A, U) lose by losses per unit (U, S), (A,); shapes are padded.

    A pair of portfolios at a time, whose losses stay in the first cache. A loss is a sum over columns in their order,
    whatever the company and the processor, which a matrix product does not promise.
    """
    found, rows, whole = (
        np.empty(len(units)),
        np.empty((PORTFOLIO_BLOCK, losses.shape[1])),
        losses.shape[1] // LOSS_GROUP * LOSS_GROUP,
    )
    top, scratch = np.empty(weights.size), np.empty(losses.shape[1] // 2)
    for start in range(0, len(units), PORTFOLIO_BLOCK):
        _sum_columns(units[start : start + PORTFOLIO_BLOCK], losses, rows)
        for i in range(PORTFOLIO_BLOCK):
            row = rows[i]
            top[:] = _find_threshold(row, scratch, top.size)
            _insert_groups(row[:whole].reshape(-1, LOSS_GROUP), top)
            _insert_sorted(row[whole:], top)
            found[start + i] = _weigh_losses(top, weights)
    return found


@kernel
def _sum_columns(units: F8, losses: F8, rows: F8) -> None:
    """Fill ``rows`` (PAIR, S) with the sums over columns of units (PAIR, U) times losses (U, S)."""
    one, other = rows[0], rows[1]
    rows[:] = 0.0
    for u in range(0, units.shape[1], COLUMN_BLOCK):
        a, b, c, d = units[0, u], units[0, u + 1], units[0, u + 2], units[0, u + 3]
        e, f, g, h = units[1, u], units[1, u + 1], units[1, u + 2], units[1, u + 3]
        p, q, r, t = losses[u], losses[u + 1], losses[u + 2], losses[u + 3]
        for s in range(one.size):
            w, x, y, z = p[s], q[s], r[s], t[s]
            one[s] = (((one[s] + a * w) + b * x) + c * y) + d * z
            other[s] = (((other[s] + e * w) + f * x) + g * y) + h * z


@kernel
def _find_threshold(row: F8, scratch: F8, count: int) -> float:
    """A value that at least ``count`` entries of ``row`` reach, and few more; minus infinity of a short row.

    The row is folded upon itself, the larger of two being kept, while twice as many places as asked are left. They are
    different entries of it, so that the ``count``-th largest of them is no more than the ``count``-th largest of all.
    """
    size = row.size // 2
    if size < 2 * count:
        return -np.inf
    _fold_larger(row[:size], row[size:], scratch[:size])
    while size // 2 >= 2 * count:
        size //= 2
        _fold_larger(scratch[:size], scratch[size:], scratch[:size])
    bar, left = -np.inf, scratch[:size]
    for i in range(size):
        reach, value = 0, left[i]
        for j in range(size):
            reach += left[j] >= value
        if reach >= count and value > bar:
            bar = value
    return bar


@kernel
def _fold_larger(low: F8, high: F8, larger: F8) -> None:
    for i in range(larger.size):
        x, y = low[i], high[i]
        larger[i] = x if x > y else y


@kernel
def _insert_groups(groups: F8, top: F8) -> None:
    """Sort in the groups (n, GROUP) that hold anything large enough, which is found without a branch per loss."""
    for g in range(groups.shape[0]):
        larger, last = 0, top[top.size - 1]
        for s in range(groups.shape[1]):
            larger += groups[g, s] > last
        if larger:
            _insert_sorted(groups[g], top)


@kernel
def _insert_sorted(losses: F8, top: F8) -> None:
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
def _weigh_losses(top: F8, weights: F8) -> float:
    total = 0.0
    for i in range(top.size):
        if weights[i] != 0.0:  # a short row leaves minus infinity where nothing is asked
            total += weights[i] * top[i]
    return total
