"""Table of a comparison of engines: one row for each engine, as text and as CSV."""

from collections.abc import Callable, Mapping

import pandas as pd

from experiments.comparison.measures import EngineMeasures

ENGINE = "engine"
"""Column of the engines' names."""


def _percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def _times(value: float) -> str:
    return f"{value:.1f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


COLUMNS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "capital": ("capital", _percent),
    "leverage_median": ("leverage", _times),
    "leverage_90": ("90%", _times),
    "offsets": ("offsets", _percent),
    "saved": ("saved", _percent),
    "closeouts": ("close-outs", _count),
    "owners": ("owners", _count),
    "closed": ("closed", _count),
    "adl": ("ADL", _count),
    "fund_draw": ("fund draw", _count),
    "system_loss": ("system loss", _count),
    "lowest_mark": ("lowest mark", _percent),
}
"""Heading and format of each measure."""

LEGEND = """\
capital      initial margin of all accounts over their notional, over the whole run
leverage     notional over equity of owners with positions, median and 90th percentile, when open
             positions are largest
offsets      owners with long and short positions together, of those with positions
saved        margin that netting saves at the end, of the margin of every position alone
closed, ADL  notional closed out and deleveraged; fund draw, system loss: losses of bankrupt
             accounts that the fund, and all layers together, took ({currency})"""


def build_table(measures: Mapping[str, EngineMeasures]) -> pd.DataFrame:
    """Return one row for each engine, with its name and the unrounded measures."""
    rows = [{ENGINE: name, **found._asdict()} for name, found in measures.items()]
    return pd.DataFrame(rows)


def format_engine_table(table: pd.DataFrame, currency: str) -> str:
    """Return the table as text with headings, and below it what the columns mean."""
    cells = [[ENGINE, *(heading for heading, _ in COLUMNS.values())]]
    for _, row in table.iterrows():
        cells.append([str(row[ENGINE]), *(form(row[name]) for name, (_, form) in COLUMNS.items())])
    widths = [max(len(line[number]) for line in cells) for number in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if number == 0 else text.rjust(width)
            for number, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return "\n".join([*lines, "", LEGEND.format(currency=currency)])


def describe_capital(table: pd.DataFrame, *, is_equal: bool) -> str:
    """Return the sentence on the capital of the engines that are compared."""
    first, low, high = table[ENGINE].iloc[0], table["capital"].min(), table["capital"].max()
    if is_equal:
        return (
            f"Engines are scaled to the capital that {first} requires of the accounts of its twin "
            "without stresses.\nIn the runs accounts differ, so capital does too."
        )
    return (
        f"Engines have their own parameters and tie up different capital, {_percent(low)} to "
        f"{_percent(high)} of notional.\n--equal-capital scales them to that of {first}."
    )
