"""Brownian bridges through the known prices of a day."""

import math

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8


@kernel
def draw_bridge(start: float, end: float, steps: F8, low: float, high: float) -> F8:
    """Return a Brownian bridge from ``start`` to ``end``, reflected at ``low`` and ``high``.

    It has ``len(steps) + 1`` rows. ``steps`` are those of the free motion and set its variance. A
    step that would leave [low, high] is reflected by itself. All others keep the sign of their
    normal, and with it the correlation with other underlyings. Folding the path as a whole would
    lose that correlation.
    """
    path = np.empty(len(steps) + 1)
    path[0] = start
    for row in range(len(steps)):
        left = len(steps) - row
        level = path[row] + (end - path[row]) / left + math.sqrt((left - 1) / left) * steps[row]
        while level > high or level < low:
            level = 2 * high - level if level > high else 2 * low - level
        path[row + 1] = level
    path[-1] = end
    return path


def draw_day_path(corner: F8, z: F8, draws: F8) -> F8:
    """Return a day's log price through its open, high, low and close, each reached exactly.

    1. The order of high and low, and the time at which each is first touched, are drawn
       (:func:`draw_visits`). Their law is that of a Brownian motion from the open to the first
       extreme, on to the other, and to the close at the end of the day.
    2. Bridges join these points. Their steps are ``z``, so correlation with other underlyings is
       kept.
    3. A step that would pass the high or the low is reflected there.

    This is an approximation: a motion conditioned never to pass an extreme stays away from it,
    whereas a reflected one stays near it. Measured at 390 rows, a day's realised variance is 0.97
    of Parkinson's, and a correlation of 0.80 becomes 0.74.

    Args:
        corner: (4,) log open, high, low, close.
        z: (n,) standard normals; the path has n + 1 rows.
        draws: (3,) uniforms: the order, the time of the first extreme, the time of the second.
    """
    start, high, low, end = corner
    if high == low:
        return np.full(len(z) + 1, start)
    spread = (high - low) / math.sqrt(4 * math.log(2) * len(z))
    rows, levels = draw_visits(corner / spread, len(z), draws)
    path = np.empty(len(z) + 1)
    values = np.concatenate([[start], corner[levels], [end]])
    for left, right, here, there in zip(rows[:-1], rows[1:], values[:-1], values[1:], strict=True):
        path[left : right + 1] = draw_bridge(here, there, spread * z[left:right], low, high)
    return path


def draw_visits(corner: F8, steps: int, draws: F8) -> tuple[list[int], list[int]]:
    """Return the rows of open, extremes and close, and the extremes' places in ``corner`` by time.

    d1 is the distance from the open to the first extreme, d2 that to the second, and d3 that back
    to the close. All are in units of a step's standard deviation. The joint law of the times is
    f(d1, t1) f(d2, t2) g(d3, T - t1 - t2). Here f is the density of a first passage and g the
    normal density. By the reflection principle f(d) convolved with g(e) is g(d + e) (Karatzas &
    Shreve 1991, section 2.6). The order therefore has weight g(d1 + d2 + d3, T), and t1 the density
    f(d1, t1) g(d2 + d3, T - t1).
    """
    start, high, low, end = corner
    rising = (high - start) + (high - low) + (end - low)
    falling = (start - low) + (high - low) + (high - end)
    # odds of the low first against the high first
    odds = math.exp(min((rising**2 - falling**2) / (2 * steps), 700.0))
    levels = [1, 2] if draws[0] * (1 + odds) < 1 else [2, 1]
    nearer, farther = corner[levels]
    legs = abs(nearer - start), abs(farther - nearer), abs(end - farther)
    first = draw_touch_time(legs[0], legs[1] + legs[2], steps - 1, draws[1]) if legs[0] > 0 else 0
    second = first + draw_touch_time(legs[1], legs[2], steps - first, draws[2])
    return [0, first, second, steps], levels


def draw_touch_time(leg: float, rest: float, steps: int, draw: float) -> int:
    """Return the step at which a leg of length ``leg`` ends, 1 to ``steps - 1``.

    ``rest`` is the distance to cover in the remaining ``steps``.
    """
    time = np.arange(1.0, steps)
    left = steps - time
    weight = -1.5 * np.log(time) - leg**2 / (2 * time) - 0.5 * np.log(left) - rest**2 / (2 * left)
    total = np.cumsum(np.exp(weight - weight.max()))
    return 1 + int(np.searchsorted(total, draw * total[-1], side="right"))
