"""Liquidation prices: marks of one instrument at which an account becomes liquidatable."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.liquidation.windows import Curve, sample_curve
from sim.types import F8, MISSING, Exposure, MarginAssessment

AssessFunction = Callable[[Exposure], MarginAssessment]

NEAR_DISTANCES = np.linspace(0.0, 1.0, 71)[1:] * np.log(2.0)
"""Logarithmic distances of the marks tried between half and twice the present mark, 1% apart."""

FAR_SHARES = np.linspace(0.0, 1.0, 41)[1:] ** 1.5
"""Positions of the marks tried beyond that range, as shares of the way to the end of a side."""

MIN_MARK_SHARE = 1e-6
"""Lowest mark above zero that is tried, as a share of the present mark."""


NO_EXTRA_MARKS: F8 = np.empty(0)


class Crossings(NamedTuple):
    """Nearest roots of excess below and above the mark; NaN where there is none."""

    below: float  # ticks
    above: float  # ticks


class LiquidationTicks(NamedTuple):
    """Nearest whole ticks at which an account is liquidatable; MISSING where there is none."""

    below: int
    above: int


def find_liquidation_prices(
    assess: AssessFunction, account: Exposure, leg: int, also: F8 = NO_EXTRA_MARKS
) -> Crossings:
    """Return the marks of one instrument at which excess changes sign, all other marks unchanged.

    Excess is equity less maintenance as the engine computes it, with the fees it counts. No formula
    of a venue is needed: tiers crossed on the way, other positions and collateral are all included.
    For an account that is already liquidatable the prices are those at which it no longer is. Marks
    are tried 1% apart from a half to twice the present mark, more coarsely beyond, and more densely
    where excess bends towards zero (:func:`sim.liquidation.windows.sample_curve`). Brent's method
    finds the root itself.

    Args:
        assess: the engine's assessment, :meth:`sim.margin.engine.MarginEngine.assess`.
        account: one account.
        leg: the column of the instrument whose mark moves.
        also: marks to try beside those (ticks), where excess may jump:
            :func:`sim.margin.tiers.edges.find_tier_edges` times the mark.

    Returns:
        Unrounded ticks between zero and the largest price.
    """
    excess = make_excess_function(assess, account, leg)
    mark = float(account.market.mark[leg])
    highest = max(float(account.market.contracts.max_price[leg]), mark)
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
    """Return the logarithmic distances from the mark to try, rising from zero."""
    near = NEAR_DISTANCES[furthest > NEAR_DISTANCES]
    start = float(near[-1]) if near.size else 0.0
    return np.concatenate([[0.0], near, start + FAR_SHARES * (furthest - start)])


def find_liquidation_ticks(
    assess: AssessFunction, account: Exposure, leg: int, also: F8 = NO_EXTRA_MARKS
) -> LiquidationTicks:
    """Return the first whole tick on each side of the mark at which an account is liquidatable.

    Excess is at least zero one tick nearer to the mark, and below zero at the tick itself. This is
    exact, because both are evaluated. The ticks are MISSING if the account is liquidatable at its
    mark.
    """
    excess = make_excess_function(assess, account, leg)
    if excess(float(account.market.mark[leg])) < 0:
        return LiquidationTicks(MISSING, MISSING)
    mark, highest = int(account.market.mark[leg]), int(account.market.contracts.max_price[leg])
    below, above = find_liquidation_prices(assess, account, leg, also)
    return LiquidationTicks(
        _find_first_tick(excess, below, mark, 1),
        _find_first_tick(excess, above, mark, max(highest, mark)),
    )


def make_excess_function(
    assess: AssessFunction, account: Exposure, leg: int
) -> Callable[[float], float]:
    """Return a function from one mark (ticks) to the excess of an account, minor units."""

    contracts = account.market.contracts
    # in hedge mode two columns have the same mark
    sides = np.array([name == contracts.names[leg] for name in contracts.names])

    def excess(price: float) -> float:
        market = account.market._replace(mark=np.where(sides, price, account.market.mark))
        return float(assess(account._replace(market=market)).excess[0])

    return excess


def _find_nearest_root(excess: Callable[[float], float], marks: F8) -> float:
    """Return the first root along marks that lead away from the present one, which is the first."""
    from scipy.optimize import brentq

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
    """Return the first liquidatable tick between a healthy mark and the edge, by bisection.

    The search starts at the root of excess, which lies on the way.
    """
    if np.isnan(root):
        return MISSING
    away = 1 if edge > mark else -1
    bad, step = int(np.ceil(root) if away > 0 else np.floor(root)), 1
    # rounding may keep the account healthy for some more ticks
    while (edge - bad) * away > 0 and excess(bad) >= 0:
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
