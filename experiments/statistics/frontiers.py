"""Frontier of two costs: settings that no other setting beats in both."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sim.types import B1, F8

RESAMPLES = 2_000


def mark_frontier(cost: F8, harm: F8) -> B1:
    """Return True for points that no other point beats (points,).

    A point beats another if it is as low in both and lower in one.
    """
    other_cost, own_cost = cost[None], cost[:, None]
    other_harm, own_harm = harm[None], harm[:, None]
    is_as_low = (other_cost <= own_cost) & (other_harm <= own_harm)
    is_lower = (other_cost < own_cost) | (other_harm < own_harm)
    beaten = np.any(is_as_low & is_lower, axis=1)
    return np.asarray(~beaten, dtype=np.bool_)


def tabulate_frontier(
    runs: pd.DataFrame,
    by: Sequence[str],
    cost: str,
    harm: str,
    statistic: Callable[..., Any] = np.mean,
) -> pd.DataFrame:
    """Return settings by mean cost and harm, and how surely each lies on the frontier.

    Replications are resampled jointly for all settings, because they share their draws (RNG-1).

    Args:
        runs: one row per setting and seed; seeds that a setting lacks are left out everywhere.
        by: columns that define a setting.
        cost: column whose mean is compared, lower is better.
        harm: column, lower is better.
        statistic: function of harm with an array and ``axis``: the mean, or an expected shortfall.

    Returns:
        Rows of ``by``, cost, harm, on_frontier, and ``share``: the share of resamples on the
            frontier.
    """
    tables = [runs.pivot(index="seed", columns=list(by), values=name) for name in (cost, harm)]
    complete = tables[0].notna().all(axis=1) & tables[1].notna().all(axis=1)
    costs, harms = (table[complete].sort_index().to_numpy(np.float64) for table in tables)
    names = tables[0].columns.to_frame(index=False)
    centre, worst = costs.mean(axis=0), np.asarray(statistic(harms, axis=0))
    drawn = np.random.default_rng(0).integers(len(costs), size=(RESAMPLES, len(costs)))
    columns = {cost: centre, harm: worst, "on_frontier": mark_frontier(centre, worst)}
    inside = [
        mark_frontier(costs[rows].mean(axis=0), np.asarray(statistic(harms[rows], axis=0)))
        for rows in drawn
    ]
    return names.assign(**columns, share=np.mean(inside, axis=0))
