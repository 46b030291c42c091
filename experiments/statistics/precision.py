"""Precision of an estimate, and the replications that a higher precision needs."""

import math
from typing import NamedTuple

from experiments.statistics.intervals import LEVEL, Estimate


class Precision(NamedTuple):
    """Half the width of an interval."""

    n: int
    half: float  # in the estimate's unit
    relative: float  # relative to the estimate; infinite if that is zero


def measure_precision(estimate: Estimate) -> Precision:
    """Return the precision of an estimate; nan if it has no interval."""
    half = (estimate.high - estimate.low) / 2
    relative = half / abs(estimate.mean) if estimate.mean else math.copysign(math.inf, half)
    return Precision(estimate.n, half, relative)


def count_further_runs(estimate: Estimate, half: float, *, share: bool = False) -> int | None:
    """Return how many more replications a half-width needs, if they resemble the existing ones.

    A mean's interval narrows with the root of their number. Wilson's, of a probability, is
    computed.

    Args:
        estimate: current estimate.
        half: required half-width, in the estimate's unit.
        share: True for a probability.

    Returns:
        0 if the width is reached; None if the number is unknown: from one replication, equal values
        or an infinite one.

    Raises:
        ValueError: the width is not positive.
    """
    if not half > 0:
        raise ValueError(f"half: {half!r}, a width must be above 0: raise it")
    now = measure_precision(estimate).half
    if now <= half and estimate.n > 1 and (share or now > 0):
        return 0
    if share and estimate.n:
        return _runs_for_share(estimate.mean, half) - estimate.n
    if not math.isfinite(now) or not now:
        return None
    return math.ceil(estimate.n * (now / half) ** 2 - 1e-9) - estimate.n


def _runs_for_share(mean: float, half: float) -> int:
    """Return the replications at which Wilson's interval has a half-width, by bisection."""
    from scipy import stats

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


def find_smallest_p_value(n: int, family: int = 1) -> float:
    """Return the smallest p-value that n pairs can give, 2 / 2^n.

    All pairs then have the same sign (flipped signs, McNemar's test).

    Args:
        n: number of pairs.
        family: number of comparisons in Holm's adjustment, by which the smallest p-value is
            multiplied.
    """
    return min(family * 2.0 ** (1 - n), 1.0)


def count_pairs_needed(family: int = 1, alpha: float = 0.05) -> int:
    """Return the smallest number of pairs whose smallest p-value lies below a level."""
    n = 1
    while not find_smallest_p_value(n, family) < alpha:
        n += 1
    return n
