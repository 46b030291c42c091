"""Tidy tables as readers get them: figures with intervals in one cell, words for names; as CSV and LaTeX."""

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
CROSSING_COLUMNS = ["axis", "level", "told", "p_monotone", "seeds"]
"""What a reader wants of a table of ``thresholds``, which has the whole sentence in ``told``."""

SENTENCE_PARTS = ("at", "low", "high", "below", "above", "verdict")
"""Ends of names that a crossing's parts go by, beside a column that says it in words."""

COLUMN_NAMES = {
    "p_holm": "p (Holm)",
    "p_monotone": "p (monotone)",
    "told": "crossing",
    "versus": "less",
}
NONE_CELL = "none"


class TableLabels(NamedTuple):
    """What a study's module calls things; a table or figure without a caption goes by its name."""

    measures: Mapping[str, tuple[str, float]] = {}  # words, and by what its figures are multiplied
    captions: Mapping[str, str] = {}  # by name of table or figure
    mixed: str = ""  # which codes made the runs that tables are of; empty = one

    @classmethod
    def from_module(cls, module: Any) -> "TableLabels":
        """``WORDS`` and ``CAPTIONS`` of a module that has them."""
        held = vars(module)
        return cls(held.get("WORDS", {}), held.get("CAPTIONS", {}))

    def make_caption(self, name: str) -> str:
        """Of a table or figure."""
        caption = self.captions.get(name, name.replace("_", " ").capitalize())
        return f"{caption.rstrip('.')}. {self.mixed}" if self.mixed else caption

    def add_mixed_notice(self, report: str) -> str:
        """A study's report, after what its runs have not in common."""
        return f"**{self.mixed}**\n\n{report}" if self.mixed else report


def format_table(table: pd.DataFrame, words: TableLabels | None = None) -> pd.DataFrame:
    """A tidy table as text: mean and interval in one cell, n beside it, p-values to three places.

    Args:
        table: tidy; figures with intervals have the columns mean, low, high.
        words: for names in the column ``measure``, and of columns.
    """
    words = words or TableLabels()
    if "told" in table:
        table = table[
            [
                *table.columns[: table.columns.get_loc("axis")],
                *(n for n in CROSSING_COLUMNS if n in table),
            ]
        ]
    table = table.drop(columns=[name for name in table.columns if _is_sentence_part(name, table)])
    columns: dict[str, Any] = {}
    for name in table.columns.astype(str):
        if name == "mean" and set(INTERVAL_COLUMNS) <= set(table.columns):
            columns["mean (95% interval)"] = _format_intervals(table, words)
        elif name == "measure":
            columns["measure"] = [
                words.measures.get(each, (each.replace("_", " "), 1.0))[0] for each in table[name]
            ]
        elif name not in INTERVAL_COLUMNS or not set(INTERVAL_COLUMNS) <= set(table.columns):
            columns[_format_heading(name, words)] = [
                format_value(each, name) for each in table[name]
            ]
    return pd.DataFrame(columns, dtype=object)


def _is_sentence_part(name: str, table: pd.DataFrame) -> bool:
    """Whether a column is a part of what another one says in words: ``half_low`` where ``half`` is a sentence."""
    whole, _, part = name.rpartition("_")
    return (
        part in SENTENCE_PARTS
        and whole in table
        and all(isinstance(each, str) for each in table[whole])
    )


def _format_heading(name: str, words: TableLabels) -> str:
    return words.measures.get(name, (COLUMN_NAMES.get(name, name.replace("_", " ")), 1.0))[0]


def _format_intervals(table: pd.DataFrame, words: TableLabels) -> list[str]:
    factors = [
        words.measures.get(str(each), ("", 1.0))[1]
        for each in table.get("measure", [""] * len(table))
    ]
    counts = table["n"] if "n" in table else [0] * len(table)
    figures = zip(counts, *(table[name] for name in INTERVAL_COLUMNS), strict=True)
    signed = "versus" in table
    return [
        format_estimate(Estimate(*each).rescale(factor), signed=signed)
        for each, factor in zip(figures, factors, strict=True)
    ]


def format_value(value: Any, name: str = "") -> str:
    """One value as text.

    Args:
        value: of a tidy table.
        name: of its column; p-values have three places.
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
    if isinstance(value, int | np.integer) or (
        math.isfinite(value) and value == int(value) and abs(value) < 1e15
    ):
        return f"{int(value):,}".replace("-", "\N{MINUS SIGN}")
    text = "\N{INFINITY}" if math.isinf(value) else f"{abs(value):.4g}"
    return "\N{MINUS SIGN}" * (value < 0) + text


def write_tables(
    tables: Mapping[str, pd.DataFrame], folder: Path, words: TableLabels, of: str
) -> list[Path]:
    """Every table as CSV (tidy, all digits) and LaTeX (booktabs); returns the files.

    Args:
        tables: tidy, by name.
        folder: existing.
        words: of the study's module.
        of: what they are of, told in labels.
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
