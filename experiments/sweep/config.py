"""A study as data: what every run starts from, what varies, how often, and what is measured."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, PrivateAttr, StrictBool, StrictFloat, StrictStr, Tag, model_validator

from experiments.config import hurried, swapped
from experiments.file_kinds import absent, load_as, mistaken, namesake
from sim.component import Component, choice
from sim.errors import ConfigError, not_one_of
from sim.packaged import PACKAGED, find, is_file, packaged

BASE, TWIN = "base", "twin"
"""Roles of a run: itself, and what it is compared with on the same draws."""

Value = Annotated[StrictBool, Tag("truth")] | Annotated[StrictFloat, Tag("number")] | Annotated[StrictStr, Tag("word")]
"""A setting of one axis, as it stands in a column."""


def _form(value: object) -> str | None:
    """Which form of a setting a value has; none for what cannot be one."""
    forms = ((bool, "truth"), (int | float, "number"), (str, "word"), (dict | Named, "labelled"))
    return next((form for kind, form in forms if isinstance(value, kind)), None)


FORMS = Discriminator(
    _form, custom_error_type="setting", custom_error_message="a number, a word, true or false, or label and set"
)


class Named(Component):
    """A setting that is no number: a name for what is changed together."""

    label: str = Field(min_length=1, description="how it stands in results (name)")
    set: dict[str, Any] = Field(min_length=1, description="dotted path -> what it gets, such as an included preset")
    seeds: int | None = Field(
        default=None, ge=1, description="most replications of it, for a check beside others; none = the study's (count)"
    )


class Span(Component):
    """A range that a design takes its points from."""

    low: float = Field(description="least value")
    high: float = Field(description="greatest value")
    scale: Literal["linear", "log"] = Field(default="linear", description="on what scale points are even")
    whole: bool = Field(default=False, description="whether points are rounded to whole numbers")

    @model_validator(mode="after")
    def _ordered(self) -> "Span":
        if self.low >= self.high:
            raise ValueError(f"high: {self.high:g}, must be above low = {self.low:g}, exchange or correct them")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low: {self.low:g}, must be above 0 on a log scale, raise it or use scale: linear")
        return self


class Axis(Component):
    """One thing that varies."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="column of its values in results (name)")
    values: tuple[Annotated[Value | Annotated[Named, Tag("labelled")], FORMS], ...] = Field(
        default=(), description="settings: numbers, words, or labels of changes"
    )
    span: Span | None = Field(default=None, description="in place of values: a range, sampled by the design")
    paths: dict[str, float] = Field(
        default={},
        description="dotted path -> what it gets, as a multiple of the value; populations.*.key = all that have it",
    )

    @model_validator(mode="after")
    def _varies(self) -> "Axis":
        if bool(self.values) == (self.span is not None):
            told = "and this one has both, remove one of them" if self.values else "give one of them, such as [1, 2]"
            raise ValueError(f"values: an axis has either values or a span, {told}")
        if any(not isinstance(value, Named) for value in self.values) and not self.paths:
            raise ValueError("paths: none, a value must go somewhere, name a path and a factor such as {dt: 1}")
        words = [value for value in self.values if isinstance(value, str | bool)]
        if words and set(self.paths.values()) != {1}:
            factor = next(each for each in self.paths.values() if each != 1)
            raise ValueError(f"paths: {factor:g} times {words[0]!r}, words have no multiples, write 1 for each path")
        labels = self.labels
        if len(set(labels)) < len(labels):
            told = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in labels)
            raise ValueError(f"values: {told}, must differ, remove the one that stands twice")
        return self

    @property
    def labels(self) -> tuple[Value, ...]:
        """Its values as they stand in results."""
        return tuple(value.label if isinstance(value, Named) else value for value in self.values)


class Grid(Component):
    """All combinations of all axes' values."""

    kind: Literal["grid"] = "grid"


class Listed(Component):
    """The first values of all axes together, then the second ones, and so on."""

    kind: Literal["list"] = "list"


