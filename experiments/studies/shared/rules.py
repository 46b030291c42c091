"""Parts shared by studies that compare margin rules: order, words and line styles."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.figures.style import COLOURS, LINE_STYLES

REFERENCE_RULE = "isolated"
"""Rule with which others are compared: tiers from 40 times, an account per position (MAR-2)."""

REFUSAL_NOTE = (
    "The fund refuses a loss that its money does not cover. It also refuses a loss that would "
    "leave its own account below initial margin under the rule of the run. A refusal therefore "
    "does not mean that losses exceeded the fund."
)
"""Definition of ``broken`` for the reports of studies that measure it (LIQ-3)."""

MARKERS = "osD^vP*X"


def list_rules(runs: pd.DataFrame) -> list[str]:
    """Return the rules in order of first appearance, which is that of the study's file."""
    return [str(name) for name in runs["engine"].unique()]


def find_identical_rules(
    runs: pd.DataFrame, by: Sequence[str], measures: Sequence[str]
) -> pd.DataFrame:
    """Return the rules whose figures all equal those of an earlier rule in every common run.

    Args:
        runs: one row per rule, setting and seed.
        by: columns that define a setting, without the rule.
        measures: figures to compare, with a relative tolerance of one ten-thousandth.

    Returns:
        A row for each such rule: engine, like, n (runs compared).
    """
    figures = {
        name: group.set_index([*by, "seed"])[list(measures)]
        for name, group in runs.groupby("engine", sort=False)
    }
    twins: dict[str, tuple[str, int]] = {}
    for name, earlier in itertools.combinations(reversed(figures), 2):
        both = figures[name].index.intersection(figures[earlier].index)
        if len(both) and _has_same_figures(figures[name].loc[both], figures[earlier].loc[both]):
            twins[str(name)] = (str(earlier), len(both))
    rows = [(name, *twins[name]) for name in list_rules(runs) if name in twins]
    return pd.DataFrame(rows, columns=["engine", "like", "n"])


def _has_same_figures(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return np.allclose(
        one.to_numpy(np.float64), other.to_numpy(np.float64), rtol=1e-4, atol=1e-12, equal_nan=True
    )


def choose_line_style(number: int) -> dict[str, Any]:
    """Return the line style of one of several series."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINE_STYLES[number % len(LINE_STYLES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
        "linewidth": 1.1,
    }


def describe_replications(runs: pd.DataFrame) -> str:
    """Describe the number of replications, with a caution if there are few."""
    count = int(runs["seed"].nunique())
    text = f"{count} replication{'s' * (count != 1)} of each setting, with the same draws"
    return f"{text}; too few for firm conclusions." if count < 20 else f"{text}."


def format_elasticity(elasticity: float) -> str:
    """Format an elasticity for text.

    >>> format_elasticity(0.5)
    'ε = ½'
    """
    return f"ε = {'½' if elasticity == 0.5 else f'{elasticity:g}'}"


def name_level(text: str) -> str:
    """Name the confidence level of the first interval in a text.

    >>> name_level("1.2 (0.9 to 1.5)")
    '1.2 (95% CI 0.9 to 1.5)'
    """
    return re.sub(r" \((?=[^a-z()]+ to )", " (95% CI ", text, count=1)


def join_names(names: Sequence[str]) -> str:
    """Join names to a list in a sentence.

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    return (
        " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])
        if names
        else "none"
    )
