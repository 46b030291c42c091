"""Tables, figure and report of a study whose module has only ``score``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import seaborn
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from experiments.figures.style import save_figure, use_style
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate, summarise_measures

ESTIMATES = "estimates"
"""Name of the default table and of the default figure."""

HUE = "setting"
"""Column of the label of a line, and title of the legend."""

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
    """Draw each measure over the setting with the most values, one line for each other setting."""
    by, measures = split_columns(runs)
    if not measures or not by:
        return
    along = max(by, key=lambda name: runs[name].nunique())
    others = [name for name in by if name != along and runs[name].nunique() > 1]
    long = _melt_measures(runs, by, measures, others)
    if not is_numeric_dtype(long[along]):
        long[along] = long[along].astype(str)
    with use_style():
        grid = seaborn.relplot(
            data=long,
            x=along,
            y="value",
            hue=HUE if others else None,
            col="measure",
            col_wrap=min(len(measures), 3),
            kind="line",
            errorbar=("ci", 95),
            err_style="bars",
            seed=0,
            marker="o",
            height=2.2,
            facet_kws={"sharey": False},
        )
        grid.set_titles("{col_name}").set_axis_labels(along, "mean, 95% interval")
        save_figure(grid.figure, folder / ESTIMATES, make_tables(runs)[ESTIMATES])


def _melt_measures(
    runs: pd.DataFrame, by: list[str], measures: list[str], others: list[str]
) -> pd.DataFrame:
    """Return a row for each run and measure, with a label of the settings in ``others``."""
    long = runs.melt(id_vars=[*by, "seed"], value_vars=measures[:MAX_PANELS], var_name="measure")
    long["value"] = long["value"].astype(float)
    long["measure"] = long["measure"].str.replace("_", " ")
    if others:
        labels = [
            ", ".join(
                f"{name} {_format_cell(value)}" for name, value in zip(others, row, strict=True)
            )
            for row in long[others].itertuples(index=False)
        ]
        long[HUE] = labels
    return long


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
