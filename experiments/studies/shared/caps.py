"""Parts shared by studies of leverage caps: settings, and tables with a column for each cap."""

from collections.abc import Mapping

import pandas as pd

from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.statistics import Estimate

SETTING_COLUMNS = ("elasticity", "cap")
"""Columns that define a setting."""

CAP_SHIFT = 1.05
"""Factor between the places of two elasticities on a figure's logarithmic axis of caps."""

MeasureLabels = Mapping[str, tuple[str, float]]
"""Label of each measure, and the factor of its figures."""


def format_grid(table: pd.DataFrame, words: MeasureLabels, *, signed: bool = False) -> list[str]:
    """Format a Markdown table with a line for each measure and elasticity.

    Args:
        table: tidy estimates, or differences, with the columns of ``SETTING_COLUMNS``.
        words: labels of the measures to show, in order.
        signed: write the sign of figures above zero, as for differences.
    """
    lines = format_header(["", "ε", *(f"cap {cap:g}" for cap in sorted(table["cap"].unique()))])
    for name, (label, factor) in words.items():
        for elasticity, group in table[table["measure"] == name].groupby("elasticity"):
            ordered = group.sort_values("cap")[list(Estimate._fields)].itertuples(index=False)
            cells = [
                format_estimate(Estimate(*row).rescale(factor), signed=signed) for row in ordered
            ]
            lines.append(format_row([label, f"{elasticity:g}", *cells]))
    return lines
