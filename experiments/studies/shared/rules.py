"""What studies that compare margin rules share: their order, their words, their colours."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.figures.style import COLOURS, LINE_STYLES

REFERENCE_RULE = "isolated"

REFUSAL_NOTE = (
    "The fund refuses a loss that its money does not cover, and one that would leave its own account below initial "
    "margin under the rule of the run; a refusal does not mean that losses exceeded the fund."
)
"""What ``broken`` means, for the reports of studies that measure it (LIQ-3)."""
"""The rule that the others are held against: tiers from 40 times, an account for each position (MAR-2)."""

MARKERS = "osD^vP*X"


def list_rules(runs: pd.DataFrame) -> list[str]:
    """Rules in the order of the study's file, which is that of first appearance."""
    return [str(name) for name in runs["engine"].unique()]


def find_identical_rules(
    runs: pd.DataFrame, by: Sequence[str], measures: Sequence[str]
) -> pd.DataFrame:
    """Rules that show the figures of an earlier one, all of them, in every run that both have.

    Args:
        runs: one row per rule, setting and seed.
        by: columns that make a setting, but for the rule.
        measures: figures to compare, to a ten-thousandth of theirs.

    Returns:
        A row for each such rule: engine, like, n (runs compared).
    """
    shown = {
        name: group.set_index([*by, "seed"])[list(measures)]
        for name, group in runs.groupby("engine", sort=False)
    }
    found: dict[str, tuple[str, int]] = {}
    for name, earlier in itertools.combinations(reversed(shown), 2):
        both = shown[name].index.intersection(shown[earlier].index)
        if len(both) and _has_same_figures(shown[name].loc[both], shown[earlier].loc[both]):
            found[str(name)] = (str(earlier), len(both))
    rows = [(name, *found[name]) for name in list_rules(runs) if name in found]
    return pd.DataFrame(rows, columns=["engine", "like", "n"])


def _has_same_figures(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return np.allclose(
        one.to_numpy(np.float64), other.to_numpy(np.float64), rtol=1e-4, atol=1e-12, equal_nan=True
    )


def choose_line_style(number: int) -> dict[str, Any]:
    """How the lines of one of several series look."""
    marked: dict[str, Any] = {
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
        "linewidth": 1.1,
    }
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
        **marked,
    }


def describe_replications(runs: pd.DataFrame) -> str:
    """How many replications there are, and what so few are worth."""
    count = int(runs["seed"].nunique())
    told = f"{count} replication{'s' * (count != 1)} of each setting, the same draws everywhere"
    return f"{told}; so few are an impression, not evidence." if count < 20 else f"{told}."


def format_elasticity(elasticity: float) -> str:
    """An elasticity as it is read.

    >>> format_elasticity(0.5)
    'ε = ½'
    """
    return f"ε = {'½' if elasticity == 0.5 else f'{elasticity:g}'}"


def join_names(names: Sequence[str]) -> str:
    """Names as a list in a sentence.

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    return (
        " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])
        if names
        else "none"
    )
