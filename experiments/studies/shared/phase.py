"""Figures of compression: the probability of a refused loss under each rule, and the cost."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure, use_style
from experiments.statistics import summarise_measures
from experiments.studies.shared.critical import RULE_COLUMNS, SETTING_COLUMNS, find_critical_kappas
from experiments.studies.shared.rules import choose_line_style, list_rules

PANELS = {
    "deleveraged": ("ADL\n(% of open interest)", 100),
    "system_loss": ("System loss\n(% of open interest)", 100),
    "amplification": ("Amplification", 1),
}


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``phase``, the probability of a refused loss against κ by rule, and ``toll``, its
    cost.
    """
    with use_style():
        _draw_phase(runs, folder)
        _draw_costs(runs, folder)


def _draw_phase(runs: pd.DataFrame, folder: Path) -> None:
    table, names = summarise_measures(runs, SETTING_COLUMNS, ["broken"]), list_rules(runs)
    marks = find_critical_kappas(runs)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 0.6 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _draw_panel(axes, table[table["engine"] == name], marks[marks["engine"] == name])
        axes.set_title(name, fontsize="medium")
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel("Compression $\\kappa$ from equal capital", fontsize="medium")
    figure.supylabel("Probability that the fund refuses a loss", fontsize="medium")
    _draw_legend(figure, grid[0, 0], columns=4, handlelength=2.8)
    save_figure(
        figure,
        folder / "phase",
        table.merge(marks, on=list(RULE_COLUMNS), suffixes=("", "_of_critical")),
    )


def _draw_panel(axes: Axes, table: pd.DataFrame, marks: pd.DataFrame) -> None:
    """Draw shares with Wilson's intervals by elasticity; bars at one half are intervals of κ*."""
    axes.axhline(0.5, color="0.7", linewidth=0.6, zorder=0)
    for number, (elasticity, group) in enumerate(table.groupby("elasticity")):
        at = group.sort_values("kappa")
        colour, label = COLOURS[number], f"$\\epsilon$ = {elasticity:g}"
        reach = np.abs(at[["low", "high"]].to_numpy().T - at["mean"].to_numpy())
        shifted = at["kappa"] + 0.012 * (number - 1)  # so that intervals do not overlap
        axes.errorbar(
            shifted, at["mean"], reach, label=label, elinewidth=0.7, **choose_line_style(number)
        )
        for mark in marks[marks["elasticity"] == elasticity].to_dict("records"):
            _draw_interval(axes, mark, (float(at["kappa"].min()), float(at["kappa"].max())), colour)
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
    axes.set_ylim(-0.04, 1.04)
    seaborn.despine(ax=axes)


def _draw_interval(axes: Axes, mark: Any, reach: tuple[float, float], colour: Any) -> None:
    """Draw κ* and its interval, cut at the range of the runs."""
    if np.isnan(mark["half_at"]):
        return
    low, high = np.clip([mark["half_low"], mark["half_high"]], *reach)
    axes.plot([low, high], [0.5, 0.5], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt")
    axes.plot([mark["half_at"]], [0.5], "|", color=colour, markersize=9, markeredgewidth=1.4)


def _draw_costs(runs: pd.DataFrame, folder: Path) -> None:
    panels = {name: panel for name, panel in PANELS.items() if runs[name].notna().any()}
    table = summarise_measures(runs, SETTING_COLUMNS, list(panels))
    elasticities = sorted(table["elasticity"].unique())
    figure = Figure(figsize=(PAGE_WIDTH, 0.7 + 1.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(elasticities), sharex=True, sharey="row", squeeze=False)
    for axes_row, (name, (label, factor)) in zip(grid, panels.items(), strict=True):
        for axes, elasticity in zip(axes_row, elasticities, strict=True):
            is_here = (table["measure"] == name) & (table["elasticity"] == elasticity)
            _draw_cost_panel(axes, table[is_here], factor, list_rules(runs))
        axes_row[0].set_ylabel(label)
    for axes, elasticity in zip(grid[0], elasticities, strict=True):
        axes.set_title(f"$\\epsilon$ = {elasticity:g}", fontsize="medium")
    figure.supxlabel("Compression $\\kappa$ from equal capital", fontsize="medium")
    _draw_legend(figure, grid[0, 0], columns=7, handlelength=2.2)
    save_figure(figure, folder / "toll", table)


def _draw_legend(figure: Figure, axes: Axes, *, columns: int, handlelength: float) -> None:
    """Draw one legend of all panels above them, in at most so many columns."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(columns, len(labels)),
        frameon=False,
        handlelength=handlelength,
    )


def _draw_cost_panel(axes: Axes, table: pd.DataFrame, factor: float, engines: list[str]) -> None:
    """Draw one measure against κ, a line with its interval for each engine."""
    for number, engine in enumerate(engines):
        at = table[table["engine"] == engine].sort_values("kappa")
        kappa, colour = at["kappa"], COLOURS[number]
        low, mean, high = factor * at["low"], factor * at["mean"], factor * at["high"]
        axes.fill_between(kappa, low, high, color=colour, alpha=0.1, linewidth=0)
        axes.plot(kappa, mean, label=engine, **choose_line_style(number))
    seaborn.despine(ax=axes)
