"""Liquidation prices: where along one mark an account's own verdict turns."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from sim.types import F8, NOBODY, Exposure, Risk

Assess = Callable[[Exposure], Risk]

SPACING = np.linspace(0.0, 1.0, 80) ** 2
"""Where marks are tried on the logarithmic way to the end of a side: densely at first. A dip that shows between three
of them is looked into."""

LOWEST = 1e-6
"""The lowest mark tried above nil, as a share of the present one."""


class Crossings(NamedTuple):
    """The nearest roots of excess below and above the mark; NaN where there is none."""

    below: float  # ticks
    above: float  # ticks


class Ticks(NamedTuple):
    """The nearest whole ticks at which an account is liquidatable; NOBODY where there is none."""

    below: int
    above: int


def liquidation_price(assess: Assess, book: Exposure, leg: int) -> Crossings:
    """Marks of one instrument at which excess (equity less maintenance) changes sign, all other marks as they are.

    The excess is the engine's own, with whatever fees it counts: no formula of a venue is needed, and tiers that are
    crossed on the way, other positions and collateral all have their say. Prices of an account that is liquidatable
    already are those at which it no longer would be. A search in brackets by Brent's method.

    Args:
        assess: the engine's verdict, :meth:`sim.margin.engine.MarginEngine.assess`.
        book: one account.
        leg: the column of the instrument whose mark moves.

    Returns:
        unrounded ticks between nil and the largest price.
    """
    excess = along(assess, book, leg)
    mark = float(book.market.mark[leg])
    highest = max(float(book.market.contracts.max_price[leg]), mark)
    if not mark:  # an option that is worth nothing
        return Crossings(float("nan"), _nearest(excess, np.append(0.0, highest**SPACING)))
    down = np.append(mark * LOWEST**SPACING, 0.0)
    return Crossings(_nearest(excess, down), _nearest(excess, mark * (highest / mark) ** SPACING))


def liquidation_ticks(assess: Assess, book: Exposure, leg: int) -> Ticks:
    """The first whole tick on each side of the mark at which a healthy account is liquidatable.

    Excess is at least nil one tick nearer to the mark, and below nil at the tick itself: exactly, for both are tried.
    NOBODY also if the account is liquidatable at its mark.
    """
    excess = along(assess, book, leg)
    if excess(float(book.market.mark[leg])) < 0:
        return Ticks(NOBODY, NOBODY)
    mark, highest = int(book.market.mark[leg]), int(book.market.contracts.max_price[leg])
    below, above = liquidation_price(assess, book, leg)
    return Ticks(_whole(excess, below, mark, 1), _whole(excess, above, mark, max(highest, mark)))


def along(assess: Assess, book: Exposure, leg: int) -> Callable[[float], float]:
    """Excess of one account as a function of one mark (ticks), minor units of the numeraire."""

    def excess(price: float) -> float:
        return float(assess(book._replace(market=book.market.marked(leg, price))).excess[0])

    return excess


def _nearest(excess: Callable[[float], float], marks: F8) -> float:
    """The first change of sign along marks that lead away from the present one, which comes first."""
    healthy = excess(float(marks[0])) >= 0
    for near, far in _brackets(excess, marks, healthy):
        if (excess(far) >= 0) != healthy:
            return float(brentq(excess, near, far, xtol=1e-12 * float(marks[0] or 1.0), rtol=1e-14))
    return float("nan")


def _brackets(excess: Callable[[float], float], marks: F8, healthy: bool) -> Iterator[tuple[float, float]]:
    """Neighbouring marks, and the bottom of each dip that shows between them."""
    sign = 1.0 if healthy else -1.0
    before, now = float("inf"), sign * excess(float(marks[0]))
    for i in range(1, len(marks)):
        after = sign * excess(float(marks[i]))
        if now < before and now <= after and i > 1:
            ends = float(marks[[i - 2, i]].min()), float(marks[[i - 2, i]].max())
            yield float(marks[i - 2]), _bottom(lambda price: sign * excess(price), ends)
        yield float(marks[i - 1]), float(marks[i])
        before, now = now, after


def _bottom(depth: Callable[[float], float], ends: tuple[float, float]) -> float:
    """Where a dip is deepest."""
    return float(minimize_scalar(depth, bounds=ends, method="bounded", options={"maxiter": 40}).x)


def _whole(excess: Callable[[float], float], root: float, mark: int, edge: int) -> int:
    """The first liquidatable tick on the way from a healthy mark over a root to the edge, by bisection."""
    if np.isnan(root):
        return NOBODY
    away = 1 if edge > mark else -1
    bad, step = int(np.ceil(root) if away > 0 else np.floor(root)), 1
    while (edge - bad) * away > 0 and excess(bad) >= 0:  # rounding may keep it healthy for some ticks more
        bad, step = bad + away * min(step, abs(edge - bad)), 2 * step
    if (edge - bad) * away < 0 or excess(bad) >= 0:
        return NOBODY
    good, step = bad - away, 1
    while (good - mark) * away > 0 and excess(good) < 0:
        bad, good, step = good, good - away * min(step, abs(good - mark)), 2 * step
    while abs(bad - good) > 1:
        middle = (bad + good) // 2
        good, bad = (good, middle) if excess(middle) < 0 else (middle, bad)
    return bad
