"""Measure of the study ``faulty``: the lowest mark of each completed run."""

from pathlib import Path

import pandas as pd

from experiments.config import RunConfig
from sim.metrics.cascades import Frames


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return the lowest mark of the run."""
    return pd.DataFrame({"low": [float(frames["steps"]["mark"].min())]})


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return all scores."""
    return {"scores": runs}


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw no figures."""


def report(runs: pd.DataFrame) -> str:
    """Return the number of runs."""
    return f"{len(runs)} runs"
