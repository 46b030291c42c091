"""Liquidation prices: where along one mark an account's own verdict turns."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from sim.liquidation.windows import Curve, sample_curve
from sim.types import F8, MISSING, Exposure, MarginAssessment

AssessFunction = Callable[[Exposure], MarginAssessment]

NEAR_DISTANCES = np.linspace(0.0, 1.0, 71)[1:] * np.log(2.0)
"""Logarithmic distances at which marks are tried within a half and twice the present one: one per cent apart."""

FAR_SHARES = np.linspace(0.0, 1.0, 41)[1:] ** 1.5
"""The same from there to the end of a side, as shares of that way."""

MIN_MARK_SHARE = 1e-6
"""The lowest mark tried above zero, as a share of the present one."""


NO_EXTRA_MARKS: F8 = np.empty(0)


class Crossings(NamedTuple):
    """The nearest roots of excess below and above the mark; NaN where there is none."""

    below: float  # ticks
    above: float  # ticks


class LiquidationTicks(NamedTuple):
    """The nearest whole ticks at which an account is liquidatable; NOBODY where there is none."""

    below: int
    above: int


def find_liquidation_prices(
    assess: AssessFunction, book: Exposure, leg: int, also: F8 = NO_EXTRA_MARKS
) -> Crossings:
    """Marks of one instrument at which excess (equity less maintenance) changes sign, all other marks as they are.

    The excess is the engine's own, with whatever fees it counts: no formula of a venue is needed, and tiers that are
    crossed on the way, other positions and collateral all have their say. Prices of an account that is liquidatable
    already are those at which it no longer would be. Marks are tried one per cent apart from a half to twice the
    present one and more coarsely beyond, and more densely wherever excess bends towards zero (:func:`sampled`); the
    root itself is Brent's.

    Args:
        assess: the engine's verdict, :meth:`sim.margin.engine.MarginEngine.assess`.
        book: one account.
        leg: the column of the instrument whose mark moves.
        also: marks to try beside those (ticks), where excess may jump: :func:`sim.margin.tiers.edges.find_tier_edges` times the
            mark.

    Returns:
        unrounded ticks between nil and the largest price.
    """
    excess = make_excess_function(assess, book, leg)
    mark = float(book.market.mark[leg])
    highest = max(float(book.market.contracts.max_price[leg]), mark)
    if mark < 1:  # an option that is worth nothing
        below = _find_nearest_root(excess, np.array([mark, 0.0])) if mark else float("nan")
        return Crossings(
            below, _find_nearest_root(excess, np.append(mark, highest ** (FAR_SHARES**2)))
        )
    up = mark * np.exp(_mark_distances(np.log(highest / mark)))
    down = np.append(mark * np.exp(-_mark_distances(-np.log(MIN_MARK_SHARE))), 0.0)
    up = np.sort(np.append(up, also[(also > mark) & (also < highest)]))
    down = np.sort(np.append(down, also[(also > 0) & (also < mark)]))[::-1]
    return Crossings(_find_nearest_root(excess, down), _find_nearest_root(excess, up))


def _mark_distances(furthest: float) -> F8:
    """Logarithmic distances from the mark at which to look, rising from zero."""
    near = NEAR_DISTANCES[furthest > NEAR_DISTANCES]
    start = float(near[-1]) if near.size else 0.0
    return np.concatenate([[0.0], near, start + FAR_SHARES * (furthest - start)])


def find_liquidation_ticks(
    assess: AssessFunction, book: Exposure, leg: int, also: F8 = NO_EXTRA_MARKS
) -> LiquidationTicks:
    """The first whole tick on each side of the mark at which a healthy account is liquidatable.

    Excess is at least nil one tick nearer to the mark, and below nil at the tick itself: exactly, for both are tried.
    NOBODY also if the account is liquidatable at its mark.
    """
    excess = make_excess_function(assess, book, leg)
    if excess(float(book.market.mark[leg])) < 0:
        return LiquidationTicks(MISSING, MISSING)
    mark, highest = int(book.market.mark[leg]), int(book.market.contracts.max_price[leg])
    below, above = find_liquidation_prices(assess, book, leg, also)
    return LiquidationTicks(
        _find_first_tick(excess, below, mark, 1),
        _find_first_tick(excess, above, mark, max(highest, mark)),
    )


def make_excess_function(
    assess: AssessFunction, book: Exposure, leg: int
) -> Callable[[float], float]:
    """Excess of one account as a function of one mark (ticks), minor units of the numeraire."""

    contracts = book.market.contracts
    sides = np.array(
        [name == contracts.names[leg] for name in contracts.names]
    )  # two of one mark in hedge mode

    def excess(price: float) -> float:
        market = book.market._replace(mark=np.where(sides, price, book.market.mark))
        return float(assess(book._replace(market=market)).excess[0])

    return excess


def _find_nearest_root(excess: Callable[[float], float], marks: F8) -> float:
    """The first change of sign along marks that lead away from the present one, which comes first."""
    curve: Curve = lambda prices: np.array([excess(float(price)) for price in prices])  # noqa: E731
    here = float(marks[0])
    x, y = sample_curve(curve, np.unique(marks))
    healthy = y >= 0
    if marks[-1] < here:
        x, healthy = x[::-1], healthy[::-1]
    turns = np.flatnonzero(healthy != healthy[0])
    if not turns.size:
        return float("nan")
    near, far = float(x[turns[0] - 1]), float(x[turns[0]])
    return float(brentq(excess, near, far, xtol=1e-12 * (here or 1.0), rtol=1e-14))


def _find_first_tick(excess: Callable[[float], float], root: float, mark: int, edge: int) -> int:
    """The first liquidatable tick on the way from a healthy mark over a root to the edge, by bisection."""
    if np.isnan(root):
        return MISSING
    away = 1 if edge > mark else -1
    bad, step = int(np.ceil(root) if away > 0 else np.floor(root)), 1
    while (edge - bad) * away > 0 and excess(
        bad
    ) >= 0:  # rounding may keep it healthy for some ticks more
        bad, step = bad + away * min(step, abs(edge - bad)), 2 * step
    if (edge - bad) * away < 0 or excess(bad) >= 0:
        return MISSING
    good, step = bad - away, 1
    while (good - mark) * away > 0 and excess(good) < 0:
        bad, good, step = good, good - away * min(step, abs(good - mark)), 2 * step
    while abs(bad - good) > 1:
        middle = (bad + good) // 2
        good, bad = (good, middle) if excess(middle) < 0 else (middle, bad)
    return bad
