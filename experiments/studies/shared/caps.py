"""What studies of leverage caps share: settings, and tables with caps across."""

from collections.abc import Mapping

import pandas as pd

from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate

SETTING_COLUMNS = ("elasticity", "cap")
"""Columns that make a setting."""

MeasureLabels = Mapping[str, tuple[str, float]]
"""What a measure is called, and by what its figures are multiplied."""


def format_grid(table: pd.DataFrame, words: MeasureLabels, *, signed: bool = False) -> list[str]:
    """A Markdown table, a line for each measure and elasticity.

    Args:
        table: tidy estimates, or differences, with the columns of ``BY``.
        words: the measures to show, in order.
        signed: whether figures above nil have a sign, as differences do.
    """
    lines = format_header(["", "ε", *(f"cap {cap:g}" for cap in sorted(table["cap"].unique()))])
    for name, (told, factor) in words.items():
        for elasticity, group in table[table["measure"] == name].groupby("elasticity"):
            ordered = group.sort_values("cap")[list(Estimate._fields)].itertuples(index=False)
            cells = [
                format_estimate(Estimate(*each).rescale(factor), signed=signed) for each in ordered
            ]
            lines.append(format_row([told, f"{elasticity:g}", *cells]))
    return lines
