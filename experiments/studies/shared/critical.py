"""Critical κ of margin rules, their differences on the same draws, and the effect of close-outs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.statistics import (
    Paired,
    adjust_by_holm,
    compare_crossings,
    compare_pairs,
    find_crossing,
)
from experiments.studies.shared.rules import REFERENCE_RULE, list_rules

RULE_COLUMNS = ("engine", "elasticity")
SETTING_COLUMNS = (*RULE_COLUMNS, "kappa")
OUTCOME_COLUMNS = {"broken": "half", "runaway": "feedback"}
"""Outcomes whose probability must pass ½, with their names in columns.

``broken`` is a loss that the fund refuses, ``runaway`` an R(1%) of one or more.
"""

CROSSING_PARTS = ("at", "low", "high", "p_monotone", "verdict", "side")
"""Fields of a crossing that the table keeps."""


def group_by_rule(runs: pd.DataFrame) -> Iterator[tuple[tuple[str, float], pd.DataFrame]]:
    """Yield the runs of each rule and elasticity."""
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        for engine in list_rules(runs):
            group = runs[(runs["engine"] == engine) & (runs["elasticity"] == elasticity)]
            if len(group):
                yield (engine, elasticity), group


def compare_critical_kappas(runs: pd.DataFrame) -> pd.DataFrame:
    """Return κ* of every rule less that of the reference rule, on the same draws, if both are
    reached.
    """
    rows = []
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        groups = {
            name: group
            for (name, group_elasticity), group in group_by_rule(runs)
            if group_elasticity == elasticity
        }
        if REFERENCE_RULE not in groups:
            continue
        reference = groups.pop(REFERENCE_RULE)
        for name, group in groups.items():
            difference = compare_crossings(group, reference, "kappa", "broken", 0.5)
            rows.append((elasticity, name, REFERENCE_RULE, *difference))
    table = pd.DataFrame(rows, columns=["elasticity", "engine", "versus", *Paired._fields])
    return adjust_by_holm(table[table["mean"].notna()])


def compare_amplification(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the amplification of every rule at every shared κ, with a test against one."""
    known = runs[runs["amplification"].notna()]
    rows = []
    shared = known[known["kappa"].isin(find_shared_kappas(known))]
    for setting, group in shared.groupby(list(SETTING_COLUMNS), sort=False):
        values = group.sort_values("seed")["amplification"].to_numpy(np.float64)
        excess = compare_pairs(values, np.ones_like(values))
        ends = (excess.mean + 1, excess.low + 1, excess.high + 1)
        rows.append((*setting, "amplification", excess.n, *ends, excess.p))
    return adjust_by_holm(
        pd.DataFrame(rows, columns=[*SETTING_COLUMNS, "measure", *Paired._fields])
    )


def find_critical_kappas(runs: pd.DataFrame) -> pd.DataFrame:
    """Return κ* by rule and elasticity, and the κ* of the preset itself.

    κ* is where P = ½, or where R(1%) = 1 in half of the runs.
    """
    rows = []
    for (engine, elasticity), group in group_by_rule(runs):
        line: dict[str, Any] = {
            "engine": engine,
            "elasticity": elasticity,
            "n": int(group["seed"].nunique()),
        }
        for outcome, word in OUTCOME_COLUMNS.items():
            crossing = find_crossing(group, "kappa", outcome, 0.5)
            line |= {f"{word}_{part}": getattr(crossing, part) for part in CROSSING_PARTS}
            line[word] = crossing.format_cell(2)
        line["preset_at"] = 1 - group["scale"].iloc[0] * (1 - line["half_at"])
        rows.append(line)
    return pd.DataFrame(rows)


def find_shared_kappas(runs: pd.DataFrame) -> list[float]:
    """Return the values of κ at which every rule was run, at every elasticity."""
    counts = runs.groupby("kappa")[list(RULE_COLUMNS)].apply(
        lambda group: len(group.drop_duplicates())
    )
    return [
        float(kappa)
        for kappa in counts.index[counts == len(runs[list(RULE_COLUMNS)].drop_duplicates())]
    ]
