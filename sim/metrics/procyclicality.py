"""Procyclicality and cost of margin (Murphy, Vasios and Vause 2014, BoE FSP 29)."""

import math

import numpy as np

from sim.types import B1, F8


def compute_peak_to_trough(margin: F8) -> float:
    """Return the largest over the smallest margin (T,); infinite if the smallest is zero."""
    return float(margin.max() / margin.min()) if margin.min() > 0 else math.inf


def find_largest_rise(margin: F8, days: int) -> float:
    """Return the largest rise within ``days`` days; zero if margin never rises."""
    return find_stressed_rise(margin, np.ones(margin.size, dtype=np.bool_), days)


def find_stressed_rise(margin: F8, stressed: B1, days: int) -> float:
    """Return the largest rise that ends on a stressed day.

    Args:
        margin: (T,).
        stressed: (T,) True on stressed days.
        days: longest duration of a rise.
    """
    rises = [
        float((margin[lag:] - margin[:-lag])[stressed[lag:]].max(initial=0.0))
        for lag in range(1, min(days, margin.size - 1) + 1)
    ]
    return max([0.0, *rises])


def select_stressed_days(losses: F8, window: int = 20, share: float = 0.1) -> B1:
    """Return True for the most volatile days, (T,).

    Volatility is the trailing root mean square of ``losses`` (T,) over ``window`` days. Days with
    volatility in its highest ``share`` are stressed.
    """
    squares = np.cumsum(np.concatenate([np.zeros(1), np.square(losses)]))
    ends = np.arange(1, losses.size + 1)
    starts = np.maximum(ends - window, 0)
    size = (squares[ends] - squares[starts]) / (ends - starts)
    stressed: B1 = size > np.quantile(size, 1 - share)
    return stressed


def average_margin(margin: F8) -> float:
    """Return the mean margin."""
    return float(margin.mean())


def average_excess(margin: F8, flat: float) -> float:
    """Return the mean margin beyond a flat one; days with less count as zero."""
    return float(np.maximum(margin - flat, 0.0).mean())
