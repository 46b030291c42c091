"""How far a large order moves the mark, and with which power of its size."""

from typing import NamedTuple

import numpy as np

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument
from sim.types import F8


class Exponent(NamedTuple):
    """The power of size with which impact grows, and its 95% interval."""

    value: float
    low: float
    high: float


def impact(run: Frames, twin: Frames, instrument: str, step: int) -> float:
    """Log mark of a run with an order less that of its twin without, same draws, at the end of a step.

    Raises:
        ValueError: one of them has no such instrument or step.
    """
    marks = []
    for frames in (run, twin):
        require_instrument(frames, instrument)
        steps = frames["steps"]
        found = steps.loc[(steps["instrument"] == instrument) & (steps["step"] == step), "mark"]
        if not len(found):
            own = steps.loc[steps["instrument"] == instrument, "step"]
            told = f"step: {step}, {instrument!r} has marks at {own.min()} to {own.max()}"
            raise ValueError(f"{told}: choose a step of both runs")
        marks.append(float(found.iloc[0]))
    return float(np.log(marks[0] / marks[1]))


def exponent(sizes: F8, impacts: F8, resamples: int = 2000) -> Exponent:
    """Slope of log impact on log size, by least squares over the seeds' mean impact of each size.

    The interval is that of the bootstrap over seeds, percentiles of ``resamples`` slopes: sizes of one seed share their
    twin and stay together. Its draws are the same in every call.

    Args:
        sizes: (Q,) of the orders, above nil.
        impacts: (S, Q) of each seed and size, signed so that an order moves the price its own way above nil.

    Raises:
        ValueError: the mean impact of a size is not above nil, hence has no log.
    """
    mean = impacts.mean(axis=0)
    if not (mean > 0).all():
        raise ValueError(f"mean impacts {mean.tolist()} must be above 0; take larger orders or more seeds")
    draws = np.random.default_rng(0).integers(0, len(impacts), (resamples, len(impacts)))
    drawn = impacts[draws].mean(axis=1)
    slopes = _slopes(sizes, drawn[(drawn > 0).all(axis=1)])
    low, high = np.percentile(slopes, [2.5, 97.5])
    return Exponent(float(_slopes(sizes, mean[None])[0]), float(low), float(high))


def _slopes(sizes: F8, impacts: F8) -> F8:
    """Least-squares slopes of log impacts (n, Q) on log sizes (Q,)."""
    off = np.log(sizes) - np.log(sizes).mean()
    slopes: F8 = np.log(impacts) @ off / (off @ off)
    return slopes
