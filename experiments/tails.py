"""Tails of cascades and returns: a power law against its rivals (Clauset, Shalizi and Newman 2009, SIAM Rev. 51)."""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from sim.errors import DataError
from sim.types import F8

RIVALS = ("exponential", "lognormal", "truncated_power_law")
LEAST = 20
"""Values from which on a tail is fitted."""


def tail(sizes: F8, discrete: bool = False) -> pd.DataFrame:
    """Rows of rival, exponent, start, values, ratio, p: above nil the power law is likelier, p is of no difference.

    Args:
        sizes: (n,); those not above nil are left out.
        discrete: whether they are counts.

    Raises:
        DataError: fewer than 20 values, or all the same.
    """
    import powerlaw  # pulls in much that a run does not need

    kept = sizes[sizes > 0]
    if kept.size < LEAST or np.ptp(kept) == 0:
        told = f"tail: {np.unique(kept).size} different of {kept.size} sizes above 0"
        raise DataError(f"{told}, at least {LEAST} that differ are needed, run longer or take more runs together")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numerical corners in fits that lose
        fit: Any = powerlaw.Fit(kept, discrete=discrete, verbose=False)
        found = [(rival, fit.distribution_compare("power_law", rival, nested=None)) for rival in RIVALS]
    above = int((kept >= fit.xmin).sum())
    rows = [(rival, float(fit.alpha), float(fit.xmin), above, float(ratio), float(p)) for rival, (ratio, p) in found]
    return pd.DataFrame(rows, columns=["rival", "exponent", "start", "values", "ratio", "p"])


def finite_size(sizes: dict[int, F8]) -> pd.DataFrame:
    """Cascade sizes in systems of several sizes: rows of system, cascades, mean, cutoff (Σ s² ÷ Σ s), share of system.

    A cutoff that keeps its share of the system grows with it: cascades know no size of their own. One that stays does.
    """
    rows = [
        (system, each.size, float(each.mean()), float((each**2).sum() / each.sum())) for system, each in sizes.items()
    ]
    table = pd.DataFrame(rows, columns=["system", "cascades", "mean", "cutoff"])
    return table.assign(share=table["cutoff"] / table["system"])
