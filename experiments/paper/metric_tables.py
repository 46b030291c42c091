"""Tables of any metric of a study: at every setting, against a reference, and how well it is known."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from experiments.statistics import (
    Estimate,
    adjust_by_holm,
    compare_with_reference,
    count_further_runs,
    measure_precision,
    summarise_measures,
)
from experiments.statistics.paired import is_boolean_column
from sim.errors import ConfigError, describe_unknown

DEFAULT_PRECISION = 0.1
"""Half-width asked for by default, relative to the figure."""


class MetricOptions(NamedTuple):
    """Which tables of metrics a user wants."""

    metrics: Sequence[str] = ()  # none = those the study names
    reference: str = ""  # AXIS=VALUE that others are held against; none = no comparison
    precision: float = DEFAULT_PRECISION


def tabulate_metrics(
    scores: pd.DataFrame, axes: Sequence[str], metrics: Sequence[str], asked: MetricOptions
) -> dict[str, pd.DataFrame]:
    """``metrics`` of the study and ``asked`` for by the user at every setting, with precision; ``against`` a reference.

    Args:
        scores: one row for each setting and seed.
        axes: columns that make a setting.
        metrics: those the study names.
        asked: what the user wants.

    Raises:
        ConfigError: an unknown metric or axis, a reference that no run has, or runs with several rows each.
    """
    numbers = _numeric_columns(scores, axes)
    _check_metrics(numbers, asked.metrics)
    metrics = [
        name for name in metrics if name in numbers
    ]  # a study may name others, words among them
    chosen = list(asked.metrics or metrics)
    if scores.duplicated([*axes, "seed"]).any():
        if not asked.metrics and not asked.reference:
            return {}
        raise ConfigError(
            ["--metric: runs have several rows each, see the study's own tables of them"]
        )
    held = _parse_reference(scores, axes, asked.reference) if asked.reference else None
    if held and not chosen:
        raise ConfigError(
            ["--against: the study names no metrics to compare, name some with --metric"]
        )
    named = {"metrics": metrics, "asked": asked.metrics}
    made = {
        name: add_precision(summarise_measures(scores, axes, columns), scores, asked.precision)
        for name, columns in named.items()
        if columns
    }
    if held:
        axis, value = held
        others = [name for name in axes if name != axis]
        compared = compare_with_reference(scores, axis, value, others, chosen)
        made["against"] = adjust_by_holm(compared, ["measure"])
    return made


def add_precision(table: pd.DataFrame, scores: pd.DataFrame, precision: float) -> pd.DataFrame:
    """A table of estimates with half-width, its relation to the figure, and replications still to make for a precision.

    A probability is asked for to within the precision itself, anything else relative to its size.
    """
    rows = []
    for _, line in table.iterrows():
        found = Estimate(int(line["n"]), *(float(line[name]) for name in ("mean", "low", "high")))
        share = is_boolean_column(scores[line["measure"]])
        wanted = precision if share else precision * abs(found.mean)
        more = count_further_runs(found, wanted, share=share) if wanted > 0 else None
        reached = measure_precision(found)
        relative = reached.relative if math.isfinite(reached.relative) else math.nan
        rows.append((reached.half, relative, math.nan if more is None else float(more)))
    return table.assign(
        **dict(zip(("half_width", "relative", "further"), zip(*rows, strict=True), strict=True))
    )


def _numeric_columns(scores: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """Columns that have a mean: numbers and truth values, some perhaps missing."""
    names = [str(name) for name in scores if name not in (*axes, "seed")]
    return [
        name for name in names if is_numeric_dtype(scores[name]) or is_boolean_column(scores[name])
    ]


def _check_metrics(numbers: Sequence[str], asked: Sequence[str]) -> None:
    problems = [
        f"--metric: {describe_unknown(name, numbers)}" for name in asked if name not in numbers
    ]
    if problems:
        raise ConfigError(problems)


def _parse_reference(scores: pd.DataFrame, axes: Sequence[str], text: str) -> tuple[str, object]:
    """An axis and one of its values, from ``AXIS=VALUE``."""
    axis, _, value = text.partition("=")
    if axis not in axes:
        raise ConfigError([f"--against: {describe_unknown(axis, axes)}"])
    found = {_format_value(each): each for each in scores[axis].unique()}
    if value not in found:
        raise ConfigError([f"--against: {axis}: {describe_unknown(value, found)}"])
    return axis, found[value]


def _format_value(value: object) -> str:
    return (
        f"{value:g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )
