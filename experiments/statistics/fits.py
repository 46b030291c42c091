"""Monotone curves through the means of runs, many resamples at once, and where they reach a level."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics.tails import StatisticsError
from sim.types import F8

RESAMPLES = 2_000


class CrossingFit(NamedTuple):
    """Where the isotonic fit of an outcome's means reaches a level, and where those of resamples do.

    Infinite on the side where the level lies beyond the range.
    """

    settings: F8  # settings, ascending
    outcomes: F8  # outcomes (seeds, settings); nan where a seed lacks one
    means: F8  # (settings,)
    weights: F8  # runs behind each
    direction: int  # 1 where the fit rises, -1 where it falls
    crossing: float
    resampled_crossings: F8  # (resamples,); none from one seed


def fit_crossing(runs: pd.DataFrame, axis: str, outcome: str, level: float) -> CrossingFit:
    """The outcome's fit, rising or falling, whichever is nearer to the means, read off between settings on a line.

    Resamples are of seeds, jointly for all settings; those of two frames with equally many seeds are the same.
    Arguments and errors are those of ``crossings.threshold``.
    """
    at, table = _pivot_outcomes(runs, axis, outcome)
    weights = (~np.isnan(table)).sum(axis=0).astype(np.float64)
    means = np.nanmean(table, axis=0)
    way = (
        1 if compute_misfit(means, weights) <= compute_misfit(-means, weights) else -1
    )  # a falling outcome is turned over
    crossed = float(_read_crossing(at, fit_isotonic(way * means, weights), way * level))
    found = np.empty(0)
    if len(table) > 1:
        drawn, counts = resample_seeds(table, 0)
        found = _read_crossing(at, fit_isotonic(way * drawn, counts), way * level)
    return CrossingFit(at, table, means, weights, way, crossed, found)


def _pivot_outcomes(runs: pd.DataFrame, axis: str, outcome: str) -> tuple[F8, F8]:
    """Values of the axis and a table of seeds by them; a seed that a setting lacks is nan there."""
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
    """Rising least-squares fits of many curves at once, by the min-max formula (Barlow et al. 1972, section 1.4).

    scipy's ``isotonic_regression`` makes the same of one curve; thousands of resamples take it minutes.

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
    """Weighted squares between means and their rising fit (...)."""
    return np.asarray((weights * (means - fit_isotonic(means, weights)) ** 2).sum(axis=-1))


def _read_crossing(at: F8, fits: F8, level: float) -> F8:
    """Where rising fits reach the level (...), between settings on a line; infinite on the side where it lies beyond.

    The middle of a stretch on the level.
    """
    last = len(at) - 1
    first, final = (
        (fits >= level).argmax(axis=-1),
        last - (fits <= level)[..., ::-1].argmax(axis=-1),
    )
    low, high = (
        np.minimum(first, final),
        np.maximum(first, final),
    )  # the settings around, or the ends of the stretch
    rise = np.take_along_axis(fits, np.stack([low, high], axis=-1), axis=-1)
    step = np.where(rise[..., 1] > rise[..., 0], rise[..., 1] - rise[..., 0], 1.0)
    share = np.where(rise[..., 1] > rise[..., 0], (level - rise[..., 0]) / step, 0.5)
    found = np.round(at[low] + share * (at[high] - at[low]), 10)
    return np.where(
        (fits > level).all(axis=-1), -np.inf, np.where((fits < level).all(axis=-1), np.inf, found)
    )


def resample_seeds(table: F8, root: int) -> tuple[F8, F8]:
    """Means and counts of resamples of seeds (resamples, settings).

    A resample without any run of a setting has the mean of all its runs there, at next to no weight.
    """
    rows = np.random.default_rng(root).integers(len(table), size=(RESAMPLES, len(table)))
    times = np.stack([np.bincount(each, minlength=len(table)) for each in rows]).astype(np.float64)
    known = ~np.isnan(table)
    counts = times @ known
    means = times @ np.nan_to_num(table) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nanmean(table, axis=0)), np.maximum(counts, 1e-9)
