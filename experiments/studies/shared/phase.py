"""Figures of compression: the probability of a refused loss under each rule, and the cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.figures.style import (
    COLOURS,
    PAGE_WIDTH,
    create_figure,
    draw_estimates,
    draw_intervals,
    save_figure,
    use_style,
)
from experiments.statistics import summarise_measures
from experiments.studies.shared.critical import RULE_COLUMNS, SETTING_COLUMNS, find_critical_kappas
from experiments.studies.shared.rules import choose_line_style, list_rules

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {
    "deleveraged": ("ADL\n(% of open interest)", 100),
    "system_loss": ("System loss\n(% of open interest)", 100),
    "amplification": ("Amplification", 1),
}

KAPPA_SHIFT = 0.012
"""Distance between the places of two elasticities, so that their intervals do not overlap."""

FIRST_ROW, ROW_HEIGHT = -0.1, 0.09
"""Place of the first critical κ below the probabilities, and distance to the next one."""

MAX_COLUMNS = 7
"""Rules side by side in the figure of costs."""


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
    figure = create_figure(PAGE_WIDTH, 0.6 + 1.75 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _draw_panel(axes, table[table["engine"] == name], marks[marks["engine"] == name])
        axes.set_title(name, fontsize="medium")
        axes.label_outer()
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


def _draw_panel(axes: "Axes", table: pd.DataFrame, marks: pd.DataFrame) -> None:
    """Draw shares with Wilson's intervals by elasticity, and below them κ* with its interval."""
    import seaborn
    from matplotlib.ticker import MaxNLocator

    elasticities = sorted(table["elasticity"].unique())
    reach = (float(table["kappa"].min()), float(table["kappa"].max()))
    _draw_critical(axes, marks[marks["half_at"].notna()], elasticities, reach)
    _draw_lines(axes, table, 1)
    for level in (0, 0.5, 1):
        axes.axhline(level, color="0.85", linewidth=0.6, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylim(FIRST_ROW - ROW_HEIGHT * (len(elasticities) - 0.3), 1.05)
    seaborn.despine(ax=axes)


def _draw_critical(
    axes: "Axes", marks: pd.DataFrame, elasticities: list[float], reach: tuple[float, float]
) -> None:
    """Draw κ* of each elasticity in a row of its own, with its interval cut at the runs' range."""
    import seaborn
    from matplotlib.colors import to_hex

    place = marks["elasticity"].map(elasticities.index).to_numpy(dtype=np.int64)
    rows = pd.DataFrame(
        {
            "kappa": marks["half_at"].to_numpy(),
            "at": FIRST_ROW - ROW_HEIGHT * place,
            "low": marks["half_low"].clip(*reach).to_numpy(),
            "high": marks["half_high"].clip(*reach).to_numpy(),
            "colour": [to_hex(COLOURS[number]) for number in place],
        }
    )
    if not len(rows):
        return
    draw_intervals(axes, rows, along="y", linewidth=2.5, alpha=0.5)
    colours = {colour: colour for colour in rows["colour"]}
    stroke: dict[str, Any] = {"marker": "|", "s": 40, "linewidth": 1.4, "legend": False}
    seaborn.scatterplot(rows, x="kappa", y="at", hue="colour", palette=colours, ax=axes, **stroke)


def _draw_lines(axes: "Axes", table: pd.DataFrame, factor: float) -> None:
    """Draw one measure of one rule against κ, a line with intervals for each elasticity."""
    scaled = table.assign(**factor * table[["mean", "low", "high"]])
    groups = {
        f"$\\epsilon$ = {elasticity:g}": group for elasticity, group in scaled.groupby("elasticity")
    }
    looks = [choose_line_style(number) for number in range(len(groups))]
    draw_estimates(axes, groups, looks, "kappa", KAPPA_SHIFT)
    axes.set(xlabel="", ylabel="")


def _draw_costs(runs: pd.DataFrame, folder: Path) -> None:
    panels = {name: panel for name, panel in PANELS.items() if runs[name].notna().any()}
    table, names = summarise_measures(runs, SETTING_COLUMNS, list(panels)), list_rules(runs)
    columns = min(MAX_COLUMNS, len(names))
    high = len(panels) * -(-len(names) // columns)
    figure = create_figure(PAGE_WIDTH, 0.7 + 1.3 * high)
    grid = figure.subplots(high, columns, sharex=True, sharey="row", squeeze=False)
    # Column after column of panels, from left to right and then further down.
    blocks = grid.reshape(-1, len(panels), columns)
    places = blocks.swapaxes(1, 2).reshape(-1, len(panels))
    for number, name in enumerate(names):
        own = table[table["engine"] == name]
        _draw_cost_column(places[number], own, panels, is_first=number % columns == 0)
    for axes in places[len(names) :].flat:
        axes.set_axis_off()
    figure.supxlabel("Compression $\\kappa$ from equal capital", fontsize="medium")
    _draw_legend(figure, grid[0, 0], columns=4, handlelength=2.8)
    figure.align_ylabels(grid[:, 0])
    save_figure(figure, folder / "toll", table)


def _draw_cost_column(
    places: "Sequence[Axes]", table: pd.DataFrame, panels: Mapping[str, Any], *, is_first: bool
) -> None:
    """Draw every measure of one rule against κ, a panel below the other."""
    import seaborn
    from matplotlib.ticker import MaxNLocator

    for axes, (measure, (label, factor)) in zip(places, panels.items(), strict=True):
        _draw_lines(axes, table[table["measure"] == measure], factor)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set_ylabel(label if is_first else "")
        axes.label_outer()
        seaborn.despine(ax=axes)
    places[0].set_title(str(table["engine"].iloc[0]), fontsize="medium")


def _draw_legend(figure: "Figure", axes: "Axes", *, columns: int, handlelength: float) -> None:
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
