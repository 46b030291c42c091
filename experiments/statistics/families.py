"""Adjustment of p-values for many comparisons."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.statistics.paired import group_by_setting
from sim.types import F8


def adjust_by_holm(table: pd.DataFrame, family: Sequence[str] = ()) -> pd.DataFrame:
    """Add ``p_holm`` to a table of comparisons, adjusted for all comparisons of a family.

    By Holm's step-down method (1979, Scandinavian J. Statistics 6, 65), the probability of any
    false finding in a family stays below the level.

    Args:
        table: comparisons with ``p``, such as those of ``compare_with_reference``; a missing
            p-value (nan) stays missing and is not counted.
        family: columns whose values separate families, such as ``["measure"]``; none = one family.
    """
    adjusted = pd.Series(np.nan, index=table.index)
    for _, group in group_by_setting(table, family):
        adjusted[group.index] = adjust_p_values(group["p"].to_numpy(np.float64))
    return table.assign(p_holm=adjusted)


def adjust_p_values(p: F8) -> F8:
    """Return Holm's adjusted p-values of one family, in its order (comparisons,)."""
    adjusted = np.full(p.size, np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]  # nan is sorted last
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1)), 1)
    return adjusted
