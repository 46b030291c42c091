"""Configuration of a study: the base of every run, the axes, the replications and the metrics."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field, PrivateAttr, model_validator

from experiments.config import quick_overrides
from experiments.file_kinds import absent, explain_wrong_kind, load_kind, namesake
from experiments.sweep.designs import (
    DESIGNS,
    GridDesign,
    LabelledValue,
    LatinHypercubeDesign,
    ListDesign,
    SampledDesign,
    SobolDesign,
    StudyAxis,
)
from experiments.words import POPULATION, WORDS, word_overrides
from sim.component import Component, build_union
from sim.errors import ConfigError, describe_unknown
from sim.reading.packaged import (
    PACKAGED,
    find_config,
    is_file,
    list_packaged,
)

BASE, TWIN = "base", "twin"
"""Roles of a run: the run itself, and its comparison run on the same random draws."""


class StudyConfig(Component):
    """Configuration of a study; its metrics and figures are defined in the module of that name."""

    name: str = Field(
        pattern=r"^[a-z0-9_]+$",
        max_length=120,
        description="name of the study, its module and its results",
    )
    description: str = Field(default="", description="question of the study, on one line")
    base: str = Field(
        min_length=1, description="configuration from which every run starts (name or path)"
    )
    overrides: dict[str, Any] = Field(
        default={}, description="dotted path -> value, changed in every run"
    )
    also: tuple[str, ...] = Field(
        default=(), description="further changes, as on the command line (a.b=3)"
    )
    axes: tuple[StudyAxis, ...] = Field(min_length=1, description="quantities that vary")
    design: build_union(DESIGNS) = Field(  # type: ignore[valid-type]
        default=GridDesign(), description="design that turns axes into settings"
    )
    seed: int = Field(default=1, ge=0, description="root seed of the first replication (1)")
    seeds: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="replications of each setting, with consecutive seeds (count)",
    )
    roles: dict[str, dict[str, Any]] = Field(
        default={},
        description="name -> dotted path -> value: changes with which each run is repeated on the "
        "same random draws",
    )
    metrics: tuple[str, ...] = Field(
        default=(), description="columns of the scores that are outcomes (names)"
    )
    tables: tuple[str, ...] = Field(default=(), description="tables of the study (names)")
    figures: tuple[str, ...] = Field(default=(), description="figures of the study (names)")
    seconds: float = Field(
        default=0.0,
        ge=0,
        description="time of a run on one core, its roles included; 0 = unknown (s)",
    )
    quick: dict[str, Any] = Field(
        default={}, description="dotted path -> value of the study, applied by --quick"
    )
    _module: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _check_study(self) -> "StudyConfig":
        names = [axis.name for axis in self.axes]
        reserved = {"seed", "role", "hash", "status", "error", "config"}
        lines = [
            f"axes: {name}, names must differ, rename one" for name in sorted(_duplicates(names))
        ]
        lines += [
            f"axes: {name}, is a column of every study's results, rename it"
            for name in names
            if name in reserved
        ]
        if BASE in self.roles:
            lines.append(f"roles: {BASE}, is the run itself, choose another name")
        lines += [f"design: {self.design.kind!r}, {line}" for line in self._design_problems()]
        if lines:
            raise ValueError("\n".join(lines))
        return self

    def _design_problems(self) -> list[str]:
        """Return the conflicts between the design and the axes."""
        spans = [axis.name for axis in self.axes if axis.span is not None]
        n_values = {len(axis.values) for axis in self.axes}
        problems = []
        if isinstance(self.design, ListDesign) and len(n_values) > 1:
            counts = ", ".join(f"{axis.name} has {len(axis.values)}" for axis in self.axes)
            problems.append(
                f"needs as many values on every axis, but {counts}, "
                "add some or write design: {kind: grid}"
            )
        if spans and not isinstance(self.design, SampledDesign):
            problems.append(
                f"takes no points from the span of {', '.join(spans)}, "
                "write design: {kind: sobol, points: 16}"
            )
        if isinstance(self.design, LatinHypercubeDesign | SobolDesign) and not spans:
            problems.append(
                "takes its points from spans, but no axis has one, "
                "give one a span or write design: {kind: grid}"
            )
        return problems

    @property
    def module(self) -> str:
        """Name of the study's module, or the path of its file."""
        return self._module or f"experiments.studies.{self.name}"

    def with_module(self, module: str | Path) -> "StudyConfig":
        """Return the study with another module: a name to import, or a file."""
        study = self.model_copy()
        study._module = str(Path(module).resolve()) if str(module).endswith(".py") else str(module)
        return study


