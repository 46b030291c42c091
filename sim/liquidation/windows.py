"""Windows: the intervals of one variable on which an account's excess, or its equity, is below zero."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.types import B1, F8

Curve = Callable[[F8], F8]
"""A function of one variable, evaluated at many points."""

MAX_POINTS = 8_000
"""Points at which a curve is evaluated at most; a curve as rough as this is not resolved further."""

MAX_BISECTIONS = 60
"""Bisections of one edge at most."""

MIN_WIDTH = 1e-5
"""Width up to which intervals are halved, relative to where they lie, and absolute below one."""


class NegativeInterval(NamedTuple):
    """An interval on which a curve is below zero; both ends are points at which it is."""

    low: float
    high: float


class CurveSamples(NamedTuple):
    """A curve at points in rising order."""

    points: F8
    values: F8


def sample_curve(curve: Curve, points: F8, finest: float = MIN_WIDTH) -> CurveSamples:
    """Sample a curve so densely that no interval between samples hides a change of sign.

    An interval is halved until it is narrower than ``finest`` if its ends differ in sign, or if the curve may reach
    zero between them. How far it may bend away from its chord follows from second differences at both ends: a kink of
    slope J bends it by at most J h ÷ 4, which the two see as half of J ÷ h together; twice that is allowed for.

    Whatever the curve, a window that holds one of the points is found. A narrower one is found where the curve bends
    towards it, and points belong where its slope may jump.

    Args:
        curve: the function.
        points: where to evaluate it first, rising.
        finest: width up to which intervals are halved, relative to where they lie, and absolute below one.
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
    """Intervals whose ends differ in sign or between whose ends the curve may reach zero."""
    width, below = np.diff(x), y < 0
    slope = np.diff(y) / width
    bend = np.zeros(x.size)
    bend[1:-1] = np.diff(slope) / (x[2:] - x[:-2])
    inside = below[:-1] & below[1:]
    towards = np.where(inside, np.maximum(-bend[:-1], 0) + np.maximum(-bend[1:], 0), 0.0)
    towards = np.where(inside, towards, np.maximum(bend[:-1], 0) + np.maximum(bend[1:], 0))
    least = np.minimum(np.abs(y[:-1]), np.abs(y[1:]))
    flat = towards * width**2 <= 1e-12 * np.maximum(np.abs(y[:-1]), np.abs(y[1:]))
    crosses: B1 = (below[:-1] != below[1:]) | ((towards * width**2 > least) & ~flat)
    return crosses


def find_negative_intervals(curve: Curve, points: F8, exact: float) -> list[NegativeInterval]:
    """Return the intervals on which a curve is below zero, in rising order.

    Args:
        curve: the function.
        points: where to evaluate it first, rising; the first and the last are the ends of the range.
        exact: width to which the ends of windows are known.
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
