"""Tables, figure and report of a study whose module has only ``score``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from experiments.figures.style import (
    PAGE_WIDTH,
    create_figure,
    draw_estimates,
    save_figure,
    use_style,
)
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate, summarise_measures
from experiments.studies.shared.rules import choose_line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ESTIMATES = "estimates"
"""Name of the default table and of the default figure."""

PANELS_PER_ROW = 3
MAX_PANELS = 6
"""Measures that the default figure draws; the table has all of them."""


def add_default_outputs(module: Any) -> None:
    """Give a study's module the functions that it leaves out; those that it has stay.

    Args:
        module: it has ``score``. A default figure and a default report show the default table, or
            the tables of the module where it has ``tables``.
    """
    functions = vars(module)
    functions.setdefault("tables", make_tables)
    tables: Callable[[pd.DataFrame], dict[str, pd.DataFrame]] = functions["tables"]
    functions.setdefault("figures", draw_figures)
    functions.setdefault("report", lambda runs: format_report(tables(runs)))


def make_tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the mean of every measure at every setting, with its 95% confidence interval.

    Args:
        runs: columns of the setting, ``seed``, then the columns of ``score``. Measures are its
            columns of numbers and truth values; other columns divide the rows further.
    """
    by, measures = split_columns(runs)
    rows = runs.groupby([*by, "seed"], sort=False, dropna=False)[measures].mean().reset_index()
    for name in measures:
        if is_bool_dtype(runs[name]) and len(rows) == len(runs):
            rows[name] = runs[name].to_numpy()
    return {ESTIMATES: summarise_measures(rows, by, measures)}


def split_columns(runs: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the columns that make a setting, and the measures."""
    names = list(runs.columns)
    at = names.index("seed")
    setting, scored = names[:at], names[at + 1 :]
    measures = [
        name
        for name in scored
        if name != "role" and (is_numeric_dtype(runs[name]) or is_bool_dtype(runs[name]))
    ]
    return [*setting, *(name for name in scored if name not in measures)], measures


def draw_figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw each measure over the setting with the most values, one line for each other setting.

    Points and bars are the means and intervals of the default table.
    """
    import seaborn

    by, measures = split_columns(runs)
    if not measures or not by:
        return
    table = make_tables(runs)[ESTIMATES]
    along = max(by, key=lambda name: runs[name].nunique())
    others = [name for name in by if name != along and runs[name].nunique() > 1]
    shown = measures[:MAX_PANELS]
    n_rows = -(-len(shown) // PANELS_PER_ROW)
    with use_style():
        figure = create_figure(PAGE_WIDTH, 2.4 * n_rows)
        panels = figure.subplots(n_rows, min(len(shown), PANELS_PER_ROW), squeeze=False).ravel()
        for axes, name in zip(panels, shown, strict=False):
            _draw_panel(axes, table[table["measure"] == name], along, others)
            axes.set(title=name.replace("_", " "), xlabel=along, ylabel="mean, 95% interval")
        for axes in panels[len(shown) :]:
            axes.remove()
        if others:  # one legend, above all panels
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside upper right", ncols=4, frameon=False)
        seaborn.despine(figure)
        save_figure(figure, folder / ESTIMATES, table)


def _draw_panel(axes: "Axes", table: pd.DataFrame, along: str, others: list[str]) -> None:
    """Draw one measure: a line of means with intervals for each setting of ``others``."""
    is_number = is_numeric_dtype(table[along])
    values = list(dict.fromkeys(table[along]))
    x = table[along] if is_number else table[along].map(values.index)
    placed = table.assign(x=x.astype(float))
    groups = {"": placed}
    if others:
        groups = {
            ", ".join(
                f"{name} {_format_cell(value)}" for name, value in zip(others, setting, strict=True)
            ): group
            for setting, group in placed.groupby(others, sort=False)
        }
    looks = [choose_line_style(place) for place in range(len(groups))]
    spread = float(placed["x"].max() - placed["x"].min()) or 1.0
    draw_estimates(axes, groups, looks, "x", 0.015 * spread)
    if not is_number:
        axes.set_xticks(range(len(values)), [str(value) for value in values])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def format_report(tables: dict[str, pd.DataFrame]) -> str:
    """Return tables as Markdown; mean and interval stand in one cell where a table has them."""
    blocks = []
    for name, table in tables.items():
        shown = table
        if {"mean", "low", "high"} <= set(table.columns):
            estimates = table[["n", "mean", "low", "high"]].itertuples(index=False)
            cells = [format_estimate(Estimate(*cast(Any, each))) for each in estimates]
            kept = [each for each in table.columns if each not in ("n", "mean", "low", "high")]
            shown = table[kept].assign(**{"mean (95% interval)": cells})
        rows = [
            format_row([_format_cell(cell) for cell in row])
            for row in shown.itertuples(index=False)
        ]
        blocks.append("\n".join([*format_header([str(each) for each in shown.columns]), *rows]))
        if len(tables) > 1:
            blocks[-1] = f"{name}\n\n{blocks[-1]}"
    return "\n\n".join(blocks)


def _format_cell(value: object) -> str:
    """Return a cell as text, numbers without idle digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)
