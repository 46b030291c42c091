"""How far close-outs carried the mark."""

import numpy as np
import pandas as pd

Frames = dict[str, pd.DataFrame]
"""A run's frames by name, as recorded."""


def fall(frames: Frames, instrument: str, since: int) -> float:
    """Log of the lowest mark from step ``since`` on over the mark of the step before.

    Raises:
        ValueError: the run has no such instrument, or no step before ``since``.
    """
    steps = frames["steps"]
    marks = steps[steps["instrument"] == instrument].set_index("step")["mark"]
    if since - 1 not in marks.index or since not in marks.index:
        raise ValueError(f"{instrument!r} has no marks at steps {since - 1} and {since}; choose a step of the run")
    return float(np.log(marks.loc[since:].min() / marks.loc[since - 1]))


def amplification(run: Frames, twin: Frames, instrument: str, since: int) -> float:
    """How many times deeper the mark fell than in the twin run, with the same draws and close-outs suppressed.

    Args:
        run: frames of the run.
        twin: frames of the run with ``suppress_closeouts``; never the index, which impact moves too.
        instrument: whose mark.
        since: first step of the shock.
    """
    return fall(run, instrument, since) / fall(twin, instrument, since)
