"""Comparison of engines: frontier of margin against losses, and differences between rules."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    add_legend_entry,
    create_figure,
    draw_intervals,
    draw_line,
    save_figure,
)
from experiments.statistics import compare_with_reference, tabulate_frontier
from experiments.statistics.tails import average_worst
from experiments.studies.shared.rules import REFERENCE_RULE, choose_line_style, list_rules

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SETTING_COLUMNS = ("engine", "arm", "elasticity", "kappa")
PRESET_ARM, COMMON_ARM = "preset", "common"
"""Arms: maintenance as in the preset, and half of initial under every rule."""

LINEAR_BELOW = 0.01
"""Loss below which the figure's axis is linear, so that it can show zero (% of open interest)."""

MAX_HIGHLIGHTS = 7
"""Number of rules on a frontier that the figure names."""

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
    chosen = _choose_highlights(table, names)
    wide, high = int(runs["elasticity"].nunique()), int(runs["arm"].nunique())
    figure = create_figure(PAGE_WIDTH, 0.9 + 1.75 * high)
    grid = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    for axes, (arm, elasticity) in zip(grid.flat, _iterate_panels(runs), strict=True):
        here = table[(table["arm"] == arm) & (table["elasticity"] == elasticity)]
        _draw_points(axes, here, chosen)
        axes.set_title(f"{arm}, $\\epsilon$ = {elasticity:g}", fontsize="medium")
    if len(chosen) < len(names):
        dot: dict[str, Any] = {"color": "0.7", "marker": "o", "markersize": 3, "linestyle": "none"}
        add_legend_entry(grid[0, 0], "other rules", **dot)
    _label_frontier(figure, grid[0, 0], table["figure"].iloc[0])
    save_figure(figure, folder / "frontier", table)


def _label_frontier(figure: "Figure", axes: "Axes", statistic: str) -> None:
    figure.supxlabel("Initial margin before the shock (% of notional)", fontsize="medium")
    figure.supylabel(f"System loss (% of open interest)\n{statistic}", fontsize="medium")
    handles, labels = axes.get_legend_handles_labels()
    columns = min(6, len(labels))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)


def _draw_points(axes: "Axes", table: pd.DataFrame, names: list[str]) -> None:
    """Draw a point for each rule and level, and a line through those on the frontier.

    Args:
        axes: where.
        table: points of one panel.
        names: rules with a line of their own; the points of others are pale.
    """
    import seaborn

    percent = table.assign(
        calm_margin=100 * table["calm_margin"], system_loss=100 * table["system_loss"]
    ).sort_values("calm_margin")
    best = percent[percent["on_frontier"]]
    draw_line(axes, best["calm_margin"], best["system_loss"], color="0.75", linewidth=3, zorder=1)
    others = percent[~percent["engine"].isin(names)]
    look: dict[str, Any] = {"color": "0.7", "s": 9, "linewidth": 0, "legend": False, "zorder": 2}
    seaborn.scatterplot(others, x="calm_margin", y="system_loss", ax=axes, **look)
    for number, engine in enumerate(names):
        here = percent[percent["engine"] == engine]
        look = {**choose_line_style(number), "markersize": 4.5, "linewidth": 0.7, "zorder": 3}
        draw_line(axes, here["calm_margin"], here["system_loss"], label=engine, **look)
    axes.set(xlabel="", ylabel="")
    axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
    axes.set_yticks([0, LINEAR_BELOW, 0.1, 1, 10], ["0", f"{LINEAR_BELOW:g}", "0.1", "1", "10"])
    axes.set_xscale("log")
    ticks = [0.3, 1, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    seaborn.despine(ax=axes)


def _choose_highlights(table: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the reference rule, and those most often on a frontier, in the study's order."""
    counts = table[table["on_frontier"]].groupby("engine").size()
    often = counts.sort_values(ascending=False, kind="stable").index[:MAX_HIGHLIGHTS]
    return [name for name in names if name == REFERENCE_RULE or name in often]


def draw_differences(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``differences``: probability of a refused loss less the reference's, by level."""
    presets = runs[runs["arm"] == PRESET_ARM]
    table = compare_with_reference(
        presets, "engine", REFERENCE_RULE, SETTING_COLUMNS[1:], ["broken"]
    )
    elasticities = sorted(runs["elasticity"].unique())
    names = [name for name in list_rules(runs) if name != REFERENCE_RULE]
    figure = create_figure(PAGE_WIDTH, 0.9 + 0.32 * len(names))
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


def _draw_difference_panel(axes: "Axes", table: pd.DataFrame, names: list[str]) -> None:
    """Draw the differences of each rule at one elasticity, a point for each level."""
    import seaborn
    from matplotlib.colors import to_hex

    kappas = sorted(table["kappa"].unique())
    shift = 0.22 * (table["kappa"].map(kappas.index) - (len(kappas) - 1) / 2)
    placed = table.assign(
        at=table["engine"].astype(str).map(names.index) + shift,
        colour=[to_hex(COLOURS[kappas.index(kappa)]) for kappa in table["kappa"]],
    )
    draw_intervals(axes, placed, along="y")
    axes.axvline(0, color="0.7", linewidth=0.7, zorder=0)
    for number, kappa in enumerate(kappas):
        look: dict[str, Any] = {"color": COLOURS[number], "marker": "osD"[number % 3], "s": 14}
        look |= {"label": f"$\\kappa$ = {kappa:g}", "linewidth": 0, "zorder": 3}
        here = placed[placed["kappa"] == kappa]
        seaborn.scatterplot(here, x="mean", y="at", legend=False, ax=axes, **look)
    axes.set(xlabel="", ylabel="")
    axes.set_yticks(range(len(names)), names)
    axes.label_outer()
    seaborn.despine(ax=axes)
