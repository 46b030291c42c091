"""Tables in Markdown."""

import math
from collections.abc import Sequence

from experiments.statistics import Estimate


def format_header(names: Sequence[str]) -> list[str]:
    """Return the two header lines of a table."""
    return [format_row(names), "|" + "---|" * len(names)]


def format_row(cells: Sequence[str]) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(cells)} |"


def format_estimate(found: Estimate, *, signed: bool = False) -> str:
    """Return the mean and interval with as many digits as the interval supports, at most five.

    The form is ``1.35 (1.28 to 1.41)``. An interval narrower than the last of five digits is
    omitted.
    """
    if math.isnan(found.mean):
        return "none"
    width = found.high - found.low
    if math.isnan(width) or not width:
        return _format_number(found.mean, 2 if found.mean % 1 else 0, signed)
    if math.isinf(width):
        mean, low, high = (_format_number(value, 2, signed) for value in found[1:])
        return f"{mean} ({low} to {high})"
    enough = 4 - math.floor(math.log10(max(abs(found.low), abs(found.high))))
    digits = min(max(1 - math.floor(math.log10(width)), 0), max(enough, 0), 6)
    mean, low, high = (_format_number(value, digits, signed) for value in found[1:])
    return mean if low == high else f"{mean} ({low} to {high})"


def _format_number(value: float, digits: int, signed: bool) -> str:
    shown = round(value, digits) + 0.0  # removes the sign of zero
    text = f"{shown:+,.{digits}f}" if signed and shown else f"{shown:,.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}").replace("inf", "\N{INFINITY}")
