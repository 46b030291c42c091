"""Margin against losses, breaches marked: one panel per engine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.backtest import Judged
from experiments.backtest_report import dates_of
from experiments.figures_style import COLOURS, PAGE, save, style
from experiments.series import Series

LOSS, MARGIN, BREACH = "0.6", COLOURS[0], COLOURS[3]
PANEL = 1.25
"""Height of a panel, inches."""


def margins(judged: Sequence[Judged], series: Series, folder: Path) -> Path:
    """All engines on one time axis and one scale; returns the PDF."""
    with style():
        figure = Figure(figsize=(PAGE, 0.5 + PANEL * len(judged)), layout="constrained")
        panels = figure.subplots(len(judged), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, each in zip(panels, judged, strict=True):
            _panel(axes, each, series)
        panels[0].set_ylim(0, 105 * max(float(max(each.margin.max(), each.losses.max())) for each in judged))
        figure.supylabel("Share of notional (%)", fontsize="medium")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        return save(figure, folder / "margins", pd.concat([_tidy(each, series) for each in judged]))


def _panel(axes: Axes, judged: Judged, series: Series) -> None:
    rows = judged.first + np.arange(judged.margin.size)
    when, hit = dates_of(series, rows), judged.at[judged.breaches]
    axes.vlines(when, 0, 100 * np.maximum(judged.losses, 0), color=LOSS, linewidth=0.4, label="Loss of the day")
    axes.plot(when, 100 * judged.margin, color=MARGIN, linewidth=1.0, label="Margin")
    # a breach of a longer horizon is marked at the margin that did not suffice
    top = np.maximum(judged.margin, judged.losses) if judged.engine.horizon == 1 else judged.margin
    look = {"color": BREACH, "marker": "v", "s": 9, "linewidth": 0, "zorder": 4}
    axes.scatter(when[hit], 100 * top[hit] + 0.35, label="Breach", **look)
    share = f"{judged.breaches.sum()} breaches in {judged.breaches.size}, {100 * judged.breaches.mean():.2f}%"
    axes.set_title(f"{judged.engine.name}: {share}", loc="left", fontsize="medium", pad=3)
    seaborn.despine(ax=axes)


def _tidy(judged: Judged, series: Series) -> pd.DataFrame:
    rows = judged.first + np.arange(judged.margin.size)
    breach = np.zeros(judged.margin.size, dtype=bool)
    breach[judged.at] = judged.breaches
    columns = {"engine": judged.engine.name, "row": rows, "when": dates_of(series, rows)}
    return pd.DataFrame(columns | {"margin": judged.margin, "loss": judged.losses, "breach": breach})
