"""Margin against losses, breaches marked: one panel per engine."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.backtest.coverage import EngineBacktest
from experiments.backtest.report import BacktestSource
from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure, use_style

LOSS_COLOUR, MARGIN_COLOUR, BREACH_COLOUR = "0.6", COLOURS[0], COLOURS[3]
PANEL_HEIGHT = 1.25
"""Height of a panel, inches."""


def draw_margins(judged: Sequence[EngineBacktest], source: BacktestSource, folder: Path) -> Path:
    """All engines on one time axis and one scale; returns the PDF."""
    judged = [each for each in judged if not each.n_missing_returns]
    share = not any("margins_in" in each.figures for each in judged)
    factor = 100.0 if share else 1.0
    with use_style():
        figure = Figure(
            figsize=(PAGE_WIDTH, 0.5 + PANEL_HEIGHT * len(judged)), layout="constrained"
        )
        panels = figure.subplots(len(judged), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, each in zip(panels, judged, strict=True):
            _draw_panel(axes, each, source, factor)
        panels[0].set_ylim(
            0,
            1.05 * factor * max(float(max(each.margin.max(), each.lost.max())) for each in judged),
        )
        figure.supylabel(
            "Share of notional (%)" if share else "Quote currency for one unit", fontsize="medium"
        )
        panels[-1].set_xlabel(source.axis)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        return save_figure(
            figure,
            folder / "margins",
            pd.concat([_tabulate_margins(each, source) for each in judged]),
        )


def _draw_panel(axes: Axes, judged: EngineBacktest, source: BacktestSource, factor: float) -> None:
    when = source.when[judged.first_row :][: judged.margin.size]
    began, margin = when[judged.loss_starts], judged.margin[judged.loss_starts]
    axes.vlines(
        began,
        0,
        factor * np.maximum(judged.lost, 0),
        color=LOSS_COLOUR,
        linewidth=0.4,
        label="Loss over the horizon",
    )
    axes.plot(when, factor * judged.margin, color=MARGIN_COLOUR, linewidth=1.0, label="Margin")
    hit, top = judged.breaches, factor * np.maximum(margin, judged.lost)
    look = {"color": BREACH_COLOUR, "marker": "v", "s": 9, "linewidth": 0, "zorder": 4}
    axes.scatter(began[hit], top[hit] + 0.03 * axes.get_ylim()[1], label="Breach", **look)
    share = f"{judged.breaches.sum()} of {judged.breaches.size} breached, {100 * judged.breaches.mean():.2f}%"
    axes.set_title(f"{judged.engine.name}: {share}", loc="left", fontsize="medium", pad=3)
    seaborn.despine(ax=axes)


def _tabulate_margins(judged: EngineBacktest, source: BacktestSource) -> pd.DataFrame:
    rows = judged.first_row + np.arange(judged.margin.size)
    loss, breach = np.full(rows.size, np.nan), np.zeros(rows.size, dtype=bool)
    loss[judged.loss_starts], breach[judged.loss_starts] = judged.lost, judged.breaches
    columns = {"engine": judged.engine.name, "row": rows, "when": source.when[rows]}
    return pd.DataFrame(columns | {"margin": judged.margin, "loss": loss, "breach": breach})