STUDY_FOLDER = "studies/"

RESOLVED_STUDY = "study.resolved.yaml"
"""File of the resolved study beside its results."""


def list_study_names() -> list[str]:
    """Return the names of the packaged studies."""
    return [
        name.removeprefix(STUDY_FOLDER) for name in list_packaged() if name.startswith(STUDY_FOLDER)
    ]


def load_study(
    name: str | Path,
    also: Sequence[str] = (),
    *,
    seeds: int | None = None,
    quick: bool = False,
    words: Mapping[str, str | None] = MappingProxyType({}),
) -> StudyConfig:
    """Read a study.

    Args:
        name: name of a packaged study, or path of a user's file; its module is the .py file beside
            it.
        also: changes to every run, as ``a.b=3``, after the study's own and before the axes.
        seeds: replications, instead of the study's.
        quick: apply the study's own ``quick`` values.
        words: parts of every run that one word replaces, see ``word_overrides``.

    Raises:
        ConfigError: with one line for each problem.
    """
    shipped = packaged_study(name)
    own = not shipped and str(name).endswith((".yaml", ".yml"))
    if not own and not shipped:
        raise ConfigError(explain_wrong_kind("study", name) or _unknown(str(name)))
    place = str(name) if own else f"{STUDY_FOLDER}{shipped}"
    counted = [] if seeds is None else [f"seeds={seeds}"]
    study = load_kind(
        "study", place, [*(quick_overrides(place) if quick else ()), *counted], StudyConfig
    )
    _check_base(study.base)
    study = study.model_copy(update={"also": (*study.also, *_word_changes(study, words), *also)})
    beside = find_config(place).resolve().with_suffix(".py")
    if own and (beside.parent / RESOLVED_STUDY).is_file():
        rule = (
            "lies in a result, whose code never runs, "
            "copy it and its module to a folder of your own"
        )
        raise ConfigError([f"{name}: {rule}, or name the study that made it"])
    if own and not beside.is_file():
        rule = "a study is two files, write what it measures there"
        raise ConfigError([f"{name}: no {beside.name} beside it, {rule}"])
    return study.with_module(beside) if own else study


def packaged_study(name: str | Path) -> str:
    """Return the packaged study that a name or a path refers to; empty if none."""
    plain = str(name).removeprefix(STUDY_FOLDER)
    if plain in list_study_names():
        return plain
    try:
        path = find_config(name).resolve()
    except ConfigError:
        return ""
    return path.stem if path == PACKAGED / STUDY_FOLDER / path.name else ""


def _unknown(name: str) -> list[str]:
    """Return the message about a study that is neither packaged nor a file."""
    if files := [path for path in (f"{name}.yaml", f"{name}.yml") if is_file(path)]:
        rule = f"name the file if you mean that: {files[0]}"
        return [f"study: {name!r} is no packaged study, {rule}"]
    return namesake("study", name) or [
        f"study: {describe_unknown(name, list_study_names())}, or a YAML file of your own"
    ]


def _check_base(base: str) -> None:
    """Refuse a base that is not a market.

    Raises:
        ConfigError: the file is missing or of another kind.
    """
    if explain_wrong_kind("run", base) or (not is_file(base) and namesake("run", base)):
        raise ConfigError([f"base: {base!r} is no market, name one such as small_crash"])
    if lines := absent("run", base):
        raise ConfigError([f"base: {line}" for line in lines])


def _word_changes(study: StudyConfig, words: Mapping[str, str | None]) -> list[str]:
    """Return the changes by which a word replaces a part of every run of a study.

    Raises:
        ConfigError: the study varies that part itself, or a name is empty.
    """
    changes = word_overrides(words)
    varied = [path for axis in study.axes for path in _axis_paths(axis)]
    varied += [path for also in study.roles.values() for path in also]
    for word, name in words.items():
        pattern = rf"{word}|(venues\.(\d+|\*)\.)?{WORDS[word]}"
        own = [path for path in varied if re.fullmatch(pattern, path)]
        if word == POPULATION:
            own += [path for path in varied if re.match(r"populations\.\d", path)]
        if name is not None and own:
            rule = f"the study sets {own[0]} itself, which would win"
            remedy = f"leave --{word} out or choose another study"
            raise ConfigError([f"--{word}: {name!r}, {rule}, {remedy}"])
    return changes


def _axis_paths(axis: StudyAxis) -> list[str]:
    return [
        *axis.paths,
        *(path for value in axis.values if isinstance(value, LabelledValue) for path in value.set),
    ]


def _duplicates(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
