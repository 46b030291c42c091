"""What a backtest leaves: a table as text, CSV and LaTeX, JSON, and margin against losses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.backtest.coverage import NOTIONAL_SHARES, EngineBacktest
from experiments.paper.latex import format_tabular
from experiments.price_files.return_series import ReturnSeries
from experiments.results import provenance, store

Times = np.ndarray[Any, np.dtype[Any]]
"""Days, moments or numbers."""

HEADINGS = {
    "name": "engine",
    "peak_to_trough": "peak/trough",
    "max_rise": "rise",
    "mean_margin": "mean",
    "excess_over_flat": "over flat",
    "breach_rate": "breaches",
    "breach_rate_any_row": "any start",
    "kupiec_pof": "POF p",
    "kupiec_tuff": "TUFF p",
    "christoffersen_independence": "ind. p",
    "christoffersen_conditional": "cond. p",
    "acerbi_szekely_z2": "Z2 p",
    "traffic_light": "light",
}
"""Columns of the table, by key of an engine's figures; those of a rise tell over how long."""

PERCENT_FIGURES = ("max_rise", "mean_margin", "excess_over_flat", "breach_rate")
FLAT_NOTE = (
    "flat is the full sample's own quantile: a benchmark that knows the future, not an engine"
)


def format_json(judged: Sequence[EngineBacktest]) -> str:
    """One object per engine, in a list."""
    return json.dumps([each.figures for each in judged], indent=2, allow_nan=False)


def format_text(judged: Sequence[EngineBacktest]) -> str:
    """The table, aligned."""
    rows = _table_rows(judged)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:>{w}}" if n else f"{cell:<{w}}"
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, *_footnotes(judged)])


def _footnotes(judged: Sequence[EngineBacktest]) -> list[str]:
    notes = [FLAT_NOTE] if any(each.engine.rule is None for each in judged) else []
    if any("margins_in" in each.figures for each in judged):
        notes.append(
            "margins, rises and excess are in quote currency for one unit: returns are differences of prices"
        )
    return [*notes, *list_unjudged(judged)]


def list_unjudged(judged: Sequence[EngineBacktest]) -> list[str]:
    """A line on each engine that could not be judged."""
    return [
        f"{each.engine.name}: not judged, history is {each.n_missing_returns} returns too short for its look-back of {each.first_row} "
        f"and {2 * each.engine.horizon} to judge: give a longer series or a shorter --window"
        for each in judged
        if each.n_missing_returns
    ]


def format_latex(judged: Sequence[EngineBacktest]) -> str:
    """The table in booktabs."""
    return format_booktabs(_table_rows(judged))


def format_booktabs(rows: Sequence[Sequence[str]]) -> str:
    """A LaTeX table of which the first row is the head."""
    return format_tabular(rows[0], rows[1:], [False, *[True] * (len(rows[0]) - 1)])


def _table_rows(judged: Sequence[EngineBacktest]) -> list[list[str]]:
    """The head, and a row per engine."""
    headings = _table_headings(judged[0])
    if all(each.engine.horizon == 1 for each in judged):
        del headings["breach_rate_any_row"]  # the same
    return [
        list(headings.values()),
        *[[_format_cell(each, key) for key in headings] for each in judged],
    ]


def _table_headings(judged: EngineBacktest) -> dict[str, str]:
    rises = [key for key in judged.figures if key.startswith("max_rise_")]
    told = {
        key: "in stress" if key.endswith("_stressed") else f"rise {key.removeprefix('max_rise_')}"
        for key in rises
    }
    found: dict[str, str] = {}
    for key, word in HEADINGS.items():
        found |= told if key == "max_rise" else {key: word}
    return found


def tabulate_backtests(judged: Sequence[EngineBacktest]) -> pd.DataFrame:
    """One row per engine, each test's statistic and p-value in a column of their own."""
    rows = []
    for each in judged:
        row: dict[str, Any] = {}
        for key, value in each.figures.items():
            if each.n_missing_returns and value is None:
                continue
            nested = value if isinstance(value, dict) else {"": value}
            row |= {f"{key}_{part}" if part else key: entry for part, entry in nested.items()}
        rows.append(row)
    return pd.DataFrame(rows)


class BacktestSource(NamedTuple):
    """What was judged."""

    name: str
    when: Times  # (T,) of each row
    axis: str  # what the times are


def write_backtest(
    judged: Sequence[EngineBacktest],
    source: BacktestSource,
    folder: Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Everything, in a folder of its own.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    with store.ResultDraft(folder, overwrite=overwrite) as draft:
        write_backtest_files(judged, source, draft.folder)
        store.write_text(format_json(judged) + "\n", draft.folder / "backtest.json")
        store.write_text(format_latex(judged), draft.folder / "backtest.tex")
        draft.commit()
    return folder


def write_backtest_files(
    judged: Sequence[EngineBacktest], source: BacktestSource, folder: Path
) -> None:
    """Table, figure and manifest."""
    from experiments.backtest.figure import draw_margins

    store.write_csv(tabulate_backtests(judged), folder / "backtest.csv")
    (folder / "figures").mkdir()
    draw_margins(judged, source, folder / "figures")
    store.write_json(
        {"data": source.name, **provenance.describe_process()}, folder / "manifest.json"
    )


def describe_source(series: ReturnSeries, name: str) -> BacktestSource:
    """Days of the returns, or their numbers where the data has no days."""
    if series.dates.size:
        return BacktestSource(name, series.dates, "Day")
    return BacktestSource(name, np.arange(len(series.returns)), "Return")


def _format_cell(judged: EngineBacktest, key: str) -> str:
    value = judged.figures[key]
    if value is None:
        return "-"
    if key == "traffic_light":
        return str(value["zone"])
    if isinstance(value, dict):
        return f"{value['p_value']:.3f}"
    if key.startswith(NOTIONAL_SHARES) and "margins_in" in judged.figures:
        return f"{value:.4g}"
    if key.startswith(PERCENT_FIGURES):
        return f"{100 * value:.2f}%"
    return value if isinstance(value, str) else f"{value:.2f}"
