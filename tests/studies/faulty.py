"""What the study ``faulty`` measures: the lowest mark of runs that came to their end."""

from pathlib import Path

import pandas as pd

from experiments.config import RunConfig
from sim.metrics.cascades import Frames


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Of the run."""
    return pd.DataFrame({"low": [float(frames["steps"]["mark"].min())]})


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """All scores."""
    return {"scores": runs}


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """None."""


def report(runs: pd.DataFrame) -> str:
    """How many."""
    return f"{len(runs)} runs"
