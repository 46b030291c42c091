"""Settings of a study from its axes: grids, lists, Latin hypercubes and Sobol points."""

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from experiments.sweep.config import StudyConfig
from experiments.sweep.designs import (
    AxisRange,
    AxisValue,
    LabelledValue,
    ListDesign,
    SampledDesign,
    StudyAxis,
)
from sim.errors import ConfigError, describe_unknown
from sim.types import F8

if TYPE_CHECKING:
    from scipy.stats import qmc

SweepSetting = dict[str, AxisValue]
"""Value or label of each axis, by name of the axis."""


def iterate_settings(study: StudyConfig) -> Iterator[SweepSetting]:
    """Return all settings of a study; the last axis varies fastest, and sampled points slowest."""
    names = [axis.name for axis in study.axes]
    spans = {axis.name: axis.span for axis in study.axes if axis.span is not None}
    valued = [axis for axis in study.axes if axis.span is None]
    labels = [axis.labels for axis in valued]
    rows = list(
        zip(*labels, strict=True)
        if isinstance(study.design, ListDesign)
        else itertools.product(*labels)
    )
    for point in _sample_points(study.design, spans):
        for row in rows:
            setting = point | dict(zip((axis.name for axis in valued), row, strict=True))
            yield {name: setting[name] for name in names}


def _sample_points(design: object, spans: Mapping[str, AxisRange]) -> list[SweepSetting]:
    """Return the points drawn from the ranges; a single empty one if no axis is sampled."""
    from scipy.stats import qmc

    if not isinstance(design, SampledDesign):
        return [{}]
    rng = np.random.default_rng(design.seed)
    samplers = {"latin_hypercube": qmc.LatinHypercube, "sobol": qmc.Sobol}
    sampler = samplers[design.kind](len(spans), rng=rng)  # type: ignore[attr-defined]
    if design.kind == "sobol":  # type: ignore[attr-defined]
        unit = _sample_sobol(sampler, design.points)
    else:
        unit = sampler.random(design.points)
    return [
        {name: interpolate_range(spans[name], float(x)) for name, x in zip(spans, row, strict=True)}
        for row in unit
    ]


def _sample_sobol(engine: "qmc.Sobol", points: int) -> F8:
    """Return the first points of a balanced sequence; a part of it need not be balanced."""
    return engine.random_base2(max(0, (points - 1).bit_length()))[:points]


def count_replications(study: StudyConfig, setting: SweepSetting) -> int:
    """Return the replications of a setting: the study's, or the smaller number of its labels."""
    labels = [
        value.seeds
        for axis in study.axes
        for value in axis.values
        if isinstance(value, LabelledValue)
        and value.seeds is not None
        and value.label == setting.get(axis.name)
    ]
    return min([study.seeds, *labels])


def interpolate_range(span: AxisRange, share: float) -> float:
    """Return the value at a share of the range, from 0 to 1.

    >>> interpolate_range(AxisRange(low=1, high=100, scale="log"), 0.5)
    10.0
    """
    if span.scale == "log":
        value = float(np.exp(np.log(span.low) + share * (np.log(span.high) - np.log(span.low))))
    else:
        value = span.low + share * (span.high - span.low)
    return float(round(value)) if span.is_integer else float(f"{value:.12g}")


def list_changes(study: StudyConfig, setting: SweepSetting) -> list[tuple[str, object]]:
    """Return the changes of the configuration by a setting: (dotted path, value), axis by axis.

    Raises:
        ConfigError: the setting names an axis that the study lacks, or a label that the axis lacks.
    """
    axes = {axis.name: axis for axis in study.axes}
    problems = [f"setting: {describe_unknown(name, axes)}" for name in setting if name not in axes]
    problems += [
        f"setting: no value for {name!r}, every axis needs one, add it"
        for name in axes
        if name not in setting
    ]
    if problems:
        raise ConfigError(problems)
    return [change for name, axis in axes.items() for change in _axis_changes(axis, setting[name])]


def _axis_changes(axis: StudyAxis, value: AxisValue) -> list[tuple[str, object]]:
    named = {label.label: label for label in axis.values if isinstance(label, LabelledValue)}
    if isinstance(value, str) and value in named:
        return list(named[value].set.items())
    if not axis.paths:
        raise ConfigError([f"axes.{axis.name}: {describe_unknown(value, named)}"])
    if isinstance(value, str | bool):
        return [(path, value) for path in axis.paths]
    return [(path, value * factor) for path, factor in axis.paths.items()]
