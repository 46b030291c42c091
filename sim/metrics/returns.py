"""Stylised facts of a series of returns (Cont 2001), with intervals for comparisons."""

import math
from collections.abc import Callable

import numpy as np

from sim.types import F8

NORMAL_95 = 1.959964
"""Half-width of a 95% interval, in standard errors."""


def compute_autocorrelation(values: F8, lag: int) -> float:
    """Return the sample autocorrelation at ``lag`` of values (n,); nan for constant values."""
    off = values - values.mean()
    total = float(off @ off)
    return float(off[lag:] @ off[:-lag]) / total if total else math.nan


def compute_kurtosis(returns: F8) -> float:
    """Return the fourth moment over squared variance: 3 for a normal distribution."""
    from scipy import stats

    return float(stats.kurtosis(returns, fisher=False))


def estimate_hill(returns: F8, share: float = 0.05) -> float:
    """Return the tail exponent of absolute returns (n,) from their largest ``share`` (Hill 1975).

    A smaller exponent is a heavier tail.
    """
    sizes = np.sort(np.abs(returns))[::-1]
    count = _count_tail(returns, share)
    return float(1 / np.log(sizes[:count] / sizes[count]).mean())


def estimate_hill_interval(returns: F8, share: float = 0.05) -> tuple[float, float]:
    """Return the 95% interval of :func:`estimate_hill`.

    The standard error is the exponent over the root of the number of returns in the tail.
    """
    exponent = estimate_hill(returns, share)
    half = NORMAL_95 * exponent / math.sqrt(_count_tail(returns, share))
    return exponent - half, exponent + half


def estimate_jackknife_interval(
    statistic: Callable[[F8], float], returns: F8, blocks: int = 30
) -> tuple[float, float]:
    """Return the 95% interval of a statistic of returns (n,) by the block jackknife (Kunsch 1989).

    One contiguous block at a time is left out. If blocks are longer than the memory of volatility,
    clustering does not make the interval too narrow.
    """
    cuts = np.array_split(np.arange(returns.size), blocks)
    without = np.array([statistic(np.delete(returns, cut)) for cut in cuts])
    error = math.sqrt((blocks - 1) * float(without.var()))
    whole = statistic(returns)
    return whole - NORMAL_95 * error, whole + NORMAL_95 * error


def _count_tail(returns: F8, share: float) -> int:
    return max(int(share * returns.size), 1)