class Sampled(Component):
    """Points drawn from the spans of axes, each with all combinations of the other axes' values."""

    points: int = Field(ge=1, description="how many (count)")
    seed: int = Field(default=1, ge=0, description="of the drawing (1)")


class LatinHypercube(Sampled):
    """One point in each of as many slices of every axis (McKay, Beckman and Conover 1979, Technometrics 21)."""

    kind: Literal["latin_hypercube"] = "latin_hypercube"


class SobolPoints(Sampled):
    """A scrambled Sobol sequence (Owen 1998, ACM TOMACS 8); even when points are a power of two."""

    kind: Literal["sobol"] = "sobol"


DESIGNS: dict[str, type[Component]] = {
    "grid": Grid,
    "list": Listed,
    "latin_hypercube": LatinHypercube,
    "sobol": SobolPoints,
}


class StudyConfig(Component):
    """A study as data; what is measured and drawn stands in the module of the same name."""

    name: str = Field(
        pattern=r"^[a-z0-9_]+$", max_length=120, description="name of the study, its module and its results"
    )
    description: str = Field(default="", description="the question, in one line")
    base: str = Field(min_length=1, description="configuration that every run starts from (name or path)")
    overrides: dict[str, Any] = Field(default={}, description="dotted path -> value, changed in every run")
    also: tuple[str, ...] = Field(default=(), description="further changes, as on the command line (a.b=3)")
    axes: tuple[Axis, ...] = Field(min_length=1, description="what varies")
    design: choice(DESIGNS) = Field(default=Grid(), description="how axes make settings")  # type: ignore[valid-type]
    seed: int = Field(default=1, ge=0, description="root seed: that of the first replication (1)")
    seeds: int = Field(
        default=20, ge=1, le=100_000, description="replications of each setting, with seeds one after another (count)"
    )
    roles: dict[str, dict[str, Any]] = Field(
        default={}, description="name -> dotted path -> value: what each run is made again with, on the same draws"
    )
    metrics: tuple[str, ...] = Field(default=(), description="columns of its scores that are its outcomes (names)")
    tables: tuple[str, ...] = Field(default=(), description="tables it makes (names)")
    figures: tuple[str, ...] = Field(default=(), description="figures it draws (names)")
    seconds: float = Field(
        default=0.0, ge=0, description="what a run takes on one core, its roles included; 0 = unknown (s)"
    )
    quick: dict[str, Any] = Field(default={}, description="dotted path -> value of the study, applied by --quick")
    _module: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _told_apart(self) -> "StudyConfig":
        names = [axis.name for axis in self.axes]
        taken = {"seed", "role", "hash", "status", "error", "config"}
        lines = [f"axes: {name}, names must differ, rename one" for name in sorted(_twice(names))]
        lines += [f"axes: {name}, is a column of every study's results, rename it" for name in names if name in taken]
        if BASE in self.roles:
            lines.append(f"roles: {BASE}, is the run itself, choose another name")
        if isinstance(self.design, Listed) and len({len(axis.values) for axis in self.axes}) > 1:
            counts = ", ".join(f"{axis.name} has {len(axis.values)}" for axis in self.axes)
            rule = f"needs as many values on every axis, but {counts}, add some or write design: {{kind: grid}}"
            lines.append(f"design: 'list', {rule}")
        spans = [axis.name for axis in self.axes if axis.span is not None]
        if spans and not isinstance(self.design, Sampled):
            rule = f"takes no points from the span of {', '.join(spans)}, write design: {{kind: sobol, points: 16}}"
            lines.append(f"design: {self.design.kind!r}, {rule}")
        if isinstance(self.design, LatinHypercube | SobolPoints) and not spans:
            rule = "takes its points from spans, but no axis has one, give one a span or write design: {kind: grid}"
            lines.append(f"design: {self.design.kind!r}, {rule}")
        if lines:
            raise ValueError("\n".join(lines))
        return self

    @property
    def module(self) -> str:
        """Name of its module, or the path of its file."""
        return self._module or f"experiments.studies.{self.name}"

    def measured_by(self, module: str | Path) -> "StudyConfig":
        """The same with another module: a name to import, or a file."""
        study = self.model_copy()
        study._module = str(Path(module).resolve()) if str(module).endswith(".py") else str(module)
        return study


