"""Tails of replications: quantiles and expected shortfall, refused with too few values beyond."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.statistics.intervals import LEVEL, Estimate, bootstrap_bca
from experiments.statistics.paired import group_by_setting
from sim.errors import DeleverageError
from sim.types import F8

MIN_VALUES_BEYOND = 10
"""Smallest number of replications beyond a tail's level."""


class StatisticsError(DeleverageError):
    """Error of a figure that the replications cannot support."""


def estimate_quantile(values: F8, level: float) -> Estimate:
    """Estimate a quantile with its distribution-free interval from order statistics; conservative.

    Source: Conover 1999, section 3.2.

    Args:
        values: replications; missing ones (nan) are left out.
        level: share of replications below, at most 1 - 10/n and at least 10/n.

    Raises:
        StatisticsError: too few replications for the level.
    """
    from scipy import stats

    known = select_supported(values, level)
    test: Any = stats.quantile_test(known, q=0.0, p=level)
    interval = test.confidence_interval(LEVEL)
    centre = float(np.quantile(known, level))
    return Estimate(known.size, centre, float(interval.low), float(interval.high))


def estimate_shortfall(values: F8, level: float) -> Estimate:
    """Estimate the expected shortfall: mean of the worst (largest) share 1 - level, with BCa
    interval.

    The value at the edge counts by its part beyond the level (Acerbi & Tasche 2002, J. Banking &
    Finance 26).

    Args:
        values: replications, larger is worse; missing ones (nan) are left out.
        level: at most 1 - 10/n.

    Raises:
        StatisticsError: too few replications for the level.
    """
    return bootstrap_bca(
        select_supported(values, level), lambda sample, axis: average_worst(sample, level, axis)
    )


def average_worst(values: F8, level: float, axis: int) -> Any:
    """Return the mean of the largest share, with a fraction of the value at the edge."""
    ordered = np.sort(np.moveaxis(np.asarray(values), axis, -1), axis=-1)[..., ::-1]
    share = (1 - level) * ordered.shape[-1]
    weights = np.clip(share - np.arange(ordered.shape[-1]), 0, 1)
    return ordered @ (weights / weights.sum())


def select_supported(values: F8, level: float) -> F8:
    """Return the known values, if enough of them lie beyond a level on its side.

    Raises:
        StatisticsError: fewer than ten values lie beyond it.
    """
    if not 0 < level < 1:
        raise StatisticsError(f"level: {level:g}, must lie between 0 and 1, write 0.95")
    known = values[~np.isnan(values)]
    beyond = min(level, 1 - level) if level < 0.5 else 1 - level
    if known.size * beyond < MIN_VALUES_BEYOND - 1e-9:
        needed = math.ceil(MIN_VALUES_BEYOND / beyond - 1e-9)
        bound = (
            f"at most {max(1 - MIN_VALUES_BEYOND / known.size, 0):.3g}" if known.size else "none"
        )
        rule = f"{bound} leaves {MIN_VALUES_BEYOND} beyond it"
        raise StatisticsError(
            f"level: {level:g} of {known.size} replications, {rule}, "
            f"make {needed} replications or ask for a lower level"
        )
    return known


def summarise_tails(
    runs: pd.DataFrame, by: Sequence[str], measures: Sequence[str], level: float
) -> pd.DataFrame:
    """Return quantile and expected shortfall of every measure at every setting.

    Args:
        runs: one row per setting and seed; larger is worse.
        by: columns that define a setting.
        measures: columns to summarise.
        level: level of both, at most 1 - 10/n.

    Returns:
        Rows of ``by``, measure, figure (``quantile`` or ``shortfall``), level, n, mean, low, high.

    Raises:
        StatisticsError: a setting has too few replications for the level.
    """
    figures = {"quantile": estimate_quantile, "shortfall": estimate_shortfall}
    rows = [
        (*setting, name, label, level, *figure(group[name].to_numpy(np.float64), level))
        for setting, group in group_by_setting(runs, by)
        for name in measures
        for label, figure in figures.items()
    ]
    return pd.DataFrame(rows, columns=[*by, "measure", "figure", "level", *Estimate._fields])
