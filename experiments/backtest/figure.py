"""Figure of a backtest: margin against losses with breaches marked, a panel for each engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.backtest.coverage import EngineBacktest
from experiments.backtest.report import BacktestSource
from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    add_legend_entry,
    draw_intervals,
    draw_line,
    save_figure,
    use_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS_COLOUR, MARGIN_COLOUR, BREACH_COLOUR = "0.6", COLOURS[0], COLOURS[3]
PANEL_HEIGHT = 1.25
"""Height of a panel (inches)."""


def draw_margins(results: Sequence[EngineBacktest], source: BacktestSource, folder: Path) -> Path:
    """Draw all engines on one time axis and one scale; return the PDF."""
    from matplotlib.figure import Figure

    results = [result for result in results if not result.n_missing_returns]
    is_share = not any("margins_in" in result.figures for result in results)
    factor = 100.0 if is_share else 1.0
    size = (PAGE_WIDTH, 0.5 + PANEL_HEIGHT * len(results))
    with use_style():
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(results), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, result in zip(panels, results, strict=True):
            _draw_panel(axes, result, source, factor)
        top = max(float(max(result.margin.max(), result.lost.max())) for result in results)
        panels[0].set_ylim(0, 1.05 * factor * top)
        label = "Share of notional (%)" if is_share else "Quote currency for one unit"
        figure.supylabel(label, fontsize="medium")
        panels[-1].set_xlabel(source.axis)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        table = pd.concat([_tabulate_margins(result, source) for result in results])
        return save_figure(figure, folder / "margins", table)


def _draw_panel(
    axes: "Axes", result: EngineBacktest, source: BacktestSource, factor: float
) -> None:
    import seaborn

    when = source.when[result.first_row :][: result.margin.size]
    began, margin = when[result.loss_starts], result.margin[result.loss_starts]
    losses = factor * np.maximum(result.lost, 0)
    spikes = pd.DataFrame({"at": began, "low": 0.0, "high": losses, "colour": LOSS_COLOUR})
    draw_intervals(axes, spikes, linewidth=0.4)
    add_legend_entry(axes, "Loss over the horizon", color=LOSS_COLOUR, linewidth=1.0)
    draw_line(axes, when, factor * result.margin, color=MARGIN_COLOUR, label="Margin")
    hit = result.breaches
    _draw_breaches(axes, began[hit], factor * np.maximum(margin, result.lost)[hit])
    count, rate = f"{hit.sum()} breaches of {hit.size}", f"{100 * hit.mean():.2f}%"
    title = f"{result.engine.name}: {count}, {rate}"
    axes.set_title(title, loc="left", fontsize="medium", pad=3)
    axes.label_outer()
    seaborn.despine(ax=axes)


def _draw_breaches(axes: "Axes", at: Any, top: Any) -> None:
    import seaborn

    above = top + 0.03 * axes.get_ylim()[1]
    dots: dict[str, Any] = {"color": BREACH_COLOUR, "marker": "v", "s": 9, "linewidth": 0}
    seaborn.scatterplot(x=at, y=above, legend=False, ax=axes, zorder=4, **dots)
    dot: dict[str, Any] = {"marker": "v", "markersize": 4, "linestyle": "none"}
    add_legend_entry(axes, "Breach", color=BREACH_COLOUR, **dot)


def _tabulate_margins(result: EngineBacktest, source: BacktestSource) -> pd.DataFrame:
    rows = result.first_row + np.arange(result.margin.size)
    loss = np.full(rows.size, np.nan)
    loss[result.loss_starts] = result.lost
    breach = np.zeros(rows.size, dtype=bool)
    breach[result.loss_starts] = result.breaches
    return pd.DataFrame(
        {
            "engine": result.engine.name,
            "row": rows,
            "when": source.when[rows],
            "margin": result.margin,
            "loss": loss,
            "breach": breach,
        }
    )
