"""Impact of a large order on the mark, and the power of its size."""

from typing import NamedTuple

import numpy as np

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument
from sim.types import F8


class ImpactExponent(NamedTuple):
    """Power of size with which impact grows, and its 95% interval."""

    value: float
    low: float
    high: float


def measure_impact(run: Frames, twin: Frames, instrument: str, step: int) -> float:
    """Return the log ratio of the mark in a run with an order to its twin without, after a step.

    Both runs have the same draws.

    Raises:
        ValueError: a run has no such instrument or step.
    """
    marks = []
    for frames in (run, twin):
        require_instrument(frames, instrument)
        steps = frames["steps"]
        mark = steps.loc[(steps["instrument"] == instrument) & (steps["step"] == step), "mark"]
        if not len(mark):
            own = steps.loc[steps["instrument"] == instrument, "step"]
            fault = f"step: {step}, {instrument!r} has marks at {own.min()} to {own.max()}"
            raise ValueError(f"{fault}: choose a step of both runs")
        marks.append(float(mark.iloc[0]))
    return float(np.log(marks[0] / marks[1]))


def estimate_impact_exponent(sizes: F8, impacts: F8, resamples: int = 2000) -> ImpactExponent:
    """Return the least-squares slope of log mean impact over seeds on log size.

    The interval is the percentiles of ``resamples`` slopes, by the bootstrap over seeds. Sizes of
    one seed share their twin and stay together. The draws are the same in every call.

    Args:
        sizes: (Q,) sizes of the orders, above zero.
        impacts: (S, Q) impact of each seed and size, positive in the direction of the order.

    Raises:
        ValueError: the mean impact of a size is not above zero, and has no log.
    """
    mean = impacts.mean(axis=0)
    if not (mean > 0).all():
        raise ValueError(
            f"mean impacts {mean.tolist()} must be above 0; take larger orders or more seeds"
        )
    draws = np.random.default_rng(0).integers(0, len(impacts), (resamples, len(impacts)))
    drawn = impacts[draws].mean(axis=1)
    slopes = _fit_slopes(sizes, drawn[(drawn > 0).all(axis=1)])
    low, high = np.percentile(slopes, [2.5, 97.5])
    return ImpactExponent(float(_fit_slopes(sizes, mean[None])[0]), float(low), float(high))


def _fit_slopes(sizes: F8, impacts: F8) -> F8:
    """Return least-squares slopes of log impacts (n, Q) on log sizes (Q,)."""
    off = np.log(sizes) - np.log(sizes).mean()
    slopes: F8 = np.log(impacts) @ off / (off @ off)
    return slopes
