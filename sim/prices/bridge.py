"""Brownian bridges through what is known of a day."""

import math

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8


@kernel
def draw_bridge(start: float, end: float, steps: F8, low: float, high: float) -> F8:
    """A Brownian bridge, ``len(steps) + 1`` rows from ``start`` to ``end``, turned back at ``low`` and ``high``.

    ``steps`` are the free motion's, so the variance of one is theirs. A step that would leave [low, high] is
    reflected by itself; all others keep the sign of their normal, and with it the correlation with other underlyings,
    which folding the path as a whole would lose.
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
    """A day's log price through its open, high, low and close, each met exactly.

    1. Which of high and low comes first, and when each is first touched, is drawn from the law of a Brownian motion
       that goes from the open to the one, on to the other, and is at the close when the day ends (``visits``).
    2. Bridges join these points. Their steps are ``z``, so correlation with other underlyings carries over.
    3. A step that would pass the high or the low is reflected there.

    An approximation: a motion conditioned never to pass an extreme keeps clear of it, a reflected one lingers there.
    Measured at 390 rows, a day's realised variance is .97 of Parkinson's, and a correlation of .80 arrives as .74.

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
    """Rows of the open, both extremes and the close, and the extremes' places in ``corner`` in order of time.

    With distances d1 from the open to the first extreme, d2 on to the second and d3 back to the close, in units of a
    step's standard deviation, the joint law of the times is f(d1, t1) f(d2, t2) g(d3, T - t1 - t2): f the density of
    a first passage, g the normal density. By the reflection principle f(d) convolved with g(e) is g(d + e) (Karatzas &
    Shreve 1991, section 2.6): the order has weight g(d1 + d2 + d3, T), and t1 the density f(d1, t1) g(d2 + d3, T - t1).
    """
    start, high, low, end = corner
    rising = (high - start) + (high - low) + (end - low)
    falling = (start - low) + (high - low) + (high - end)
    odds = math.exp(
        min((rising**2 - falling**2) / (2 * steps), 700.0)
    )  # of the low first against the high first
    levels = [1, 2] if draws[0] * (1 + odds) < 1 else [2, 1]
    nearer, farther = corner[levels]
    legs = abs(nearer - start), abs(farther - nearer), abs(end - farther)
    first = draw_touch_time(legs[0], legs[1] + legs[2], steps - 1, draws[1]) if legs[0] > 0 else 0
    second = first + draw_touch_time(legs[1], legs[2], steps - first, draws[2])
    return [0, first, second, steps], levels


def draw_touch_time(leg: float, rest: float, steps: int, draw: float) -> int:
    """When a leg of that length ends, 1 to ``steps - 1``, if ``rest`` must be covered in what remains of ``steps``."""
    time = np.arange(1.0, steps)
    left = steps - time
    weight = -1.5 * np.log(time) - leg**2 / (2 * time) - 0.5 * np.log(left) - rest**2 / (2 * left)
    total = np.cumsum(np.exp(weight - weight.max()))
    return 1 + int(np.searchsorted(total, draw * total[-1], side="right"))
