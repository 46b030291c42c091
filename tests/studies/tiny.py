"""What the study ``tiny`` measures: the lowest mark."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures.style import save_figure
from sim.metrics.cascades import Frames


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Of the run and of its twin; and how many were closed out."""
    assert twin is not None
    lows = [float(each["steps"]["mark"].min()) for each in (frames, twin)]
    return pd.DataFrame(
        {"low": [lows[0]], "alone": [lows[1]], "closed": [len(frames["closeouts"])]}
    )


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means by setting."""
    return {"means": runs.groupby(["cap", "move"])[["low", "alone", "closed"]].mean().reset_index()}


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Lows by cap."""
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot(runs["cap"], runs["low"], "o")
    save_figure(figure, folder / "low", tables(runs)["means"])


def report(runs: pd.DataFrame) -> str:
    """The table."""
    return tables(runs)["means"].to_csv(index=False)
