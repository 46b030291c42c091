"""Settings compared on the same draws: a pair is two runs of one seed (RNG-1)."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from experiments.statistics.intervals import LEVEL, RESAMPLES, Estimate, bca, mean, probability
from sim.types import B1, F8


class Paired(NamedTuple):
    """Mean of paired differences with its interval, and the p-value of there being none."""

    n: int  # pairs
    mean: float
    low: float
    high: float
    p: float

    @property
    def estimate(self) -> Estimate:
        """Without the p-value."""
        return Estimate(*self[:4])


def summarise(runs: pd.DataFrame, by: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Every measure at every setting: rows of ``by``, measure, n, mean, low, high.

    Args:
        runs: one row per setting and seed; a column of truth values is summarised as a probability.
        by: columns that make a setting.
        measures: columns to summarise.
    """
    rows = [(*setting, name, *_summary(group[name])) for setting, group in settings(runs, by) for name in measures]
    return pd.DataFrame(rows, columns=[*by, "measure", *Estimate._fields])


def _summary(column: "pd.Series[Any]") -> Estimate:
    if is_truth(column):
        return probability(column.dropna().to_numpy(bool))
    return mean(column.to_numpy(np.float64))


def steps_along(runs: pd.DataFrame, axis: str, by: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Paired differences between neighbouring values of an axis, the larger less the smaller.

    Args:
        runs: one row per setting and seed.
        axis: column whose neighbours are compared.
        by: the other columns that make a setting.
        measures: columns to compare.

    Returns:
        Rows of ``by``, axis, versus, measure, n, mean, low, high, p (see ``pairs``).
    """
    rows = []
    for setting, group in settings(runs, by):
        neighbours = ((upper, lower) for lower, upper in itertools.pairwise(sorted(group[axis].unique())))
        rows += [(*setting, *each) for each in _compared(group, axis, neighbours, measures)]
    return pd.DataFrame(rows, columns=[*by, axis, "versus", "measure", *Paired._fields])


def against(runs: pd.DataFrame, axis: str, reference: Any, by: Sequence[str], measures: Sequence[str]) -> pd.DataFrame:
    """Paired differences of every value of an axis from a reference value, such as every engine from ``tiered``.

    Args:
        runs: one row per setting and seed.
        axis: column whose values are compared.
        reference: the value that the others are held against.
        by: the other columns that make a setting; may be none.
        measures: columns to compare.

    Returns:
        Rows of ``by``, axis, versus, measure, n, mean, low, high, p (see ``pairs``).

    Raises:
        KeyError: no run has the reference value.
    """
    if reference not in set(runs[axis]):
        known = ", ".join(map(repr, dict.fromkeys(runs[axis])))
        raise KeyError(f"{axis}: no run at {reference!r}, choose one of {known or 'none'}, or make some")
    rows = []
    for setting, group in settings(runs, by):
        others = ((value, reference) for value in group[axis].unique() if value != reference)
        rows += [(*setting, *each) for each in _compared(group, axis, others, measures)]
    return pd.DataFrame(rows, columns=[*by, axis, "versus", "measure", *Paired._fields])


def _compared(
    group: pd.DataFrame, axis: str, couples: Iterable[tuple[Any, Any]], measures: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    for one, other in couples:
        for name in measures:
            table = group[group[axis].isin([one, other])].pivot(index="seed", columns=axis, values=name)
            both = table.reindex(columns=[one, other]).dropna().sort_index()
            kind = np.bool_ if is_truth(group[name]) else np.float64
            yield one, other, name, *pairs(both[one].to_numpy(kind), both[other].to_numpy(kind))


def settings(runs: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """The runs of each setting in order of appearance; all of them where nothing makes a setting."""
    if not by:
        yield (), runs
        return
    yield from runs.groupby(list(by), sort=False)


def is_truth(column: "pd.Series[Any]") -> bool:
    """Whether a column holds truth values, perhaps with some missing."""
    if column.dtype == object:
        return bool(column.dropna().map(type).isin([bool, np.bool_]).all())
    return bool(column.dtype == np.bool_)


def pairs(values: F8 | B1, reference: F8 | B1, level: float = LEVEL) -> Paired:
    """Mean paired difference, interval and p-value.

    Of numbers: BCa bootstrap of the differences; p by flipping their signs (Fisher 1935, The Design of Experiments,
    section 21), exact up to 13 pairs. Of truth values: Newcombe's score interval for paired shares (1998, Statistics
    in Medicine 17, p. 2639, method 10); p by McNemar's exact test (1947, Psychometrika 12).

    Args:
        values: of the setting, float or bool (pairs).
        reference: of the reference in the same order (pairs).
        level: of the interval.
    """
    if values.dtype == bool:
        return _shares(np.asarray(values, dtype=np.bool_), np.asarray(reference, dtype=np.bool_), level)
    apart = np.asarray(values, dtype=np.float64) - reference
    return Paired(*mean(apart, level), _flipped(apart[~np.isnan(apart)].tobytes()))


def relative(values: F8, reference: F8) -> Estimate:
    """How much the mean of one setting exceeds that of another, as a share of the latter: BCa bootstrap of pairs.

    The reference is as uncertain as the difference, and is drawn with it. nan where it is nil.

    Args:
        values: of the setting (pairs).
        reference: of the reference in the same order (pairs).
    """
    if not reference.size or not reference.mean():
        return Estimate(values.size, math.nan, math.nan, math.nan)

    def share(drawn: F8, axis: int) -> F8:
        rows = drawn.astype(np.int64)
        return np.asarray(values[rows].mean(axis=axis) / reference[rows].mean(axis=axis) - 1)

    return bca(np.arange(values.size, dtype=np.float64), share)


@lru_cache(maxsize=2**14)
def _flipped(differences: bytes) -> float:
    """Two-sided p-value of a mean of differences that are symmetric about nil; worked out once for a sample."""
    apart = np.frombuffer(differences)
    if apart.size < 2:
        return math.nan
    if not apart.any():
        return 1.0
    options: dict[str, Any] = {"permutation_type": "samples", "n_resamples": RESAMPLES, "vectorized": True}
    found = stats.permutation_test((apart, np.zeros_like(apart)), _mean_apart, rng=np.random.default_rng(0), **options)
    return float(found.pvalue)


def _mean_apart(values: F8, reference: F8, axis: int) -> F8:
    return (values - reference).mean(axis=axis)


def _shares(one: B1, other: B1, level: float) -> Paired:
    n = one.size
    if not n:
        return Paired(0, math.nan, math.nan, math.nan, math.nan)
    left, right = probability(one, level), probability(other, level)
    apart, linked = left.mean - right.mean, _correlation(one, other)
    down = _reach(left.mean - left.low, right.high - right.mean, linked)
    up = _reach(left.high - left.mean, right.mean - right.low, linked)
    only, discordant = int((one & ~other).sum()), int((one ^ other).sum())
    p = float(stats.binomtest(only, discordant).pvalue) if discordant else 1.0
    return Paired(n, apart, apart - down, apart + up, p)


def _reach(one: float, other: float, linked: float) -> float:
    return math.sqrt(max(one**2 - 2 * linked * one * other + other**2, 0.0))


def _correlation(one: B1, other: B1) -> float:
    """Phi with the continuity correction of method 10; nil where a margin is empty."""
    a, b = int((one & other).sum()), int((one & ~other).sum())
    c, d, n = int((~one & other).sum()), int((~one & ~other).sum()), one.size
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if not margins:
        return 0.0
    excess = a * d - b * c
    return (max(excess - n / 2, 0.0) if excess > 0 else excess) / math.sqrt(margins)
