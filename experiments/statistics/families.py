"""Many comparisons at once."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.statistics.paired import group_by_setting
from sim.types import F8


def adjust_by_holm(table: pd.DataFrame, family: Sequence[str] = ()) -> pd.DataFrame:
    """A table of comparisons with ``p_holm``, adjusted for all comparisons of a family.

    By Holm's steps down (1979, Scandinavian J. Statistics 6, 65): whatever else is true, the chance of one or more
    false findings in a family stays below the level.

    Args:
        table: with ``p``, such as ``against`` returns; a p-value that is missing (nan) stays so and is not counted.
        family: columns whose values tell families apart, such as ``["measure"]``; none = one family.
    """
    adjusted = pd.Series(np.nan, index=table.index)
    for _, group in group_by_setting(table, family):
        adjusted[group.index] = adjust_p_values(group["p"].to_numpy(np.float64))
    return table.assign(p_holm=adjusted)


def adjust_p_values(p: F8) -> F8:
    """Holm's p-values of one family, in its order (comparisons)."""
    adjusted = np.full(p.size, np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]  # nan comes last
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1)), 1)
    return adjusted
