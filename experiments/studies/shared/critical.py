"""Critical κ of margin rules, how far apart they lie on the same draws, and whether close-outs deepen a fall."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.statistics import Paired, holm, pairs, shift, threshold
from experiments.studies.shared.rules import REFERENCE, order

CELL = ("engine", "elasticity")
BY = (*CELL, "kappa")
OUTCOMES = {"broken": "half", "runaway": "feedback"}
"""Whose probability must pass ½, and the word for it in columns: a loss that the fund refuses, R(1%) of one or more."""

PARTS = ("at", "low", "high", "p_monotone", "verdict", "side")
"""Of a crossing, what the table keeps."""


def by_rule(runs: pd.DataFrame) -> Iterator[tuple[tuple[str, float], pd.DataFrame]]:
    """Runs of each rule and elasticity."""
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        for engine in order(runs):
            group = runs[(runs["engine"] == engine) & (runs["elasticity"] == elasticity)]
            if len(group):
                yield (engine, elasticity), group


def shifts(runs: pd.DataFrame) -> pd.DataFrame:
    """κ* of every rule less that of the reference, on the same draws, where both are reached."""
    rows = []
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        groups = {name: group for (name, each), group in by_rule(runs) if each == elasticity}
        others = [name for name in groups if name != REFERENCE] if REFERENCE in groups else []
        for name in others:
            found = shift(groups[name], groups[REFERENCE], "kappa", "broken", 0.5)
            rows.append((elasticity, name, REFERENCE, *found))
    table = pd.DataFrame(rows, columns=["elasticity", "engine", "versus", *Paired._fields])
    return holm(table[table["mean"].notna()])


def deepened(runs: pd.DataFrame) -> pd.DataFrame:
    """Amplification of every rule at every κ that all share, and whether it is shown to differ from one."""
    known = runs[runs["amplification"].notna()]
    rows = []
    for setting, group in known[known["kappa"].isin(shared(known))].groupby(list(BY), sort=False):
        values = group.sort_values("seed")["amplification"].to_numpy(np.float64)
        found = pairs(values, np.ones_like(values))
        ends = (found.mean + 1, found.low + 1, found.high + 1)
        rows.append((*setting, "amplification", found.n, *ends, found.p))
    return holm(pd.DataFrame(rows, columns=[*BY, "measure", *Paired._fields]))


def critical(runs: pd.DataFrame) -> pd.DataFrame:
    """κ* by rule and elasticity, where P = ½ and where R(1%) = 1 in half of the runs, and κ* of the preset itself."""
    rows = []
    for (engine, elasticity), group in by_rule(runs):
        line: dict[str, Any] = {"engine": engine, "elasticity": elasticity, "n": int(group["seed"].nunique())}
        for outcome, word in OUTCOMES.items():
            found = threshold(group, "kappa", outcome, 0.5)
            line |= {f"{word}_{part}": getattr(found, part) for part in PARTS} | {word: found.told(2)}
        line["preset_at"] = 1 - group["scale"].iloc[0] * (1 - line["half_at"])
        rows.append(line)
    return pd.DataFrame(rows)


def shared(runs: pd.DataFrame) -> list[float]:
    """Values of κ at which every rule was run, at every elasticity."""
    counts = runs.groupby("kappa")[list(CELL)].apply(lambda group: len(group.drop_duplicates()))
    return [float(kappa) for kappa in counts.index[counts == len(runs[list(CELL)].drop_duplicates())]]
