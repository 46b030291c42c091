"""Critical κ of margin rules, how far apart they lie on the same draws, and whether close-outs deepen a fall."""

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
"""Whose probability must pass ½, and the word for it in columns: a loss that the fund refuses, R(1%) of one or more."""

CROSSING_PARTS = ("at", "low", "high", "p_monotone", "verdict", "side")
"""Of a crossing, what the table keeps."""


def group_by_rule(runs: pd.DataFrame) -> Iterator[tuple[tuple[str, float], pd.DataFrame]]:
    """Runs of each rule and elasticity."""
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        for engine in list_rules(runs):
            group = runs[(runs["engine"] == engine) & (runs["elasticity"] == elasticity)]
            if len(group):
                yield (engine, elasticity), group


def compare_critical_kappas(runs: pd.DataFrame) -> pd.DataFrame:
    """κ* of every rule less that of the reference, on the same draws, where both are reached."""
    rows = []
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        groups = {name: group for (name, each), group in group_by_rule(runs) if each == elasticity}
        others = (
            [name for name in groups if name != REFERENCE_RULE] if REFERENCE_RULE in groups else []
        )
        for name in others:
            found = compare_crossings(groups[name], groups[REFERENCE_RULE], "kappa", "broken", 0.5)
            rows.append((elasticity, name, REFERENCE_RULE, *found))
    table = pd.DataFrame(rows, columns=["elasticity", "engine", "versus", *Paired._fields])
    return adjust_by_holm(table[table["mean"].notna()])


def compare_amplification(runs: pd.DataFrame) -> pd.DataFrame:
    """Amplification of every rule at every κ that all share, and whether it is shown to differ from one."""
    known = runs[runs["amplification"].notna()]
    rows = []
    for setting, group in known[known["kappa"].isin(find_shared_kappas(known))].groupby(
        list(SETTING_COLUMNS), sort=False
    ):
        values = group.sort_values("seed")["amplification"].to_numpy(np.float64)
        found = compare_pairs(values, np.ones_like(values))
        ends = (found.mean + 1, found.low + 1, found.high + 1)
        rows.append((*setting, "amplification", found.n, *ends, found.p))
    return adjust_by_holm(
        pd.DataFrame(rows, columns=[*SETTING_COLUMNS, "measure", *Paired._fields])
    )


def find_critical_kappas(runs: pd.DataFrame) -> pd.DataFrame:
    """κ* by rule and elasticity, where P = ½ and where R(1%) = 1 in half of the runs, and κ* of the preset itself."""
    rows = []
    for (engine, elasticity), group in group_by_rule(runs):
        line: dict[str, Any] = {
            "engine": engine,
            "elasticity": elasticity,
            "n": int(group["seed"].nunique()),
        }
        for outcome, word in OUTCOME_COLUMNS.items():
            found = find_crossing(group, "kappa", outcome, 0.5)
            line |= {f"{word}_{part}": getattr(found, part) for part in CROSSING_PARTS} | {
                word: found.format_cell(2)
            }
        line["preset_at"] = 1 - group["scale"].iloc[0] * (1 - line["half_at"])
        rows.append(line)
    return pd.DataFrame(rows)


def find_shared_kappas(runs: pd.DataFrame) -> list[float]:
    """Values of κ at which every rule was run, at every elasticity."""
    counts = runs.groupby("kappa")[list(RULE_COLUMNS)].apply(
        lambda group: len(group.drop_duplicates())
    )
    return [
        float(kappa)
        for kappa in counts.index[counts == len(runs[list(RULE_COLUMNS)].drop_duplicates())]
    ]
