"""A figure with its interval: of means, probabilities, differences of independent samples, and clusters of runs."""

import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from sim.types import B1, F8

LEVEL = 0.95
RESAMPLES = 9_999


class Estimate(NamedTuple):
    """A figure with its 95% interval; the interval is nan where there are too few values for one, or infinite ones."""

    n: int
    mean: float
    low: float
    high: float

    def rescale(self, factor: float) -> "Estimate":
        """The same in another unit; a negative factor turns the interval round."""
        ends = sorted((factor * self.low, factor * self.high))
        return Estimate(self.n, factor * self.mean, *ends)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of nil, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def estimate_mean(values: F8, level: float = LEVEL) -> Estimate:
    """Mean with its bias-corrected and accelerated bootstrap interval (Efron 1987, JASA 82); resampling is seeded.

    Values that are missing (nan) are left out; equal values have a point as interval.
    """
    known = np.ascontiguousarray(values[~np.isnan(values)], dtype=np.float64)
    return _estimate_mean(known.tobytes(), level)


@lru_cache(maxsize=2**14)
def _estimate_mean(values: bytes, level: float) -> Estimate:
    """Worked out once for a sample: a table, a figure and a sentence ask for the same."""
    return bootstrap_bca(np.frombuffer(values), np.mean, level)


def bootstrap_bca(values: F8, statistic: Callable[..., Any], level: float = LEVEL) -> Estimate:
    """Any figure of a sample with its BCa interval; the percentile interval where BCa has none.

    BCa has none where leaving out any one value leaves the figure as it is, as in the tail of a sample of ties.

    Args:
        values: replications, none of them missing.
        statistic: takes an array and ``axis``, returns the figure along it.
        level: of the interval.
    """
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
        }
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of a sample without a BCa interval; seen from its being nan
            found = stats.bootstrap(
                (values,), statistic, rng=np.random.default_rng(0), **options
            ).confidence_interval
        if not math.isnan(found.low) and not math.isnan(found.high):
            break
    return Estimate(values.size, centre, float(found.low), float(found.high))


def estimate_probability(happened: B1, level: float = LEVEL) -> Estimate:
    """Share of replications in which something happened, with Wilson's interval (1927, JASA 22)."""
    n, count = happened.size, int(happened.sum())
    if not n:
        return Estimate(0, math.nan, math.nan, math.nan)
    found = stats.binomtest(count, n).proportion_ci(level, method="wilson")
    return Estimate(n, count / n, float(found.low), float(found.high))


def estimate_difference(values: F8, reference: F8, level: float = LEVEL) -> Estimate:
    """Difference of the means of independent samples, with Welch's interval (1947, Biometrika 34)."""
    n, apart = min(values.size, reference.size), float(values.mean() - reference.mean())
    if n < 2 or np.ptp(values) + np.ptp(reference) == 0:
        return Estimate(n, apart, apart if n > 1 else math.nan, apart if n > 1 else math.nan)
    found = stats.ttest_ind(values, reference, equal_var=False).confidence_interval(level)
    return Estimate(n, apart, float(found.low), float(found.high))


def jackknife_clusters(whole: float, without: F8, level: float = LEVEL) -> Estimate:
    """A figure of runs that come in clusters, such as markets with the same draws: delete-one jackknife, Student's t.

    With a handful of clusters, resampling them makes intervals that are too narrow; this one widens as they get few
    (Shao & Tu 1995, The Jackknife and Bootstrap, section 2.1).

    Args:
        whole: the figure of all.
        without: the figure of all but each cluster in turn (clusters,).
        level: of the interval.
    """
    n = without.size
    if n < 2 or not np.isfinite(without).all():
        return Estimate(n, whole, math.nan, math.nan)
    spread = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    reach = float(stats.t.isf((1 - level) / 2, n - 1)) * spread
    return Estimate(n, whole, whole - reach, whole + reach)
