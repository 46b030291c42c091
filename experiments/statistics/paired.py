"""Comparison of settings on the same draws: a pair is two runs of one seed (RNG-1)."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics.intervals import (
    LEVEL,
    RESAMPLES,
    Estimate,
    bootstrap_bca,
    estimate_mean,
    estimate_probability,
)
from sim.types import B1, F8


class Paired(NamedTuple):
    """Mean of paired differences with its interval, and the p-value of no difference."""

    n: int  # number of pairs
    mean: float
    low: float
    high: float
    p: float

    @property
    def estimate(self) -> Estimate:
        """Estimate without the p-value."""
        return Estimate(*self[:4])


def summarise_measures(
    runs: pd.DataFrame, by: Sequence[str], measures: Sequence[str]
) -> pd.DataFrame:
    """Summarise every measure at every setting.

    Args:
        runs: one row per setting and seed; a column of truth values is summarised as a probability.
        by: columns that define a setting.
        measures: columns to summarise.

    Returns:
        Rows of ``by``, measure, n, mean, low, high.
    """
    rows = [
        (*setting, name, *_estimate_column(group[name]))
        for setting, group in group_by_setting(runs, by)
        for name in measures
    ]
    return pd.DataFrame(rows, columns=[*by, "measure", *Estimate._fields])


def _estimate_column(column: "pd.Series[Any]") -> Estimate:
    if is_boolean_column(column):
        return estimate_probability(column.dropna().to_numpy(bool))
    return estimate_mean(column.to_numpy(np.float64))


def compare_neighbours(
    runs: pd.DataFrame, axis: str, by: Sequence[str], measures: Sequence[str]
) -> pd.DataFrame:
    """Compare neighbouring values of an axis in pairs, the larger less the smaller.

    Args:
        runs: one row per setting and seed.
        axis: column whose neighbours are compared.
        by: other columns that define a setting.
        measures: columns to compare.

    Returns:
        Rows of ``by``, axis, versus, measure, n, mean, low, high, p (see ``compare_pairs``).
    """
    rows = []
    for setting, group in group_by_setting(runs, by):
        neighbours = (
            (upper, lower) for lower, upper in itertools.pairwise(sorted(group[axis].unique()))
        )
        rows += [(*setting, *row) for row in _compare_couples(group, axis, neighbours, measures)]
    return pd.DataFrame(rows, columns=[*by, axis, "versus", "measure", *Paired._fields])


def compare_with_reference(
    runs: pd.DataFrame, axis: str, reference: Any, by: Sequence[str], measures: Sequence[str]
) -> pd.DataFrame:
    """Compare every value of an axis with a reference in pairs, such as engines with ``tiered``.

    Args:
        runs: one row per setting and seed.
        axis: column whose values are compared.
        reference: value with which the others are compared.
        by: other columns that define a setting; may be none.
        measures: columns to compare.

    Returns:
        Rows of ``by``, axis, versus, measure, n, mean, low, high, p (see ``compare_pairs``).

    Raises:
        KeyError: no run has the reference value.
    """
    if reference not in set(runs[axis]):
        known = ", ".join(map(repr, dict.fromkeys(runs[axis])))
        raise KeyError(
            f"{axis}: no run at {reference!r}, choose one of {known or 'none'}, or make some"
        )
    rows = []
    for setting, group in group_by_setting(runs, by):
        others = ((value, reference) for value in group[axis].unique() if value != reference)
        rows += [(*setting, *row) for row in _compare_couples(group, axis, others, measures)]
    return pd.DataFrame(rows, columns=[*by, axis, "versus", "measure", *Paired._fields])


def _compare_couples(
    group: pd.DataFrame, axis: str, couples: Iterable[tuple[Any, Any]], measures: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    for one, other in couples:
        couple = group[group[axis].isin([one, other])]
        for name in measures:
            table = couple.pivot(index="seed", columns=axis, values=name)
            both = table.reindex(columns=[one, other]).dropna().sort_index()
            kind = np.bool_ if is_boolean_column(group[name]) else np.float64
            paired = compare_pairs(both[one].to_numpy(kind), both[other].to_numpy(kind))
            yield (one, other, name, *paired)


def group_by_setting(
    runs: pd.DataFrame, by: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the runs of each setting in order of appearance; all runs if ``by`` is empty."""
    if not by:
        yield (), runs
        return
    yield from runs.groupby(list(by), sort=False)


