"""How far close-outs carried the mark."""

import numpy as np
import pandas as pd

from sim.metrics.inputs import require_instrument

Frames = dict[str, pd.DataFrame]
"""A run's frames by name, as recorded."""


def fall(frames: Frames, instrument: str, since: int, until: int | None = None) -> float:
    """Log of the lowest mark from step ``since`` to ``until`` over the mark of the step before; below nil if it fell.

    Args:
        frames: of one run.
        instrument: whose mark.
        since: first step of the shock.
        until: last step of the window; none = the run's last.

    Raises:
        ValueError: the run has no such instrument, or no step before ``since``.
    """
    require_instrument(frames, instrument)
    steps = frames["steps"]
    marks = steps[steps["instrument"] == instrument].set_index("step")["mark"]
    if since - 1 not in marks.index or since not in marks.index:
        span = f"one of {marks.index.min() + 1} to {marks.index.max()}"
        raise ValueError(f"since: {since}, {instrument!r} has no marks at it and at the step before: choose {span}")
    return float(np.log(marks.loc[since:until].min() / marks.loc[since - 1]))


def amplification(run: Frames, twin: Frames, instrument: str, since: int, until: int | None = None) -> float:
    """How many times deeper the mark fell than in the twin run, with the same draws and close-outs suppressed.

    Args:
        run: frames of the run.
        twin: frames of the run with ``suppress_closeouts``; never the index, which impact moves too.
        instrument: whose mark.
        since: first step of the shock.
        until: last step of the window; none = the run's last.

    Raises:
        ValueError: marks are missing, or the twin's did not fall, so that there is nothing to compare with.
    """
    alone = fall(twin, instrument, since, until)
    if alone >= 0:
        raise ValueError(f"{instrument!r} does not fall from step {since} on in the twin run; choose a falling market")
    return fall(run, instrument, since, until) / alone


def untouched(frames: Frames) -> bool:
    """Whether nobody was closed out and nothing allocated: the run is then its own twin, and need not be run twice."""
    return not len(frames["closeouts"]) and not len(frames["losses"])
