"""Shapley values: a difference divided among switches, whatever their order."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from experiments.statistics.paired import group_by_setting
from experiments.statistics.tails import StatisticsError
from sim.types import F8


def compute_shapley_values(payoffs: F8) -> F8:
    """Return each switch's Shapley value: its mean effect over all orders.

    Source: Shapley 1953, Contributions to the Theory of Games II.

    Args:
        payoffs: payoff of every coalition (..., 2^n); switch k is on at the indices whose bit k is
            set.

    Returns:
        Values (..., n); they sum to all on less all off.
    """
    n = int(payoffs.shape[-1]).bit_length() - 1
    if payoffs.shape[-1] != 1 << n:
        raise ValueError(
            f"payoffs: {payoffs.shape[-1]} coalitions, must be a power of two: give every one"
        )
    coalitions = np.arange(1 << n)
    sizes = np.array([int(coalition).bit_count() for coalition in coalitions])
    orders = np.array(
        [math.factorial(size) * math.factorial(max(n - size - 1, 0)) for size in sizes]
    ) / math.factorial(n)
    values = []
    for k in range(n):
        off = coalitions[(coalitions >> k) & 1 == 0]
        values.append(
            ((payoffs[..., off | (1 << k)] - payoffs[..., off]) * orders[off]).sum(axis=-1)
        )
    return np.stack(values, axis=-1)


def decompose_outcome(
    runs: pd.DataFrame, switches: Sequence[str], outcome: str, by: Sequence[str]
) -> pd.DataFrame:
    """Divide an outcome among switches at every setting (and seed, if named in ``by``).

    Args:
        runs: one row per setting and coalition; switches are columns of truth values.
        switches: columns, in the order in which they are also switched one after another.
        outcome: column to divide.
        by: columns that define a setting, such as seed, time and account type; may be none.

    Returns:
        Rows of ``by``, switch, value (Shapley's), and in_order: the step from all off to all on in
        the given order.

    Raises:
        StatisticsError: a coalition is missing or occurs twice; the message names it.
    """
    rows = []
    for setting, group in group_by_setting(runs, by):
        bits = sum(
            group[name].astype(bool).to_numpy(np.int64) << k for k, name in enumerate(switches)
        )
        payoffs = _coalition_values(np.asarray(bits), group[outcome].to_numpy(np.float64), switches)
        chain = np.diff(payoffs[[(1 << k) - 1 for k in range(len(switches) + 1)]])
        for name, value, step in zip(switches, compute_shapley_values(payoffs), chain, strict=True):
            rows.append((*setting, name, value, step))
    return pd.DataFrame(rows, columns=[*by, "switch", "value", "in_order"])


def _coalition_values(
    bits: "np.ndarray[tuple[int], np.dtype[np.int64]]", values: F8, switches: Sequence[str]
) -> F8:
    counts = np.bincount(bits, minlength=1 << len(switches))
    wrong = np.flatnonzero(counts != 1)
    if wrong.size:
        on = [name for k, name in enumerate(switches) if wrong[0] >> k & 1]
        rule = "every coalition needs one, add the missing runs or name more columns"
        raise StatisticsError(
            f"coalition {' + '.join(on) or 'none'}: {counts[wrong[0]]} rows, "
            f"{rule} that make a setting"
        )
    payoffs = np.empty(values.size)
    payoffs[bits] = values
    return payoffs
