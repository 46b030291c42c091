"""What studies of leverage caps share: settings, and tables with caps across."""

from collections.abc import Mapping

import pandas as pd

from experiments.results.markdown import cell, header, row
from experiments.statistics import Estimate

BY = ("elasticity", "cap")
"""Columns that make a setting."""

Words = Mapping[str, tuple[str, float]]
"""What a measure is called, and by what its figures are multiplied."""


def grid(table: pd.DataFrame, words: Words, *, signed: bool = False) -> list[str]:
    """A Markdown table, a line for each measure and elasticity.

    Args:
        table: tidy estimates, or differences, with the columns of ``BY``.
        words: the measures to show, in order.
        signed: whether figures above nil have a sign, as differences do.
    """
    lines = header(["", "ε", *(f"cap {cap:g}" for cap in sorted(table["cap"].unique()))])
    for name, (told, factor) in words.items():
        for elasticity, group in table[table["measure"] == name].groupby("elasticity"):
            ordered = group.sort_values("cap")[list(Estimate._fields)].itertuples(index=False)
            cells = [cell(Estimate(*each).times(factor), signed=signed) for each in ordered]
            lines.append(row([told, f"{elasticity:g}", *cells]))
    return lines
