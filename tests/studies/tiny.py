"""Measure of the study ``tiny``: the lowest mark."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures.style import save_figure
from sim.metrics.cascades import Frames


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return the lowest marks of the run and its twin, and the number of close-outs."""
    assert twin is not None
    lows = [float(each["steps"]["mark"].min()) for each in (frames, twin)]
    return pd.DataFrame(
        {"low": [lows[0]], "alone": [lows[1]], "closed": [len(frames["closeouts"])]}
    )


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return means by setting."""
    return {"means": runs.groupby(["cap", "move"])[["low", "alone", "closed"]].mean().reset_index()}


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Plot the lowest mark by cap."""
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot(runs["cap"], runs["low"], "o")
    save_figure(figure, folder / "low", tables(runs)["means"])


def report(runs: pd.DataFrame) -> str:
    """Return the table of means."""
    return tables(runs)["means"].to_csv(index=False)