FOLDER = "studies/"

RESOLVED = "study.resolved.yaml"
"""A study as it was run, beside its results."""


def names() -> list[str]:
    """Of the packaged studies."""
    return [name.removeprefix(FOLDER) for name in packaged() if name.startswith(FOLDER)]


def load_study(
    name: str | Path,
    also: Sequence[str] = (),
    *,
    seeds: int | None = None,
    quick: bool = False,
    engine: str | None = None,
) -> StudyConfig:
    """Read a study.

    Args:
        name: of a packaged study, or the path of a user's own file; its module is then the .py file beside it.
        also: changes to every run, as ``a.b=3``, after the study's own and before what varies.
        seeds: replications in place of the study's.
        quick: apply the study's own ``quick`` values.
        engine: margin engine of every run, see ``swapped``.

    Raises:
        ConfigError: with one line for each problem.
    """
    shipped = packaged_study(name)
    own = not shipped and str(name).endswith((".yaml", ".yml"))
    if not own and not shipped:
        raise ConfigError(mistaken("study", name) or _unknown(str(name)))
    place = str(name) if own else f"{FOLDER}{shipped}"
    counted = [] if seeds is None else [f"seeds={seeds}"]
    study = load_as("study", place, [*(hurried(place) if quick else ()), *counted], StudyConfig)
    _check_base(study.base)
    study = study.model_copy(update={"also": (*study.also, *_engine_of_all(study, engine), *also)})
    beside = find(place).resolve().with_suffix(".py")
    if own and (beside.parent / RESOLVED).is_file():
        rule = "lies in a result, whose code never runs, copy it and its module to a folder of your own"
        raise ConfigError([f"{name}: {rule}, or name the study that made it"])
    if own and not beside.is_file():
        raise ConfigError([f"{name}: no {beside.name} beside it, a study is two files, write what it measures there"])
    return study.measured_by(beside) if own else study


def packaged_study(name: str | Path) -> str:
    """The packaged study that a name or a path means; empty if it means none."""
    plain = str(name).removeprefix(FOLDER)
    if plain in names():
        return plain
    try:
        path = find(name).resolve()
    except ConfigError:
        return ""
    return path.stem if path == PACKAGED / FOLDER / path.name else ""


def _unknown(name: str) -> list[str]:
    """The line on a study that is neither packaged nor a file."""
    if files := [path for path in (f"{name}.yaml", f"{name}.yml") if is_file(path)]:
        return [f"study: {name!r} is no packaged study, name the file if you mean that: {files[0]}"]
    return namesake("study", name) or [f"study: {not_one_of(name, names())}, or a YAML file of your own"]


def _check_base(base: str) -> None:
    """Refuse what no run can start from.

    Raises:
        ConfigError: there is no such file, or it is of another kind.
    """
    if mistaken("run", base) or (not is_file(base) and namesake("run", base)):
        raise ConfigError([f"base: {base!r} is no market, name one such as small_crash"])
    if lines := absent("run", base):
        raise ConfigError([f"base: {line}" for line in lines])


ENGINE = re.compile(r"venues\.(\d+|\*)\.engine")
"""Paths of a whole margin engine."""


def _engine_of_all(study: StudyConfig, engine: str | None) -> list[str]:
    """What sets the engine of every run of a study.

    Raises:
        ConfigError: engines are what the study varies.
    """
    changes = swapped(study.base, engine)
    varied = [path for axis in study.axes for path in _paths(axis)]
    varied += [path for also in study.roles.values() for path in also]
    if changes and (own := [path for path in varied if ENGINE.fullmatch(path)]):
        told = f"the study sets {own[0]} itself, which would win"
        raise ConfigError([f"--engine: {engine!r}, {told}, leave --engine out or choose another study"])
    return changes


def _paths(axis: Axis) -> list[str]:
    return [*axis.paths, *(path for value in axis.values if isinstance(value, Named) for path in value.set)]


def _twice(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
