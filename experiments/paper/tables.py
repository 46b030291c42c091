"""Tidy tables for readers: figures with intervals in one cell, labels, CSV and LaTeX."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.paper import latex
from experiments.results import store
from experiments.results.markdown import format_estimate
from experiments.statistics import Estimate

INTERVAL_COLUMNS = ["mean", "low", "high"]
CROSSING_COLUMNS = ["axis", "level", "cell", "p_monotone", "seeds"]
"""Columns shown of a table of crossings, whose text is in ``cell``."""

SENTENCE_PARTS = ("at", "low", "high", "below", "above", "verdict")
"""Endings of columns that hold parts of a crossing, beside a column with its text."""

COLUMN_NAMES = {
    "p_holm": "p (Holm)",
    "p_monotone": "p (monotone)",
    "cell": "crossing",
    "versus": "less",
}
NONE_CELL = "none"


class TableLabels(NamedTuple):
    """Labels of a study's module; a table or figure without a caption is labelled by its name."""

    measures: Mapping[str, tuple[str, float]] = {}  # label, and the factor of its figures
    captions: Mapping[str, str] = {}  # by name of table or figure
    mixed: str = ""  # notice about several codes; empty if one code made all runs

    @classmethod
    def from_module(cls, module: Any) -> "TableLabels":
        """Return the labels ``WORDS`` and ``CAPTIONS`` of a module, if it has them."""
        entries = vars(module)
        return cls(entries.get("WORDS", {}), entries.get("CAPTIONS", {}))

    def make_caption(self, name: str) -> str:
        """Return the caption of a table or figure."""
        caption = self.captions.get(name, name.replace("_", " ").capitalize())
        return f"{caption.rstrip('.')}. {self.mixed}" if self.mixed else caption

    def add_mixed_notice(self, report: str) -> str:
        """Return a study's report, after the notice about runs of several codes."""
        return f"**{self.mixed}**\n\n{report}" if self.mixed else report


def format_table(table: pd.DataFrame, words: TableLabels | None = None) -> pd.DataFrame:
    """Format a tidy table as text: mean and interval in one cell, p-values with three places.

    Args:
        table: tidy table; figures with intervals have the columns mean, low, high.
        words: labels of names in the column ``measure``, and of columns.
    """
    words = words or TableLabels()
    if "cell" in table:
        setting = table.columns[: table.columns.get_loc("axis")]
        table = table[[*setting, *(name for name in CROSSING_COLUMNS if name in table)]]
    table = table.drop(columns=[name for name in table.columns if _is_sentence_part(name, table)])
    has_intervals = set(INTERVAL_COLUMNS) <= set(table.columns)
    columns: dict[str, Any] = {}
    for name in table.columns.astype(str):
        if name == "mean" and has_intervals:
            columns["mean (95% CI)"] = _format_intervals(table, words)
        elif name == "measure":
            columns["measure"] = [_label_measure(measure, words) for measure in table[name]]
        elif name not in INTERVAL_COLUMNS or not has_intervals:
            heading = _format_heading(name, words)
            columns[heading] = [format_value(value, name) for value in table[name]]
    return pd.DataFrame(columns, dtype=object)


def _label_measure(name: str, words: TableLabels) -> str:
    return words.measures.get(name, (name.replace("_", " "), 1.0))[0]


def _is_sentence_part(name: str, table: pd.DataFrame) -> bool:
    """Return True for a part of a text in another column: ``half_low`` if ``half`` is a text."""
    whole, _, part = name.rpartition("_")
    if part not in SENTENCE_PARTS or whole not in table:
        return False
    return all(isinstance(cell, str) for cell in table[whole])


def _format_heading(name: str, words: TableLabels) -> str:
    return words.measures.get(name, (COLUMN_NAMES.get(name, name.replace("_", " ")), 1.0))[0]


def _format_intervals(table: pd.DataFrame, words: TableLabels) -> list[str]:
    measures = table.get("measure", [""] * len(table))
    factors = [words.measures.get(str(name), ("", 1.0))[1] for name in measures]
    counts = table["n"] if "n" in table else [0] * len(table)
    figures = zip(counts, *(table[name] for name in INTERVAL_COLUMNS), strict=True)
    signed = "versus" in table
    return [
        format_estimate(Estimate(*figure).rescale(factor), signed=signed)
        for figure, factor in zip(figures, factors, strict=True)
    ]


def format_value(value: Any, name: str = "") -> str:
    """Format one value as text.

    Args:
        value: value of a tidy table.
        name: name of its column; p-values have three places.
    """
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE_CELL
    if name in ("p", "p_holm", "p_monotone"):
        return "<0.001" if value < 0.001 else f"{value:.3f}"
    is_integer = isinstance(value, int | np.integer)
    if is_integer or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", "\N{MINUS SIGN}")
    text = "\N{INFINITY}" if math.isinf(value) else f"{abs(value):.4g}"
    return f"\N{MINUS SIGN}{text}" if value < 0 else text


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, words: TableLabels, of: str
) -> list[Path]:
    """Write every table as CSV (tidy, all digits) and LaTeX (booktabs); return the files.

    Args:
        tables: tidy tables, by name.
        folder: existing folder.
        words: labels of the study's module.
        of: name of the study or run, used in labels.
    """
    made: list[Path] = []
    for name, table in tables.items():
        paths = folder / f"{name}.csv", folder / f"{name}.tex"
        store.write_csv(table.assign(mixed=words.mixed) if words.mixed else table, paths[0])
        text = latex.format_float(
            format_table(table, words), caption=words.make_caption(name), label=f"{of}:{name}"
        )
        store.write_text(text, paths[1])
        made += paths
    return made
