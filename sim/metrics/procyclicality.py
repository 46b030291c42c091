"""How far a margin moves with the cycle, and what it costs (Murphy, Vasios and Vause 2014, BoE FSP 29)."""

import math

import numpy as np

from sim.types import B1, F8


def compute_peak_to_trough(margin: F8) -> float:
    """Largest over smallest margin of the sample (T,); infinite if it ever was nil."""
    return float(margin.max() / margin.min()) if margin.min() > 0 else math.inf


def find_largest_rise(margin: F8, days: int) -> float:
    """Largest rise from any day to any of the next ``days``; nil if margin never rises."""
    return find_stressed_rise(margin, np.ones(margin.size, dtype=np.bool_), days)


def find_stressed_rise(margin: F8, stressed: B1, days: int) -> float:
    """The same over rises that end on a stressed day: what is called for when cash is scarce.

    Args:
        margin: (T,).
        stressed: which days are, (T,).
        days: most that a rise may take.
    """
    rises = [
        float((margin[lag:] - margin[:-lag])[stressed[lag:]].max(initial=0.0))
        for lag in range(1, min(days, margin.size - 1) + 1)
    ]
    return max([0.0, *rises])


def select_stressed_days(losses: F8, window: int = 20, share: float = 0.1) -> B1:
    """The most volatile days: trailing root mean square of ``losses`` (T,) over ``window`` in its highest ``share``."""
    squares = np.cumsum(np.concatenate([np.zeros(1), np.square(losses)]))
    ends = np.arange(1, losses.size + 1)
    starts = np.maximum(ends - window, 0)
    size = (squares[ends] - squares[starts]) / (ends - starts)
    stressed: B1 = size > np.quantile(size, 1 - share)
    return stressed


def average_margin(margin: F8) -> float:
    """Mean margin: what is tied up."""
    return float(margin.mean())


def average_excess(margin: F8, flat: float) -> float:
    """Mean of what margin holds beyond a flat one, days on which it holds less counting as nil."""
    return float(np.maximum(margin - flat, 0.0).mean())
