"""The published table once more, in plain pandas by its conventions alone; imports nothing of ours.

Log returns of the adjusted close. EWMA: v_t = d v_{t-1} + (1 - d) r_{t-1}^2, from the mean square
of the first 100 returns. Quantiles interpolate linearly. Filtered simulation: the 99% loss quantile
of r / sigma over the 500 days before, times sigma of the day. Stressed weight: 0.75 M + 0.25 x its
running maximum. Floor: max(M, mean of M over the last 2,500 days, at least 500). Buffer: 1.25 M
while M is at most P90 over the same window, else max(M, 1.25 P90). Days
count from 500 on, or from where a row is first defined; flat is the full sample's quantile.
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

DAYS, LEVEL = 500, 0.99


def sigma(returns: "pd.Series[float]", decay: float) -> "pd.Series[float]":
    """Volatility of each day, known the day before."""
    variance, found = float((returns.iloc[:100] ** 2).mean()), []
    for move in returns:
        found.append(variance)
        variance = decay * variance + (1 - decay) * move**2
    return pd.Series(np.sqrt(found), index=returns.index)


def margins(returns: "pd.Series[float]") -> "dict[str, pd.Series[float]]":
    """Margin of each day by engine, NaN where it is not defined."""
    losses = -returns
    fast, slow = sigma(returns, 0.97), sigma(returns, 0.99)
    fhs = (losses / fast).rolling(DAYS).quantile(LEVEL).shift(1) * fast
    past = fhs.rolling(2500, min_periods=500)
    high = past.quantile(0.9)
    buffered = (1.25 * fhs).where(fhs <= high, np.maximum(fhs, 1.25 * high)).where(high.notna())
    return {
        "ewma_97": norm.ppf(LEVEL) * fast,
        "ewma_99": norm.ppf(LEVEL) * slow,
        "hs_500": losses.rolling(DAYS).quantile(LEVEL).shift(1),
        "fhs_97": fhs,
        "fhs_floor": np.maximum(fhs, past.mean()).where(past.mean().notna()),
        "fhs_stressed": 0.75 * fhs + 0.25 * fhs.cummax(),
        "fhs_buffer": buffered,
        "flat": pd.Series(losses.quantile(LEVEL), index=returns.index),
    }


def table(returns: "pd.Series[float]") -> pd.DataFrame:
    """Peak over trough, largest rise within 30 days, mean, breaches: a row per engine."""
    rows = {}
    for name, margin in margins(returns).items():
        kept = margin.iloc[DAYS:].dropna()
        lost = -returns.loc[kept.index]
        rises = [float((kept - kept.shift(lag)).max()) for lag in range(1, 31)]
        rows[name] = {
            "peak_to_trough": kept.max() / kept.min(),
            "max_rise_30d": max(0.0, *rises),
            "mean_margin": kept.mean(),
            "breach_rate": float((lost > kept).mean()),
            "trials": len(kept),
        }
    return pd.DataFrame(rows).T
