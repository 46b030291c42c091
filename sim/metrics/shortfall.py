"""Backtest of expected shortfall: were losses beyond VaR as large as they should be?"""

from functools import lru_cache

import numpy as np

from sim.margin.measures import Law
from sim.metrics.coverage import Verdict
from sim.types import F8

PATHS, SEED = 200_000, 20_141_202
"""Simulated samples, and their fixed seed: a critical value is a number, not a draw."""


def z2(pnl: F8, var: F8, es: F8, alpha: float) -> float:
    """Acerbi and Székely (2014, Risk, test 2): Z2 = Σ X_t I_t / (T alpha ES_t) + 1; mean nil if right.

    Args:
        pnl: gains, (T,).
        var: value at risk set before each, positive for a loss, (T,); I_t marks pnl < -var.
        es: expected shortfall, likewise, (T,), above nil.
        alpha: share of days that should lie beyond VaR.

    Raises:
        ValueError: no days, or an expected shortfall that is not above nil.
    """
    if not pnl.size or not (np.asarray(es) > 0).all():
        raise ValueError("z2: needs days, and an expected shortfall above 0 on each, leave out the others")
    beyond = pnl < -np.asarray(var)
    return float(np.sum(np.where(beyond, pnl / es, 0.0)) / (pnl.size * alpha) + 1.0)


@lru_cache(maxsize=64)
def simulated(days: int, alpha: float, df: float = np.inf) -> F8:
    """Z2 of samples whose forecasts are right, ascending, (PATHS,).

    Gains are normal, or Student-t. A day counts only beyond VaR, so it is enough to draw how many days do,
    and how far: the quantile function at uniforms of (0, alpha).

    Args:
        days: T.
        alpha: share of days beyond VaR.
        df: degrees of freedom above 2; infinite = normal.
    """
    rng = np.random.default_rng(SEED)
    counts = rng.binomial(days, alpha, PATHS)
    law = Law(df)
    beyond = law.quantile(alpha * (1 - rng.random(int(counts.sum()))))
    ends = np.concatenate([[0], np.cumsum(counts)])
    sums = np.diff(np.concatenate([[0.0], np.cumsum(beyond)])[ends])
    values: F8 = np.sort(sums / (days * alpha * law.es(1 - alpha)) + 1.0)
    values.flags.writeable = False
    return values


def critical(days: int, alpha: float, significance: float, df: float = np.inf) -> float:
    """Z2 below which ES is rejected; about -.70 at 5% for 250 days and alpha = 2.5%, whatever the tail."""
    return float(np.quantile(simulated(days, alpha, df), significance))


def z2_test(pnl: F8, var: F8, es: F8, alpha: float) -> Verdict:
    """Z2 and the share of simulated samples (normal) at or below it: a one-sided p-value."""
    statistic = z2(pnl, var, es, alpha)
    reference = simulated(pnl.size, alpha)
    return Verdict(statistic, float(np.searchsorted(reference, statistic, side="right") / reference.size))