def is_boolean_column(column: "pd.Series[Any]") -> bool:
    """Return True if a column holds truth values, perhaps with some missing."""
    if column.dtype == object:
        return bool(column.dropna().map(type).isin([bool, np.bool_]).all())
    return bool(column.dtype == np.bool_)


def compare_pairs(values: F8 | B1, reference: F8 | B1, level: float = LEVEL) -> Paired:
    """Return mean paired difference, interval and p-value.

    For numbers: BCa bootstrap of the differences; the p-value comes from flipping their signs
    (Fisher 1935, The Design of Experiments, section 21), exact up to 13 pairs. For truth values:
    Newcombe's score interval for paired shares (1998, Statistics in Medicine 17, p. 2639, method
    10); the p-value is that of McNemar's exact test (1947, Psychometrika 12).

    Args:
        values: values of the setting, float or bool (pairs,).
        reference: values of the reference in the same order (pairs,).
        level: confidence level.
    """
    if values.dtype == bool:
        return _compare_shares(
            np.asarray(values, dtype=np.bool_), np.asarray(reference, dtype=np.bool_), level
        )
    differences = np.asarray(values, dtype=np.float64) - reference
    known = differences[~np.isnan(differences)]
    return Paired(*estimate_mean(differences, level), _sign_flip_p_value(known.tobytes()))


def estimate_relative_change(values: F8, reference: F8) -> Estimate:
    """Estimate the change of a mean as a share of a reference mean, by BCa bootstrap of pairs.

    The reference is as uncertain as the difference and is resampled with it. The estimate is nan if
    the reference is zero.

    Args:
        values: values of the setting (pairs,).
        reference: values of the reference in the same order (pairs,).
    """
    if not reference.size or not reference.mean():
        return Estimate(values.size, math.nan, math.nan, math.nan)

    def share(drawn: F8, axis: int) -> F8:
        rows = drawn.astype(np.int64)
        return np.asarray(values[rows].mean(axis=axis) / reference[rows].mean(axis=axis) - 1)

    return bootstrap_bca(np.arange(values.size, dtype=np.float64), share)


@lru_cache(maxsize=2**14)
def _sign_flip_p_value(differences: bytes) -> float:
    """Return the two-sided p-value of a mean, with differences symmetric about zero."""
    from scipy import stats

    apart = np.frombuffer(differences)
    if apart.size < 2:
        return math.nan
    if not apart.any():
        return 1.0
    options: dict[str, Any] = {
        "permutation_type": "samples",
        "n_resamples": RESAMPLES,
        "vectorized": True,
        "rng": np.random.default_rng(0),
    }
    samples = (apart, np.zeros_like(apart))
    test = stats.permutation_test(samples, _mean_difference, **options)
    return float(test.pvalue)


def _mean_difference(values: F8, reference: F8, axis: int) -> F8:
    return (values - reference).mean(axis=axis)


def _compare_shares(one: B1, other: B1, level: float) -> Paired:
    from scipy import stats

    n = one.size
    if not n:
        return Paired(0, math.nan, math.nan, math.nan, math.nan)
    left, right = estimate_probability(one, level), estimate_probability(other, level)
    apart, linked = left.mean - right.mean, _phi_coefficient(one, other)
    down = _combined_margin(left.mean - left.low, right.high - right.mean, linked)
    up = _combined_margin(left.high - left.mean, right.mean - right.low, linked)
    only, discordant = int((one & ~other).sum()), int((one ^ other).sum())
    p = float(stats.binomtest(only, discordant).pvalue) if discordant else 1.0
    return Paired(n, apart, apart - down, apart + up, p)


def _combined_margin(one: float, other: float, linked: float) -> float:
    return math.sqrt(max(one**2 - 2 * linked * one * other + other**2, 0.0))


def _phi_coefficient(one: B1, other: B1) -> float:
    """Return phi with the continuity correction of method 10; zero if a margin is empty."""
    a, b = int((one & other).sum()), int((one & ~other).sum())
    c, d, n = int((~one & other).sum()), int((~one & ~other).sum()), one.size
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if not margins:
        return 0.0
    excess = a * d - b * c
    return (max(excess - n / 2, 0.0) if excess > 0 else excess) / math.sqrt(margins)
