"""How well a figure is known, and what it would take to know it better."""

import math
from typing import NamedTuple

from scipy import stats

from experiments.statistics.intervals import LEVEL, Estimate


class Precision(NamedTuple):
    """Half the width of an interval."""

    n: int
    half: float  # in the figure's unit
    relative: float  # to the figure; infinite where that is nil


def achieved(found: Estimate) -> Precision:
    """Precision of a figure; nan where it has no interval."""
    half = (found.high - found.low) / 2
    return Precision(found.n, half, half / abs(found.mean) if found.mean else math.copysign(math.inf, half))


def further(found: Estimate, half: float, *, share: bool = False) -> int | None:
    """How many more replications a half-width would need, if they are like those that were made.

    A mean's interval narrows with the root of their number; Wilson's, of a probability, is worked out.

    Args:
        found: what is known.
        half: half-width asked for, in the figure's unit.
        share: whether it is a probability.

    Returns:
        0 where it is reached; none where nothing can be said: from one replication, equal values or an infinite one.

    Raises:
        ValueError: a width that is not positive.
    """
    if not half > 0:
        raise ValueError(f"half: {half!r}, a width must be above 0: raise it")
    now = achieved(found).half
    if now <= half and found.n > 1 and (share or now > 0):
        return 0
    if share and found.n:
        return _share(found.mean, half) - found.n
    return None if not math.isfinite(now) or not now else math.ceil(found.n * (now / half) ** 2 - 1e-9) - found.n


def _share(mean: float, half: float) -> int:
    """Replications after which Wilson's interval has a half-width, by halving."""
    z = float(stats.norm.ppf((1 + LEVEL) / 2))

    def width(n: int) -> float:
        return z / (1 + z**2 / n) * math.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))

    low, high = 1, 2
    while width(high) > half:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if width(middle) > half else (low, middle)
    return high


def least_p(n: int, family: int = 1) -> float:
    """Smallest p-value that n pairs can give, 2 / 2^n: all of them point one way (flipped signs, McNemar's test).

    Args:
        n: pairs.
        family: comparisons that Holm's adjustment counts; the smallest of them is multiplied by their number.
    """
    return min(family * 2.0 ** (1 - n), 1.0)


def enough(family: int = 1, alpha: float = 0.05) -> int:
    """Fewest pairs whose smallest p-value lies below a level."""
    n = 1
    while not least_p(n, family) < alpha:
        n += 1
    return n
