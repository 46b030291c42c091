"""Outputs of a backtest: table as text, CSV and LaTeX, JSON, and a figure."""

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
"""Days, times or numbers."""

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
"""Columns of the table, by key of an engine's figures; those of a rise name its time."""

PERCENT_FIGURES = ("max_rise", "mean_margin", "excess_over_flat", "breach_rate")
FLAT_NOTE = (
    "flat is the full sample's own quantile: a benchmark that knows the future, not an engine"
)


def format_json(results: Sequence[EngineBacktest]) -> str:
    """Return a list with one object per engine as JSON."""
    return json.dumps([result.figures for result in results], indent=2, allow_nan=False)


def format_text(results: Sequence[EngineBacktest]) -> str:
    """Return the table as aligned text, with its notes."""
    rows = _table_rows(results)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        aligned = [f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *aligned]))
    return "\n".join([*lines, *_footnotes(results)])


def _footnotes(results: Sequence[EngineBacktest]) -> list[str]:
    notes = [FLAT_NOTE] if any(result.engine.rule is None for result in results) else []
    if any("margins_in" in result.figures for result in results):
        notes.append(
            "margins, rises and excess are in quote currency for one unit: "
            "returns are differences of prices"
        )
    return [*notes, *list_unjudged(results)]


def list_unjudged(results: Sequence[EngineBacktest]) -> list[str]:
    """Return a line for each engine that could not be scored."""
    lines = []
    for result in results:
        if result.n_missing_returns:
            lack = f"history is {result.n_missing_returns} returns too short"
            needed = f"look-back of {result.first_row} and {2 * result.engine.horizon} to judge"
            remedy = "give a longer series or a shorter --window"
            lines.append(f"{result.engine.name}: not judged, {lack} for its {needed}: {remedy}")
    return lines


def format_latex(results: Sequence[EngineBacktest]) -> str:
    """Return the table in booktabs."""
    return format_booktabs(_table_rows(results))


def format_booktabs(rows: Sequence[Sequence[str]]) -> str:
    """Return a LaTeX table; the first row is its head."""
    return format_tabular(rows[0], rows[1:], [False, *[True] * (len(rows[0]) - 1)])


def _table_rows(results: Sequence[EngineBacktest]) -> list[list[str]]:
    """Return the head, and a row per engine."""
    headings = _table_headings(results[0])
    if all(result.engine.horizon == 1 for result in results):
        del headings["breach_rate_any_row"]  # equal to breach_rate
    return [
        list(headings.values()),
        *[[_format_cell(result, key) for key in headings] for result in results],
    ]


def _table_headings(result: EngineBacktest) -> dict[str, str]:
    rises = {
        key: "in stress" if key.endswith("_stressed") else f"rise {key.removeprefix('max_rise_')}"
        for key in result.figures
        if key.startswith("max_rise_")
    }
    headings: dict[str, str] = {}
    for key, label in HEADINGS.items():
        headings |= rises if key == "max_rise" else {key: label}
    return headings


def tabulate_backtests(results: Sequence[EngineBacktest]) -> pd.DataFrame:
    """Return one row per engine, with separate columns for each test's statistic and p-value."""
    rows = []
    for result in results:
        row: dict[str, Any] = {}
        for key, value in result.figures.items():
            if result.n_missing_returns and value is None:
                continue
            nested = value if isinstance(value, dict) else {"": value}
            row |= {f"{key}_{part}" if part else key: entry for part, entry in nested.items()}
        rows.append(row)
    return pd.DataFrame(rows)


class BacktestSource(NamedTuple):
    """Data of a backtest: name and times."""

    name: str
    when: Times  # (T,) time of each row
    axis: str  # label of the time axis


def write_backtest(
    results: Sequence[EngineBacktest],
    source: BacktestSource,
    folder: Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write all outputs to a folder of their own.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    with store.ResultDraft(folder, overwrite=overwrite) as draft:
        write_backtest_files(results, source, draft.folder)
        store.write_text(format_json(results) + "\n", draft.folder / "backtest.json")
        store.write_text(format_latex(results), draft.folder / "backtest.tex")
        draft.commit()
    return folder


def write_backtest_files(
    results: Sequence[EngineBacktest], source: BacktestSource, folder: Path
) -> None:
    """Write table, figure and manifest."""
    from experiments.backtest.figure import draw_margins

    store.write_csv(tabulate_backtests(results), folder / "backtest.csv")
    (folder / "figures").mkdir()
    draw_margins(results, source, folder / "figures")
    store.write_json(
        {"data": source.name, **provenance.describe_process()}, folder / "manifest.json"
    )


def describe_source(series: ReturnSeries, name: str) -> BacktestSource:
    """Return the days of the returns, or their numbers if the data has no days."""
    if series.dates.size:
        return BacktestSource(name, series.dates, "Day")
    return BacktestSource(name, np.arange(len(series.returns)), "Return")


def _format_cell(result: EngineBacktest, key: str) -> str:
    value = result.figures[key]
    if value is None:
        return "-"
    if key == "traffic_light":
        return str(value["zone"])
    if isinstance(value, dict):
        return f"{value['p_value']:.3f}"
    if key.startswith(NOTIONAL_SHARES) and "margins_in" in result.figures:
        return f"{value:.4g}"
    if key.startswith(PERCENT_FIGURES):
        return f"{100 * value:.2f}%"
    return value if isinstance(value, str) else f"{value:.2f}"
