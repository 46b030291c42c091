"""Two costs at once: which settings nothing else beats in both."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sim.types import B1, F8

RESAMPLES = 2_000


def mark_frontier(cost: F8, harm: F8) -> B1:
    """Which points no other point beats: none is as low in both and lower in one (points)."""
    below = (cost[None] <= cost[:, None]) & (harm[None] <= harm[:, None])
    strictly = (cost[None] < cost[:, None]) | (harm[None] < harm[:, None])
    beaten = np.any(below & strictly, axis=1)
    return np.asarray(~beaten, dtype=np.bool_)


def tabulate_frontier(
    runs: pd.DataFrame,
    by: Sequence[str],
    cost: str,
    harm: str,
    statistic: Callable[..., Any] = np.mean,
) -> pd.DataFrame:
    """Settings by mean cost and a figure of harm, and how surely each lies on the frontier.

    Replications are resampled jointly for all settings, as they share their draws (RNG-1).

    Args:
        runs: one row per setting and seed; seeds that a setting lacks are left out everywhere.
        by: columns that make a setting.
        cost: column, lower is better; its mean counts.
        harm: column, lower is better.
        statistic: of harm, taking an array and ``axis``; the mean, or an expected shortfall.

    Returns:
        Rows of ``by``, cost, harm, on_frontier, and ``share`` of resamples in which it is.
    """
    tables = [runs.pivot(index="seed", columns=list(by), values=name) for name in (cost, harm)]
    whole = tables[0].notna().all(axis=1) & tables[1].notna().all(axis=1)
    costs, harms = (table[whole].sort_index().to_numpy(np.float64) for table in tables)
    names = tables[0].columns.to_frame(index=False)
    centre, worst = costs.mean(axis=0), np.asarray(statistic(harms, axis=0))
    drawn = np.random.default_rng(0).integers(len(costs), size=(RESAMPLES, len(costs)))
    found = {cost: centre, harm: worst, "on_frontier": mark_frontier(centre, worst)}
    inside = [
        mark_frontier(costs[rows].mean(axis=0), np.asarray(statistic(harms[rows], axis=0)))
        for rows in drawn
    ]
    return names.assign(**found, share=np.mean(inside, axis=0))
