"""What a backtest leaves: a table as text, CSV and LaTeX, JSON, and margin against losses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import provenance, store
from experiments.backtest import RISE, Judged
from experiments.series import Series

HEADINGS = {
    "name": "engine",
    "peak_to_trough": "peak/trough",
    f"max_rise_{RISE}d": f"rise {RISE}d",
    f"max_rise_{RISE}d_stressed": "in stress",
    "mean_margin": "mean",
    "excess_over_flat": "over flat",
    "breach_rate": "breaches",
    "kupiec_pof": "POF p",
    "kupiec_tuff": "TUFF p",
    "christoffersen_independence": "ind. p",
    "christoffersen_conditional": "cond. p",
    "acerbi_szekely_z2": "Z2 p",
    "traffic_light": "light",
}
"""Columns of the table, by key of an engine's figures."""

SHARES = {f"max_rise_{RISE}d", f"max_rise_{RISE}d_stressed", "mean_margin", "excess_over_flat", "breach_rate"}
NOTE = "flat is the full sample's own quantile: a benchmark that knows the future, not an engine"


def as_json(judged: Sequence[Judged]) -> str:
    """One object per engine, in a list."""
    return json.dumps([each.figures for each in judged], indent=2, allow_nan=False)


def text(judged: Sequence[Judged]) -> str:
    """The table, aligned."""
    rows = [list(HEADINGS.values()), *[[_cell(each, key) for key in HEADINGS] for each in judged]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:>{w}}" if n else f"{cell:<{w}}" for n, (cell, w) in enumerate(_zip(row, widths)))
        for row in rows
    ]
    return "\n".join([*lines, *([NOTE] if any(each.engine.rule is None for each in judged) else [])])


def _zip(row: list[str], widths: list[int]) -> list[tuple[str, int]]:
    return list(zip(row, widths, strict=True))


def latex(judged: Sequence[Judged]) -> str:
    """The table in booktabs."""
    rows = [list(HEADINGS.values()), *[[_cell(each, key) for key in HEADINGS] for each in judged]]
    lines = [" & ".join(_escaped(cell) for cell in row) + r" \\" for row in rows]
    head = rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}"
    return "\n".join([head, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def frame(judged: Sequence[Judged]) -> pd.DataFrame:
    """One row per engine, each test's statistic and p-value in a column of their own."""
    rows = []
    for each in judged:
        row: dict[str, Any] = {}
        for key, value in each.figures.items():
            nested = value if isinstance(value, dict) else {"": value}
            row |= {f"{key}_{part}" if part else key: entry for part, entry in nested.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def write(judged: Sequence[Judged], series: Series, folder: Path, *, source: str, overwrite: bool = False) -> Path:
    """Everything, in a folder of its own.

    Raises:
        OutputError: there is a result already, or the place cannot be written.
    """
    from experiments.figures_backtest import margins

    with store.Draft(folder, overwrite=overwrite) as draft:
        (draft.folder / "backtest.json").write_text(as_json(judged) + "\n", encoding="utf-8")
        (draft.folder / "backtest.tex").write_text(latex(judged), encoding="utf-8")
        frame(judged).to_csv(draft.folder / "backtest.csv", index=False, lineterminator="\n")
        (draft.folder / "figures").mkdir()
        margins(judged, series, draft.folder / "figures")
        store.write_json({"data": source, **provenance.manifest()}, draft.folder / "manifest.json")
        draft.commit()
    return folder


def _cell(judged: Judged, key: str) -> str:
    value = judged.figures[key]
    if value is None:
        return "-"
    if key == "traffic_light":
        return str(value["zone"])
    if isinstance(value, dict):
        return f"{value['p_value']:.3f}"
    if key in SHARES:
        return f"{100 * value:.2f}%"
    return value if isinstance(value, str) else f"{value:.2f}"


def _escaped(cell: str) -> str:
    return cell.replace("%", r"\%").replace("_", r"\_").replace("@", "at ")


def dates_of(series: Series, rows: "np.ndarray[Any, np.dtype[np.int64]]") -> "np.ndarray[Any, Any]":
    """Days of some rows, or their numbers where the data has no days."""
    return series.dates[rows] if series.dates.size else rows
