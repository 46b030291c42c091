"""Comparison of engines: frontier of margin against losses, and differences between rules."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure
from experiments.statistics import compare_with_reference, tabulate_frontier
from experiments.statistics.tails import average_worst
from experiments.studies.shared.rules import REFERENCE_RULE, choose_line_style, list_rules

SETTING_COLUMNS = ("engine", "arm", "elasticity", "kappa")
PRESET_ARM, COMMON_ARM = "preset", "common"
"""Arms: maintenance as in the preset, and half of initial under every rule."""

LINEAR_BELOW = 0.01
"""Loss below which the figure's axis is linear, so that it can show zero (% of open interest)."""

TAIL_SEEDS = 20
"""Number of replications from which an expected shortfall is reported; with fewer, the mean is."""


def tabulate_frontiers(runs: pd.DataFrame) -> pd.DataFrame:
    """Return rules and levels by mean margin in calm and tail of system loss.

    There is a frontier for each arm and elasticity. A rule with fewer replications than the others
    has no comparable tail and is left out.
    """
    runs = runs[runs.groupby("engine")["seed"].transform("nunique") == runs["seed"].nunique()]
    label, statistic = choose_tail_statistic(int(runs["seed"].nunique()))
    parts = []
    for arm, elasticity in _iterate_panels(runs):
        group = runs[(runs["arm"] == arm) & (runs["elasticity"] == elasticity)]
        table = tabulate_frontier(
            group, ["engine", "kappa"], "calm_margin", "system_loss", statistic
        )
        parts.append(table.assign(arm=arm, elasticity=elasticity, figure=label))
    return pd.concat(parts, ignore_index=True)


def choose_tail_statistic(count: int) -> tuple[str, Callable[..., Any]]:
    """Return the label and function of the tail statistic for a number of replications.

    It is the expected shortfall with ten replications beyond its level, or the mean if there are
    fewer than ``TAIL_SEEDS``.
    """
    if count < TAIL_SEEDS:
        return "mean", np.mean
    level = 1 - 10 / count

    def shortfall(values: Any, axis: int = 0) -> Any:
        return average_worst(values, level, axis)

    return f"expected shortfall at {level:.0%}", shortfall


def _iterate_panels(runs: pd.DataFrame) -> Iterator[tuple[str, float]]:
    for arm in runs["arm"].unique():
        for elasticity in sorted(runs["elasticity"].unique()):
            yield str(arm), float(elasticity)


def draw_frontier(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``frontier``: margin in calm against the tail of system loss, a panel for each arm."""
    table, names = tabulate_frontiers(runs), list_rules(runs)
    wide, high = int(runs["elasticity"].nunique()), int(runs["arm"].nunique())
    figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 1.75 * high), layout="constrained")
    grid = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    for axes, (arm, elasticity) in zip(grid.flat, _iterate_panels(runs), strict=True):
        here = table[(table["arm"] == arm) & (table["elasticity"] == elasticity)]
        _draw_points(axes, here, names)
        axes.set_title(f"{arm}, $\\epsilon$ = {elasticity:g}", fontsize="medium")
    figure.supxlabel("Initial margin before the shock (% of notional)", fontsize="medium")
    statistic = table["figure"].iloc[0]
    figure.supylabel(f"System loss (% of open interest)\n{statistic}", fontsize="medium")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(7, len(labels)), frameon=False
    )
    save_figure(figure, folder / "frontier", table)


def _draw_points(axes: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """Draw a point for each rule and level, and a line through those on the frontier."""
    best = table[table["on_frontier"]].sort_values("calm_margin")
    axes.plot(
        100 * best["calm_margin"], 100 * best["system_loss"], color="0.7", linewidth=3, zorder=0
    )
    for number, engine in enumerate(names):
        here = table[table["engine"] == engine].sort_values("calm_margin")
        look: dict[str, Any] = {**choose_line_style(number), "markersize": 4.5, "linewidth": 0.5}
        axes.plot(100 * here["calm_margin"], 100 * here["system_loss"], label=engine, **look)
    axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
    axes.set_yticks([0, LINEAR_BELOW, 0.1, 1, 10], ["0", f"{LINEAR_BELOW:g}", "0.1", "1", "10"])
    axes.set_xscale("log")
    ticks = [0.3, 1, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    seaborn.despine(ax=axes)


def draw_differences(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``differences``: probability of a refused loss less the reference's, by level."""
    presets = runs[runs["arm"] == PRESET_ARM]
    table = compare_with_reference(
        presets, "engine", REFERENCE_RULE, SETTING_COLUMNS[1:], ["broken"]
    )
    elasticities = sorted(runs["elasticity"].unique())
    names = [name for name in list_rules(runs) if name != REFERENCE_RULE]
    figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.32 * len(names)), layout="constrained")
    grid = figure.subplots(1, len(elasticities), sharex=True, sharey=True, squeeze=False)
    for axes, elasticity in zip(grid[0], elasticities, strict=True):
        _draw_difference_panel(axes, table[table["elasticity"] == elasticity], names)
        axes.set_title(f"$\\epsilon$ = {elasticity:g}", fontsize="medium")
    grid[0, 0].invert_yaxis()
    label = f"Probability that the fund refuses a loss, less that of {REFERENCE_RULE}"
    figure.supxlabel(label, fontsize="medium")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    save_figure(figure, folder / "differences", table)


def _draw_difference_panel(axes: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """Draw the differences of each rule at one elasticity, a point for each level."""
    axes.axvline(0, color="0.7", linewidth=0.7, zorder=0)
    for number, (kappa, group) in enumerate(table.groupby("kappa")):
        at = [names.index(str(name)) + 0.22 * (number - 1) for name in group["engine"]]
        reach = np.abs(group[["low", "high"]].to_numpy().T - group["mean"].to_numpy())
        look: dict[str, Any] = {
            "color": COLOURS[number],
            "marker": "osD"[number % 3],
            "markersize": 3.2,
            "linestyle": "none",
            "elinewidth": 0.8,
        }
        label = f"$\\kappa$ = {kappa:g}"
        axes.errorbar(group["mean"], at, xerr=reach, label=label, **look)
    axes.set_yticks(range(len(names)), names)
    seaborn.despine(ax=axes)
