"""Monotone fits to the means of runs, for many resamples at once, and their crossings of a
level.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics.tails import StatisticsError
from sim.types import F8

RESAMPLES = 2_000


class CrossingFit(NamedTuple):
    """Isotonic fit to an outcome's means, with its crossing of a level and those of resamples.

    A crossing is infinite on the side on which the level lies beyond the range.
    """

    settings: F8  # settings, ascending
    outcomes: F8  # outcomes (seeds, settings); nan if a seed lacks one
    means: F8  # (settings,)
    weights: F8  # number of runs of each setting
    direction: int  # 1 if the fit rises, -1 if it falls
    crossing: float
    resampled_crossings: F8  # (resamples,); none from one seed


def fit_crossing(runs: pd.DataFrame, axis: str, outcome: str, level: float) -> CrossingFit:
    """Fit an outcome by a rising or falling curve, whichever is nearer to the means.

    The crossing is interpolated linearly between settings. Resamples are of seeds, jointly for all
    settings; those of two frames with equally many seeds are the same. Arguments and errors are
    those of ``crossings.find_crossing``.
    """
    at, table = _pivot_outcomes(runs, axis, outcome)
    weights = (~np.isnan(table)).sum(axis=0).astype(np.float64)
    means = np.nanmean(table, axis=0)
    is_rising = compute_misfit(means, weights) <= compute_misfit(-means, weights)
    direction = 1 if is_rising else -1  # a falling outcome is mirrored
    fitted = fit_isotonic(direction * means, weights)
    crossing = float(_read_crossing(at, fitted, direction * level))
    resampled = np.empty(0)
    if len(table) > 1:
        drawn, counts = resample_seeds(table, 0)
        fits = fit_isotonic(direction * drawn, counts)
        resampled = _read_crossing(at, fits, direction * level)
    return CrossingFit(at, table, means, weights, direction, crossing, resampled)


def _pivot_outcomes(runs: pd.DataFrame, axis: str, outcome: str) -> tuple[F8, F8]:
    """Return the values of the axis, and a table of seeds by them with nan for missing runs."""
    table = (
        runs.pivot(index="seed", columns=axis, values=outcome)
        .sort_index()
        .sort_index(axis=1)
        .astype(np.float64)
    )
    if table.shape[1] < 2:
        raise StatisticsError(
            f"{axis}: {table.shape[1]} settings, a crossing needs two, add values of the axis"
        )
    empty = table.columns[table.isna().all()]
    if len(empty):
        raise StatisticsError(
            f"{axis}: no run at {empty[0]:g} has {outcome}, every setting needs one, make them"
        )
    return table.columns.to_numpy(np.float64), table.to_numpy()


def fit_isotonic(means: F8, weights: F8) -> F8:
    """Return rising least-squares fits of many curves at once.

    The min-max formula (Barlow et al. 1972, section 1.4) gives the result of scipy's
    ``isotonic_regression``, which takes minutes for thousands of resamples.

    Args:
        means: (..., settings).
        weights: positive, of the same shape.
    """
    start = np.zeros((*means.shape[:-1], 1))
    summed = np.concatenate([start, np.cumsum(means * weights, axis=-1)], axis=-1)
    counted = np.concatenate([start, np.cumsum(weights, axis=-1)], axis=-1)
    size = means.shape[-1]
    apart = np.triu(np.ones((size, size), dtype=bool))  # from a setting to one not before it
    over = counted[..., None, 1:] - counted[..., :-1, None]
    average = np.where(
        apart, (summed[..., None, 1:] - summed[..., :-1, None]) / np.where(apart, over, 1.0), np.inf
    )
    least = np.minimum.accumulate(average[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(np.round(np.where(apart, least, -np.inf).max(axis=-2), 12))


def compute_misfit(means: F8, weights: F8) -> F8:
    """Return the weighted squares between means and their rising fit (...)."""
    return np.asarray((weights * (means - fit_isotonic(means, weights)) ** 2).sum(axis=-1))


def _read_crossing(at: F8, fits: F8, level: float) -> F8:
    """Return the crossings of the level by rising fits (...), interpolated between settings.

    A crossing is infinite on the side on which the level lies beyond. A stretch on the level counts
    by its middle.
    """
    last = len(at) - 1
    first = (fits >= level).argmax(axis=-1)
    final = last - (fits <= level)[..., ::-1].argmax(axis=-1)
    # Settings around the crossing, or the ends of the stretch.
    low, high = np.minimum(first, final), np.maximum(first, final)
    ends = np.take_along_axis(fits, np.stack([low, high], axis=-1), axis=-1)
    is_rising = ends[..., 1] > ends[..., 0]
    step = np.where(is_rising, ends[..., 1] - ends[..., 0], 1.0)
    share = np.where(is_rising, (level - ends[..., 0]) / step, 0.5)
    crossing = np.round(at[low] + share * (at[high] - at[low]), 10)
    crossing = np.where((fits < level).all(axis=-1), np.inf, crossing)
    return np.where((fits > level).all(axis=-1), -np.inf, crossing)


def resample_seeds(table: F8, root: int) -> tuple[F8, F8]:
    """Return means and counts of resamples of seeds (resamples, settings).

    If a resample has no run of a setting, it gets the mean of all the setting's runs with a
    negligible weight.
    """
    rows = np.random.default_rng(root).integers(len(table), size=(RESAMPLES, len(table)))
    times = np.stack([np.bincount(row, minlength=len(table)) for row in rows]).astype(np.float64)
    known = ~np.isnan(table)
    counts = times @ known
    means = times @ np.nan_to_num(table) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nanmean(table, axis=0)), np.maximum(counts, 1e-9)
