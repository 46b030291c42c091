"""Intervals that a referee accepts: of means, probabilities and paired differences over replications."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sim.types import B1, F8

LEVEL = 0.95
RESAMPLES = 9_999


class Estimate(NamedTuple):
    """A figure with its 95% interval; the interval is nan where there are too few values for one."""

    n: int
    mean: float
    low: float
    high: float

    def times(self, factor: float) -> "Estimate":
        """The same in another unit."""
        return Estimate(self.n, *(factor * value for value in self[1:]))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on one side of nil, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def mean(values: F8) -> Estimate:
    """Mean with its bias-corrected and accelerated bootstrap interval (Efron 1987, JASA 82); resampling is seeded.

    Values that are missing (nan) are left out; equal values have a point as interval.
    """
    values = values[~np.isnan(values)]
    n, centre = values.size, float(values.mean()) if values.size else math.nan
    if n < 2:
        return Estimate(n, centre, math.nan, math.nan)
    if np.ptp(values) == 0:
        return Estimate(n, centre, centre, centre)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return Estimate(n, centre, float(found.low), float(found.high))


def probability(happened: B1) -> Estimate:
    """Share of replications in which something happened, with Wilson's interval (1927, JASA 22)."""
    n, count = happened.size, int(happened.sum())
    if not n:
        return Estimate(0, math.nan, math.nan, math.nan)
    found = stats.binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(n, count / n, float(found.low), float(found.high))


def difference(values: F8, reference: F8, level: float = LEVEL) -> Estimate:
    """Difference of the means of independent samples, with Welch's interval (1947, Biometrika 34)."""
    n, apart = min(values.size, reference.size), float(values.mean() - reference.mean())
    if n < 2 or np.ptp(values) + np.ptp(reference) == 0:
        return Estimate(n, apart, apart if n > 1 else math.nan, apart if n > 1 else math.nan)
    found = stats.ttest_ind(values, reference, equal_var=False).confidence_interval(level)
    return Estimate(n, apart, float(found.low), float(found.high))


def summarise(runs: pd.DataFrame, by: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Every measure at every setting: rows of ``by``, measure, n, mean, low, high.

    Args:
        runs: one row per setting and seed; a column of truth values is summarised as a probability.
        by: columns that make a setting.
        measures: columns to summarise.
    """
    rows = []
    for setting, group in runs.groupby(list(by), sort=False):
        for name in measures:
            found = (
                probability(group[name].to_numpy())
                if group[name].dtype == bool
                else mean(group[name].to_numpy(np.float64))
            )
            rows.append((*setting, name, *found))
    return pd.DataFrame(rows, columns=[*by, "measure", *Estimate._fields])


def steps_along(runs: pd.DataFrame, axis: str, by: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Paired differences between neighbouring values of an axis; pairs share a seed, hence every draw (RNG-1).

    Args:
        runs: one row per setting and seed.
        axis: column whose neighbours are compared, the larger less the smaller.
        by: the other columns that make a setting.
        measures: columns to compare.

    Returns:
        Rows of ``by``, axis, versus, measure, n, mean, low, high.
    """
    rows = []
    for setting, group in runs.groupby(list(by), sort=False):
        table = group.pivot(index="seed", columns=axis, values=list(measures))
        values = sorted(group[axis].unique())
        for lower, upper in itertools.pairwise(values):
            for name in measures:
                pairs = (table[name, upper].astype(float) - table[name, lower].astype(float)).dropna()
                rows.append((*setting, upper, lower, name, *mean(pairs.to_numpy())))
    return pd.DataFrame(rows, columns=[*by, axis, "versus", "measure", *Estimate._fields])
