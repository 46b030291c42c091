"""Sentences on findings: the estimate, its interval and its statistical significance."""

import math
from typing import NamedTuple

import pandas as pd

from experiments.results.markdown import format_estimate
from experiments.statistics import Crossing, Estimate, count_pairs_needed, find_smallest_p_value

ALPHA = 0.05


class HolmAdjustedP(NamedTuple):
    """P-value adjusted by Holm, and the number of comparisons."""

    p: float
    family: int


def describe_low_power(n: int, family: int = 1, word: str = "replication") -> str | None:
    """Return the smallest p-value that few replications can give, as a text.

    None if a difference could be significant.

    Args:
        n: number of replications, or of pairs.
        family: number of comparisons in Holm's adjustment.
        word: name of what is counted.
    """
    smallest = find_smallest_p_value(n, family)
    if smallest < ALPHA:
        return None
    adjusted = f", {smallest:.3g} by Holm over {family} comparisons" if family > 1 else ""
    return (
        f"the smallest p-value that {_count(n, word)} can give is "
        f"{find_smallest_p_value(n):.3g}{adjusted}, "
        f"and {count_pairs_needed(family)} are the fewest that could fall below {ALPHA}"
    )


def describe_comparison(
    what: str, one: str, other: str, found: Estimate, *, p_holm: float | HolmAdjustedP | None = None
) -> str:
    """Return a paired comparison as a title.

    The title reports a significant difference, no significant difference, or too few pairs.

    Args:
        what: name of the measure, such as ``Bad debt (% of open interest)``.
        one: name of the setting, such as ``the portfolio rule``.
        other: name of the setting it is compared with.
        found: paired difference, one less other.
        p_holm: p-value adjusted for its family, with the family's size if above one. At 5% or
            more the difference is not significant.
    """
    pairs = _count(found.n, "pair")
    if math.isnan(found.low):
        return f"{what}: {pairs}, too few to distinguish {one} from {other}."
    difference = format_estimate(found, signed=True)
    figure = f"{difference}, {pairs}"
    p, family = p_holm if isinstance(p_holm, HolmAdjustedP) else (p_holm, 1)
    if few := describe_low_power(found.n, family, "pair"):
        return f"{what}: {pairs} cannot distinguish {one} from {other} ({difference}): {few}."
    no_difference = f"{what}: no significant difference between {one} and {other}"
    if not found.sign:
        return f"{no_difference}; the interval covers zero ({figure})."
    if p is not None and not p < ALPHA:
        return f"{no_difference} among all comparisons ({figure}; p = {p:.2g} by Holm)."
    return f"{what}: {one} {'above' if found.sign > 0 else 'below'} {other} ({figure})."


def describe_estimate(what: str, found: Estimate) -> str:
    """Return an estimate as a title, which states if the interval covers zero."""
    estimate, replications = format_estimate(found), _count(found.n, "replication")
    if math.isnan(found.low):
        return f"{what}: {estimate} from {replications}, too few for an interval."
    figure = f"{estimate}, {replications}"
    if found.low <= 0 <= found.high:
        if few := describe_low_power(found.n):
            cannot = "cannot show that it differs from zero"
            return f"{what}: {replications} {cannot} ({estimate}): {few}."
        return f"{what}: not significantly different from zero; the interval covers it ({figure})."
    return f"{what}: {figure}."


def describe_crossing(what: str, found: Crossing) -> str:
    """Return the place where a level is reached, as a title.

    The title reports ``not reached`` or several crossings where these apply.

    Args:
        what: name of the outcome, such as ``Probability of a loss that the fund refuses``.
        found: crossing of the level.
    """
    place, seeds = found.format_cell(), _count(found.seeds, "seed")
    if found.verdict == "reached":
        return f"{what} reaches {found.level:g} at {found.axis} {place}, {seeds}."
    return f"{what}, level {found.level:g} along {found.axis}: {place}, {seeds}."


def describe_comparisons(table: pd.DataFrame, what: str, axis: str) -> list[str]:
    """Return ``describe_comparison`` for every row of a table of comparisons.

    P-values are adjusted by Holm if the table has a column ``p_holm``.
    """
    adjusted: list[HolmAdjustedP | None] = [None] * len(table)
    if "p_holm" in table:
        adjusted = [HolmAdjustedP(p, int(table["p"].notna().sum())) for p in table["p_holm"]]
    figures = table[list(Estimate._fields)].itertuples(index=False)
    names = zip(table[axis].map(str), table["versus"].map(str), figures, adjusted, strict=True)
    return [
        describe_comparison(what, one, other, Estimate(*found), p_holm=p)
        for one, other, found, p in names
    ]


def _count(n: int, word: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
