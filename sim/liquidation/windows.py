"""Intervals of one variable on which an account's excess, or its equity, is below zero."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.types import B1, F8

Curve = Callable[[F8], F8]
"""Function of one variable, evaluated at many points."""

MAX_POINTS = 8_000
"""Largest number of points at which a curve is evaluated. A rougher curve is not resolved further.
"""

MAX_BISECTIONS = 60
"""Largest number of bisections of one edge."""

MIN_WIDTH = 1e-5
"""Width down to which intervals are halved, relative to their position, absolute below one."""


class NegativeInterval(NamedTuple):
    """Interval on which a curve is below zero. The curve is below zero at both ends."""

    low: float
    high: float


class CurveSamples(NamedTuple):
    """Curve at points in rising order."""

    points: F8
    values: F8


def sample_curve(curve: Curve, points: F8, finest: float = MIN_WIDTH) -> CurveSamples:
    """Sample a curve so densely that no interval between samples hides a change of sign.

    An interval is halved until it is narrower than ``finest`` if its ends differ in sign, or if the
    curve may reach zero between them. Second differences at both ends bound how far the curve may
    deviate from its chord. A kink of slope J bends it by at most J h ÷ 4, which the two ends
    measure as half of J ÷ h together; twice that is allowed for.

    Any interval of negative values that holds one of the points is found. A narrower one is found
    if the curve bends towards it, so points should be placed where the slope may jump.

    Args:
        curve: the function.
        points: first points of evaluation, rising.
        finest: width down to which intervals are halved, relative to their position and absolute
            below one.
    """
    x, y = points, curve(points)
    while x.size < MAX_POINTS:
        wide = np.diff(x) > finest * np.maximum(np.abs(x[1:]), 1.0)
        split = np.flatnonzero(wide & _may_cross_zero(x, y))[: MAX_POINTS - x.size]
        if not split.size:
            break
        middle = (x[split] + x[split + 1]) / 2
        places = split + 1
        x, y = np.insert(x, places, middle), np.insert(y, places, curve(middle))
    return CurveSamples(x, y)


def _may_cross_zero(x: F8, y: F8) -> B1:
    """Return the intervals whose ends differ in sign, or between which the curve may reach zero."""
    width, below = np.diff(x), y < 0
    slope = np.diff(y) / width
    bend = np.zeros(x.size)
    bend[1:-1] = np.diff(slope) / (x[2:] - x[:-2])
    left, right = bend[:-1], bend[1:]
    downwards = np.maximum(-left, 0) + np.maximum(-right, 0)
    upwards = np.maximum(left, 0) + np.maximum(right, 0)
    towards_zero = np.where(below[:-1] & below[1:], downwards, upwards)
    reach = towards_zero * width**2
    magnitude = np.abs(y)
    smaller = np.minimum(magnitude[:-1], magnitude[1:])
    larger = np.maximum(magnitude[:-1], magnitude[1:])
    is_flat = reach <= 1e-12 * larger
    changes_sign = below[:-1] != below[1:]
    crosses: B1 = changes_sign | ((reach > smaller) & ~is_flat)
    return crosses


def find_negative_intervals(curve: Curve, points: F8, exact: float) -> list[NegativeInterval]:
    """Return the intervals on which a curve is below zero, in rising order.

    Args:
        curve: the function.
        points: first points of evaluation, rising; the first and the last are the ends of the
            range.
        exact: largest error of the ends of the intervals.
    """
    x, y = sample_curve(curve, points)
    below = y < 0
    turn = np.flatnonzero(below[:-1] != below[1:])
    inner = np.where(below[turn], x[turn], x[turn + 1])
    outer = np.where(below[turn], x[turn + 1], x[turn])
    for _ in range(MAX_BISECTIONS):
        if not turn.size or float(np.abs(inner - outer).max()) <= exact:
            break
        middle = (inner + outer) / 2
        bad = curve(middle) < 0
        inner, outer = np.where(bad, middle, inner), np.where(bad, outer, middle)
    edges = inner.tolist()
    edges = ([float(x[0])] if below[0] else []) + edges + ([float(x[-1])] if below[-1] else [])
    return [NegativeInterval(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
