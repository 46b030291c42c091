"""Backtest of expected shortfall: size of losses beyond VaR."""

from functools import lru_cache

import numpy as np

from sim.margin.tail.risk_measures import ReturnLaw
from sim.metrics.coverage import BacktestResult
from sim.types import F8

N_PATHS, SEED = 200_000, 20_141_202
"""Number of simulated samples, and their fixed seed, which makes critical values reproducible."""


def compute_z2(pnl: F8, var: F8, es: F8, alpha: float) -> float:
    """Return Z2 = Σ X_t I_t / (T alpha ES_t) + 1; its mean is zero if forecasts are correct.

    Source: Acerbi and Székely (2014, Risk, test 2).

    Args:
        pnl: gains, (T,).
        var: value at risk set before each, positive for a loss, (T,); I_t marks pnl < -var.
        es: expected shortfall, set before each, (T,), above zero.
        alpha: share of days that should lie beyond VaR.

    Raises:
        ValueError: no days, or an expected shortfall that is not above zero.
    """
    if not pnl.size or not (np.asarray(es) > 0).all():
        raise ValueError(
            "z2: needs days, and an expected shortfall above 0 on each, leave out the others"
        )
    beyond = pnl < -np.asarray(var)
    return float(np.sum(np.where(beyond, pnl / es, 0.0)) / (pnl.size * alpha) + 1.0)


@lru_cache(maxsize=64)
def simulate_z2(days: int, alpha: float, df: float = np.inf) -> F8:
    """Return Z2 of samples with correct forecasts, ascending, (N_PATHS,).

    Gains are normal, or Student-t. Only days beyond VaR count. Their number is drawn first, then
    their gains, by the quantile function at uniforms of (0, alpha).

    Args:
        days: T.
        alpha: share of days beyond VaR.
        df: degrees of freedom above 2; infinite = normal.
    """
    rng = np.random.default_rng(SEED)
    counts = rng.binomial(days, alpha, N_PATHS)
    law = ReturnLaw(df)
    beyond = law.quantile(alpha * (1 - rng.random(int(counts.sum()))))
    ends = np.concatenate([[0], np.cumsum(counts)])
    sums = np.diff(np.concatenate([[0.0], np.cumsum(beyond)])[ends])
    values: F8 = np.sort(sums / (days * alpha * law.expected_shortfall(1 - alpha)) + 1.0)
    values.flags.writeable = False
    return values


def find_critical_z2(days: int, alpha: float, significance: float, df: float = np.inf) -> float:
    """Return the Z2 below which ES is rejected.

    It is about -0.70 at 5% for 250 days and alpha = 2.5%, for any tail.
    """
    return float(np.quantile(simulate_z2(days, alpha, df), significance))


def run_z2_test(pnl: F8, var: F8, es: F8, alpha: float) -> BacktestResult:
    """Test ES by Z2; the one-sided p-value is the share of normal samples at or below it."""
    statistic = compute_z2(pnl, var, es, alpha)
    reference = simulate_z2(pnl.size, alpha)
    return BacktestResult(
        statistic, float(np.searchsorted(reference, statistic, side="right") / reference.size)
    )
