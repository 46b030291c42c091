"""Estimates with intervals: means, probabilities, independent differences and clustered runs."""

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from sim.types import B1, F8

LEVEL = 0.95
RESAMPLES = 9_999


class Estimate(NamedTuple):
    """Estimate with its 95% interval, which is nan for too few or infinite values."""

    n: int
    mean: float
    low: float
    high: float

    def rescale(self, factor: float) -> "Estimate":
        """Return the estimate in another unit; a negative factor reverses the interval."""
        ends = sorted((factor * self.low, factor * self.high))
        return Estimate(self.n, factor * self.mean, *ends)

    @property
    def sign(self) -> int:
        """1 or -1 if the interval lies on one side of zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def estimate_mean(values: F8, level: float = LEVEL) -> Estimate:
    """Estimate a mean with its bias-corrected and accelerated bootstrap interval.

    Resampling is seeded. Missing values (nan) are left out; equal values have a point as interval.
    Source: Efron 1987, JASA 82.
    """
    known = np.ascontiguousarray(values[~np.isnan(values)], dtype=np.float64)
    return _estimate_mean(known.tobytes(), level)


@lru_cache(maxsize=2**14)
def _estimate_mean(values: bytes, level: float) -> Estimate:
    """Estimate a mean once for each sample, which a table, a figure and a sentence share."""
    return bootstrap_bca(np.frombuffer(values), np.mean, level)


def bootstrap_bca(values: F8, statistic: Callable[..., Any], level: float = LEVEL) -> Estimate:
    """Estimate any statistic of a sample with its BCa interval, or a percentile interval.

    BCa has no interval if leaving out any one value does not change the statistic, as in the tail
    of a sample of ties.

    Args:
        values: replications, none of them missing.
        statistic: function of an array and ``axis``, which returns the statistic along it.
        level: confidence level.
    """
    from scipy import stats

    if not values.size:
        return Estimate(0, math.nan, math.nan, math.nan)
    with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
        centre = float(statistic(values, axis=-1))
    if values.size < 2 or not np.isfinite(values).all():
        return Estimate(values.size, centre, math.nan, math.nan)
    if np.ptp(values) == 0:
        return Estimate(values.size, centre, centre, centre)
    for method in ("BCa", "percentile"):
        options: dict[str, Any] = {
            "n_resamples": RESAMPLES,
            "confidence_level": level,
            "method": method,
            "rng": np.random.default_rng(0),
        }
        with warnings.catch_warnings():
            # A sample without a BCa interval also returns nan.
            warnings.simplefilter("ignore")
            interval = stats.bootstrap((values,), statistic, **options).confidence_interval
        if not math.isnan(interval.low) and not math.isnan(interval.high):
            break
    return Estimate(values.size, centre, float(interval.low), float(interval.high))


def estimate_probability(happened: B1, level: float = LEVEL) -> Estimate:
    """Estimate a probability from replications, with Wilson's interval (1927, JASA 22)."""
    from scipy import stats

    n, count = happened.size, int(happened.sum())
    if not n:
        return Estimate(0, math.nan, math.nan, math.nan)
    interval = stats.binomtest(count, n).proportion_ci(level, method="wilson")
    return Estimate(n, count / n, float(interval.low), float(interval.high))


def estimate_difference(values: F8, reference: F8, level: float = LEVEL) -> Estimate:
    """Estimate the difference of means of independent samples, with Welch's interval.

    Source: Welch 1947, Biometrika 34.
    """
    from scipy import stats

    n = min(values.size, reference.size)
    difference = float(values.mean() - reference.mean())
    if n < 2 or np.ptp(values) + np.ptp(reference) == 0:
        end = difference if n > 1 else math.nan
        return Estimate(n, difference, end, end)
    test = stats.ttest_ind(values, reference, equal_var=False)
    interval = test.confidence_interval(level)
    return Estimate(n, difference, float(interval.low), float(interval.high))


def jackknife_clusters(whole: float, without: F8, level: float = LEVEL) -> Estimate:
    """Estimate a statistic of clustered runs by the delete-one jackknife and Student's t.

    Markets with the same draws are such clusters. With few clusters, resampling them gives
    intervals that are too narrow; this interval widens as they get few (Shao & Tu 1995, The
    Jackknife and Bootstrap, section 2.1).

    Args:
        whole: statistic of all runs.
        without: statistic without each cluster in turn (clusters,).
        level: confidence level.
    """
    from scipy import stats

    n = without.size
    if n < 2 or not np.isfinite(without).all():
        return Estimate(n, whole, math.nan, math.nan)
    spread = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    reach = float(stats.t.isf((1 - level) / 2, n - 1)) * spread
    return Estimate(n, whole, whole - reach, whole + reach)
