"""Shapley's value: a difference shared out among switches, whatever order they are thrown in."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.statistics.paired import settings
from experiments.statistics.tails import StatisticsError
from sim.types import F8


def shapley(worth: F8) -> F8:
    """Each switch's value: its mean effect over all orders (Shapley 1953, Contributions to the Theory of Games II).

    Args:
        worth: what every coalition is worth (..., 2^n); switch k is on at the indices whose bit k is set.

    Returns:
        Values (..., n); they sum to all on less all off.
    """
    n = int(worth.shape[-1]).bit_length() - 1
    if worth.shape[-1] != 1 << n:
        raise ValueError(f"worth: {worth.shape[-1]} coalitions, must be a power of two: give every one")
    coalitions = np.arange(1 << n)
    sizes = np.array([int(each).bit_count() for each in coalitions])
    orders = np.array([math.factorial(s) * math.factorial(max(n - s - 1, 0)) for s in sizes]) / math.factorial(n)
    values = []
    for k in range(n):
        off = coalitions[(coalitions >> k) & 1 == 0]
        values.append(((worth[..., off | (1 << k)] - worth[..., off]) * orders[off]).sum(axis=-1))
    return np.stack(values, axis=-1)


def decompose(runs: pd.DataFrame, switches: Sequence[str], outcome: str, by: Sequence[str]) -> pd.DataFrame:
    """An outcome shared out among switches at every setting (and seed, if named in ``by``).

    Args:
        runs: one row per setting and coalition; switches are columns of truth values.
        switches: columns, in the order in which they are also thrown one after another.
        outcome: column.
        by: columns that make a setting, such as seed, time and account type; may be none.

    Returns:
        Rows of ``by``, switch, value (Shapley's), in_order (thrown in the order given), from all off to all on.

    Raises:
        StatisticsError: a coalition is missing or there twice; it is named.
    """
    rows = []
    for setting, group in settings(runs, by):
        bits = sum(group[name].astype(bool).to_numpy(np.int64) << k for k, name in enumerate(switches))
        worth = _worth(np.asarray(bits), group[outcome].to_numpy(np.float64), switches)
        chain = np.diff(worth[[(1 << k) - 1 for k in range(len(switches) + 1)]])
        for name, value, step in zip(switches, shapley(worth), chain, strict=True):
            rows.append((*setting, name, value, step))
    return pd.DataFrame(rows, columns=[*by, "switch", "value", "in_order"])


def _worth(bits: "np.ndarray[tuple[int], np.dtype[np.int64]]", values: F8, switches: Sequence[str]) -> F8:
    counts = np.bincount(bits, minlength=1 << len(switches))
    wrong = np.flatnonzero(counts != 1)
    if wrong.size:
        on = [name for k, name in enumerate(switches) if wrong[0] >> k & 1]
        raise StatisticsError(
            f"coalition {' + '.join(on) or 'none'}: {counts[wrong[0]]} rows, "
            "every coalition needs one, add the missing runs or name more columns that make a setting"
        )
    worth = np.empty(values.size)
    worth[bits] = values
    return worth
