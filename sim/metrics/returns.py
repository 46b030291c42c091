"""Stylised facts of a series of returns (Cont 2001), each with what it takes to compare two series."""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from sim.types import F8

NORMAL_95 = 1.959964
"""Half-width of a 95% interval, standard errors."""


def compute_autocorrelation(values: F8, lag: int) -> float:
    """Sample autocorrelation at ``lag`` steps of values (n,); nan where they do not vary."""
    off = values - values.mean()
    total = float(off @ off)
    return float(off[lag:] @ off[:-lag]) / total if total else math.nan


def compute_kurtosis(returns: F8) -> float:
    """Fourth moment over squared variance: 3 for a normal."""
    return float(stats.kurtosis(returns, fisher=False))


def estimate_hill(returns: F8, share: float = 0.05) -> float:
    """Tail exponent of absolute returns (n,) from the largest ``share`` of them (Hill 1975); less is heavier."""
    sizes = np.sort(np.abs(returns))[::-1]
    count = _count_tail(returns, share)
    return float(1 / np.log(sizes[:count] / sizes[count]).mean())


def estimate_hill_interval(returns: F8, share: float = 0.05) -> tuple[float, float]:
    """95% interval of ``hill``: its standard error is the exponent over the root of the tail's count."""
    exponent = estimate_hill(returns, share)
    half = NORMAL_95 * exponent / math.sqrt(_count_tail(returns, share))
    return exponent - half, exponent + half


def estimate_jackknife_interval(
    figure: Callable[[F8], float], returns: F8, blocks: int = 30
) -> tuple[float, float]:
    """95% interval of a figure of returns (n,), leaving out one contiguous block at a time (Kunsch 1989).

    Blocks longer than the memory of volatility keep clustering from making the interval too narrow.
    """
    cuts = np.array_split(np.arange(returns.size), blocks)
    without = np.array([figure(np.delete(returns, cut)) for cut in cuts])
    error = math.sqrt((blocks - 1) * float(without.var()))
    whole = figure(returns)
    return whole - NORMAL_95 * error, whole + NORMAL_95 * error


def _count_tail(returns: F8, share: float) -> int:
    return max(int(share * returns.size), 1)
