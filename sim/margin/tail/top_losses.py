"""Largest losses of many portfolios over many scenarios, for the tails of samples."""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8

PORTFOLIO_BLOCK, COLUMN_BLOCK = 2, 4
"""Portfolios, and columns, that are processed together."""

LOSS_GROUP = 16
"""Losses that are skipped together if none of them is large."""


def sum_worst_losses(exposure: F8 | I8, returns: F8, weights: F8) -> F8:
    """Return the weighted sum of each portfolio's largest losses, (A,), >= 0.

    Args:
        exposure: (A, U), finite.
        returns: (S, U), finite: gain of one unit in each scenario.
        weights: weights of the largest loss, the next, ..., (m,), m at most S.
    """
    units, losses = (
        _pad_table(exposure, PORTFOLIO_BLOCK, COLUMN_BLOCK),
        _pad_table(-returns.T, COLUMN_BLOCK, 1),
    )
    return np.maximum(sum_tails(units, losses, weights)[: len(exposure)], 0.0)


def _pad_table(table: F8 | I8, rows: int, columns: int) -> F8:
    """Return a contiguous copy, padded with zeros to multiples of these sizes.

    Zeros do not change any sum.
    """
    height, width = table.shape
    whole = np.zeros((height + -height % rows, width + -width % columns))
    whole[:height, :width] = table
    return whole


@kernel
def sum_tails(units: F8, losses: F8, weights: F8) -> F8:
    """Return weighted sums of the largest losses of portfolios (A, U), (A,).

    Losses per unit are (U, S); shapes are padded. A pair of portfolios is processed at a time, so
    that its losses stay in the first cache. A loss is a sum over columns in their order, on any
    processor and whatever the other portfolios; a matrix product does not guarantee this.
    """
    sums = np.empty(len(units))
    rows = np.empty((PORTFOLIO_BLOCK, losses.shape[1]))
    whole = losses.shape[1] // LOSS_GROUP * LOSS_GROUP
    top, scratch = np.empty(weights.size), np.empty(losses.shape[1] // 2)
    for start in range(0, len(units), PORTFOLIO_BLOCK):
        _sum_columns(units[start : start + PORTFOLIO_BLOCK], losses, rows)
        for i in range(PORTFOLIO_BLOCK):
            row = rows[i]
            top[:] = _find_threshold(row, scratch, top.size)
            _insert_groups(row[:whole].reshape(-1, LOSS_GROUP), top)
            _insert_sorted(row[whole:], top)
            sums[start + i] = _weigh_losses(top, weights)
    return sums


@kernel
def _sum_columns(units: F8, losses: F8, rows: F8) -> None:
    """Fill ``rows`` with the products of units and losses.

    Shapes are (PORTFOLIO_BLOCK, S), (PORTFOLIO_BLOCK, U) and (U, S).
    """
    one, other = rows[0], rows[1]
    rows[:] = 0.0
    for u in range(0, units.shape[1], COLUMN_BLOCK):
        a, b = units[0, u], units[0, u + 1]
        c, d = units[0, u + 2], units[0, u + 3]
        e, f = units[1, u], units[1, u + 1]
        g, h = units[1, u + 2], units[1, u + 3]
        p, q = losses[u], losses[u + 1]
        r, t = losses[u + 2], losses[u + 3]
        for s in range(one.size):
            w = p[s]
            x = q[s]
            y = r[s]
            z = t[s]
            one[s] = (((one[s] + a * w) + b * x) + c * y) + d * z
            other[s] = (((other[s] + e * w) + f * x) + g * y) + h * z


@kernel
def _find_threshold(row: F8, scratch: F8, count: int) -> float:
    """Return a value that at least ``count`` entries of ``row`` reach, and few more.

    It is minus infinity for a short row. The row is folded repeatedly, keeping the larger of two
    entries, while twice as many places as required remain. The places are different entries of the
    row. Therefore the ``count``-th largest of them is at most the ``count``-th largest of all.
    """
    size = row.size // 2
    if size < 2 * count:
        return -np.inf
    _fold_larger(row[:size], row[size:], scratch[:size])
    while size // 2 >= 2 * count:
        size //= 2
        _fold_larger(scratch[:size], scratch[size:], scratch[:size])
    threshold, left = -np.inf, scratch[:size]
    for i in range(size):
        reach, value = 0, left[i]
        for j in range(size):
            reach += left[j] >= value
        if reach >= count and value > threshold:
            threshold = value
    return threshold


@kernel
def _fold_larger(low: F8, high: F8, larger: F8) -> None:
    for i in range(larger.size):
        x, y = low[i], high[i]
        larger[i] = x if x > y else y


@kernel
def _insert_groups(groups: F8, top: F8) -> None:
    """Sort in the groups (n, LOSS_GROUP) that hold a large loss.

    They are found without a branch per loss.
    """
    for g in range(groups.shape[0]):
        larger, last = 0, top[top.size - 1]
        for s in range(groups.shape[1]):
            larger += groups[g, s] > last
        if larger:
            _insert_sorted(groups[g], top)


@kernel
def _insert_sorted(losses: F8, top: F8) -> None:
    """Keep the largest of ``losses`` in ``top`` (m,), largest first.

    ``top`` starts at a value that at least m of all losses reach: if fewer exceed it, the others
    are equal to it.
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
        if weights[i] != 0.0:  # a short row leaves minus infinity where the weight is zero
            total += weights[i] * top[i]
    return total
