"""Depth of falls, and their amplification by close-outs."""

import numpy as np
import pandas as pd

from sim.metrics.inputs import require_instrument

Frames = dict[str, pd.DataFrame]
"""Recorded frames of a run by name."""


def measure_fall(frames: Frames, instrument: str, since: int, until: int | None = None) -> float:
    """Return the log of the lowest mark of a window over the mark of the step before it.

    It is negative if the mark fell.

    Args:
        frames: frames of one run.
        instrument: instrument with the mark.
        since: first step of the shock.
        until: last step of the window; None = the run's last.

    Raises:
        ValueError: the run has no such instrument, or no step before ``since``.
    """
    require_instrument(frames, instrument)
    steps = frames["steps"]
    marks = steps[steps["instrument"] == instrument].set_index("step")["mark"]
    if since - 1 not in marks.index or since not in marks.index:
        span = f"one of {marks.index.min() + 1} to {marks.index.max()}"
        message = f"since: {since}, {instrument!r} has no marks at it and at the step before"
        raise ValueError(f"{message}: choose {span}")
    return float(np.log(marks.loc[since:until].min() / marks.loc[since - 1]))


def measure_amplification(
    run: Frames, twin: Frames, instrument: str, since: int, until: int | None = None
) -> float:
    """Return the ratio of the mark's fall in a run to its fall in the twin run.

    The twin has the same draws, and its close-outs are suppressed.

    Args:
        run: frames of the run.
        twin: frames of the run with ``suppress_closeouts``; the index is no substitute, because
            impact moves it too.
        instrument: instrument with the mark.
        since: first step of the shock.
        until: last step of the window; None = the run's last.

    Raises:
        ValueError: marks are missing, or the twin's mark did not fall, which leaves no reference.
    """
    alone = measure_fall(twin, instrument, since, until)
    if alone >= 0:
        raise ValueError(
            f"{instrument!r} does not fall from step {since} on in the twin run; "
            "choose a falling market"
        )
    return measure_fall(run, instrument, since, until) / alone


def is_untouched(frames: Frames) -> bool:
    """Return True if a run has no close-outs and losses, which makes it equal to its twin."""
    return not len(frames["closeouts"]) and not len(frames["losses"])
