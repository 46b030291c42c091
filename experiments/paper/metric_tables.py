"""Tables of any metric of a study: at every setting, against a reference, and with precision."""

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
"""Default half-width to reach, relative to the mean."""


class MetricOptions(NamedTuple):
    """Options of the tables of metrics."""

    metrics: Sequence[str] = ()  # none = the study's metrics
    reference: str = ""  # AXIS=VALUE with which others are compared; none = no comparison
    precision: float = DEFAULT_PRECISION


def tabulate_metrics(
    scores: pd.DataFrame, axes: Sequence[str], metrics: Sequence[str], options: MetricOptions
) -> dict[str, pd.DataFrame]:
    """Return ``metrics`` of the study and ``requested`` ones with precision, and ``against``.

    ``against`` holds paired differences from a reference.

    Args:
        scores: one row for each setting and seed.
        axes: columns that define a setting.
        metrics: metrics of the study.
        options: requested metrics, reference and precision.

    Raises:
        ConfigError: a metric or axis is unknown, no run has the reference, or runs have several
            rows each.
    """
    numbers = _numeric_columns(scores, axes)
    _check_metrics(numbers, options.metrics)
    # A study may also name metrics that are not numbers.
    metrics = [name for name in metrics if name in numbers]
    chosen = list(options.metrics or metrics)
    if scores.duplicated([*axes, "seed"]).any():
        if not options.metrics and not options.reference:
            return {}
        raise ConfigError(
            ["--metric: runs have several rows each, see the study's own tables of them"]
        )
    reference = _parse_reference(scores, axes, options.reference) if options.reference else None
    if reference and not chosen:
        raise ConfigError(
            ["--against: the study names no metrics to compare, name some with --metric"]
        )
    named = {"metrics": metrics, "requested": options.metrics}
    made = {
        name: add_precision(summarise_measures(scores, axes, columns), scores, options.precision)
        for name, columns in named.items()
        if columns
    }
    if reference:
        axis, value = reference
        others = [name for name in axes if name != axis]
        compared = compare_with_reference(scores, axis, value, others, chosen)
        made["against"] = adjust_by_holm(compared, ["measure"])
    return made


def add_precision(table: pd.DataFrame, scores: pd.DataFrame, precision: float) -> pd.DataFrame:
    """Add half-width, relative half-width and missing replications to a table of estimates.

    The precision of a probability is absolute, that of other figures relative to their size.
    """
    rows = []
    for _, line in table.iterrows():
        mean, low, high = (float(line[name]) for name in ("mean", "low", "high"))
        estimate = Estimate(int(line["n"]), mean, low, high)
        is_share = is_boolean_column(scores[line["measure"]])
        width = precision if is_share else precision * abs(mean)
        more = count_further_runs(estimate, width, share=is_share) if width > 0 else None
        reached = measure_precision(estimate)
        relative = reached.relative if math.isfinite(reached.relative) else math.nan
        rows.append((reached.half, relative, math.nan if more is None else float(more)))
    columns = zip(("half_width", "relative", "further"), zip(*rows, strict=True), strict=True)
    return table.assign(**dict(columns))


def _numeric_columns(scores: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """Return the columns that have a mean: numbers and truth values, perhaps some missing."""
    names = [str(name) for name in scores if name not in (*axes, "seed")]
    return [
        name for name in names if is_numeric_dtype(scores[name]) or is_boolean_column(scores[name])
    ]


def _check_metrics(numbers: Sequence[str], requested: Sequence[str]) -> None:
    problems = [
        f"--metric: {describe_unknown(name, numbers)}" for name in requested if name not in numbers
    ]
    if problems:
        raise ConfigError(problems)


def _parse_reference(scores: pd.DataFrame, axes: Sequence[str], text: str) -> tuple[str, object]:
    """Return an axis and one of its values, from ``AXIS=VALUE``."""
    axis, _, value = text.partition("=")
    if axis not in axes:
        raise ConfigError([f"--against: {describe_unknown(axis, axes)}"])
    values = {_format_value(level): level for level in scores[axis].unique()}
    if value not in values:
        raise ConfigError([f"--against: {axis}: {describe_unknown(value, values)}"])
    return axis, values[value]


def _format_value(value: object) -> str:
    return (
        f"{value:g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )
