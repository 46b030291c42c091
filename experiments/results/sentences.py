"""Findings as sentences: the figure, its interval, and whether the interval leaves anything found."""

import math
from typing import NamedTuple

import pandas as pd

from experiments.results.markdown import format_estimate
from experiments.statistics import Crossing, Estimate, count_pairs_needed, find_smallest_p_value

ALPHA = 0.05


class HolmAdjustedP(NamedTuple):
    """A p-value adjusted by Holm, and for how many comparisons."""

    p: float
    family: int


def describe_low_power(n: int, family: int = 1, word: str = "replication") -> str | None:
    """Say what so few replications can show at best; None where a difference could be significant.

    Args:
        n: replications, or pairs of them.
        family: comparisons that Holm's adjustment counts.
        word: what is counted.
    """
    if find_smallest_p_value(n, family) < ALPHA:
        return None
    adjusted = (
        f", {find_smallest_p_value(n, family):.3g} by Holm over {family} comparisons"
        if family > 1
        else ""
    )
    return (
        f"the smallest p-value that {n} {word}{'s' * (n != 1)} can give is {find_smallest_p_value(n):.3g}{adjusted}, "
        f"and {count_pairs_needed(family)} are the fewest that could fall below {ALPHA}"
    )


def describe_comparison(
    what: str, one: str, other: str, found: Estimate, *, p_holm: float | HolmAdjustedP | None = None
) -> str:
    """A paired comparison as a title: what is found, that nothing is, or that so few pairs could find nothing.

    Args:
        what: the measure, as a sentence begins, such as ``Bad debt (% of open interest)``.
        one: the setting, such as ``the portfolio rule``.
        other: what it is held against.
        found: paired difference, one less other.
        p_holm: p-value adjusted for its family, and how many that has, if more than one; at 5% or more the difference
            is not held to be shown.
    """
    if math.isnan(found.low):
        return f"{what}: {_format_count(found, 'pair')}, too few to tell {one} from {other}."
    figure = f"{format_estimate(found, signed=True)}, {_format_count(found, 'pair')}"
    p, family = p_holm if isinstance(p_holm, HolmAdjustedP) else (p_holm, 1)
    if few := describe_low_power(found.n, family, "pair"):
        return f"{what}: {_format_count(found, 'pair')} cannot tell {one} from {other} ({format_estimate(found, signed=True)}): {few}."
    if not found.sign:
        return f"{what}: no difference shown between {one} and {other}; the interval covers nil ({figure})."
    if p is not None and not p < ALPHA:
        return (
            f"{what}: no difference shown between {one} and {other} among all comparisons "
            f"({figure}; p = {p:.2g} by Holm)."
        )
    return f"{what}: {one} {'above' if found.sign > 0 else 'below'} {other} ({figure})."


def describe_estimate(what: str, found: Estimate) -> str:
    """A figure by itself, as a title; one whose interval covers nil says so."""
    if math.isnan(found.low):
        return f"{what}: {format_estimate(found)} from {_format_count(found, 'replication')}, too few for an interval."
    figure = f"{format_estimate(found)}, {_format_count(found, 'replication')}"
    if found.low <= 0 <= found.high:
        if few := describe_low_power(found.n):
            return f"{what}: {_format_count(found, 'replication')} cannot show that it differs from zero ({format_estimate(found)}): {few}."
        return f"{what}: not shown to differ from nil; the interval covers it ({figure})."
    return f"{what}: {figure}."


def describe_crossing(what: str, found: Crossing) -> str:
    """Where a level is reached, as a title: ``not reached`` or every crossing where that is the truth.

    Args:
        what: the outcome, such as ``Probability of a loss that the fund refuses``.
        found: of ``threshold``.
    """
    told, seeds = found.format_cell(), f"{found.seeds} seed{'s' * (found.seeds != 1)}"
    if found.verdict == "reached":
        return f"{what} reaches {found.level:g} at {found.axis} {told}, {seeds}."
    return f"{what}, level {found.level:g} along {found.axis}: {told}, {seeds}."


def describe_comparisons(table: pd.DataFrame, what: str, axis: str) -> list[str]:
    """``compared`` for every row of a table of ``against``, adjusted by Holm if it has ``p_holm``."""
    adjusted: list[HolmAdjustedP | None] = [None] * len(table)
    if "p_holm" in table:
        adjusted = [HolmAdjustedP(p, int(table["p"].notna().sum())) for p in table["p_holm"]]
    figures = table[list(Estimate._fields)].itertuples(index=False)
    names = zip(table[axis].map(str), table["versus"].map(str), figures, adjusted, strict=True)
    return [
        describe_comparison(what, one, other, Estimate(*found), p_holm=p)
        for one, other, found, p in names
    ]


def _format_count(found: Estimate, word: str) -> str:
    return f"{found.n} {word}{'s' * (found.n != 1)}"
