"""Loading of configurations: YAML with includes and ``a.b=3`` overrides, validated by a schema.

The order is: included files, the file itself, overrides, interpolation, validation. Any mapping of
a file may include others, also one in a list, and an item of a list may include a list. An override
may include files too. Both may name one in place of a component (``engine: span`` in a file,
``venues.0.engine=span``). Every problem
that can be reported without guessing is reported at once, one line each
(:class:`sim.errors.ConfigError`).
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pydantic

from sim.component import Component
from sim.errors import ConfigError
from sim.reading.documents import UnreadableError, check_depth, read_text
from sim.reading.includes import IncludeReader, merge_nodes, parse_file
from sim.reading.incomplete import describe_incomplete_classes
from sim.reading.overrides import (
    APPEND,
    apply_override,
    expand_wildcards,
    find_new_item,
    normalise_values,
    order_changes,
    parse_overrides,
)
from sim.reading.packaged import (
    Wanted,
    find_config,
)
from sim.reading.problems import describe_problems
from sim.reading.references import resolve_references
from sim.reading.schema_types import (
    find_declared_type,
    is_list,
    is_of_components,
    list_kinds,
)

T = TypeVar("T", bound=pydantic.BaseModel)
Node = dict[str, Any]


def load_config(name: str | Path, overrides: Sequence[str], schema: type[T]) -> T:
    """Read a configuration and return it as a ``schema``.

    Args:
        name: existing path, else the name of a packaged configuration, with or without ``.yaml``.
        overrides: ``path=value`` with dots between keys and list indices; the value is YAML.
        schema: pydantic model of the result.

    Raises:
        ConfigError: with one line for each problem.
    """
    return _build_model(*_merge_files(name, overrides, schema), schema)


def validate_mapping(data: Mapping[str, Any], schema: type[T]) -> T:
    """Return a configuration that is given as a mapping, without a file.

    Raises:
        ConfigError: with one line for each problem.
    """
    return _build_model(merge_nodes({}, dict(data)), [], schema)


class ConfigTemplate(Generic[T]):
    """Configuration read once and built many times, each time with its own changes.

    This is much faster than :func:`load_config`.

    Args:
        name, overrides, schema: see :func:`load_config`.

    Raises:
        ConfigError: with one line for each problem of files and overrides.
    """

    def __init__(self, name: str | Path, overrides: Sequence[str], schema: type[T]) -> None:
        self.schema = schema
        self.data, problems = _merge_files(name, overrides, schema)
        if problems:
            raise ConfigError(problems)

    def build_config(self, changes: Sequence[tuple[str, Any]]) -> T:
        """Return the configuration after further changes, (dotted path, value) in their order.

        Raises:
            ConfigError: with one line for each problem.
        """
        data = copy.deepcopy(self.data)
        problems = _apply_changes(
            data, [(key, normalise_values(value)) for key, value in changes], self.schema
        )
        return _build_model(data, problems, self.schema)


def _build_model(data: Node, problems: list[str], schema: type[T]) -> T:
    """Return merged data as a model.

    Raises:
        ConfigError: with all problems; those already known come first.
    """
    data, broken = _interpolate(data)
    try:
        check_depth(data)
    except UnreadableError as error:
        raise ConfigError([f"configuration: {error}"]) from error
    if issubclass(schema, Component) and not broken:
        try:
            data = schema.complete_data(data)
        except ConfigError as error:
            raise ConfigError([*problems, *error.problems]) from error
    config, invalid = _validate(data, schema)
    # a value with a broken reference is not known, so it causes no further problems
    invalid = [line for line in invalid if not any(line.startswith(key) for key in broken)]
    problems = list(dict.fromkeys([*problems, *broken.values(), *invalid]))
    if config is None or problems:
        raise ConfigError(problems)
    return config


def resolve_config(name: str | Path, overrides: Sequence[str] = ()) -> Node:
    """Return the merged, overridden and interpolated content of a configuration, not yet validated.

    Raises:
        ConfigError: a file is missing or not YAML, or an include, an override or an interpolation
            is broken.
    """
    data, problems = _merge_files(name, overrides, None)
    data, broken = _interpolate(data)
    if problems or broken:
        raise ConfigError([*problems, *broken.values()])
    return data


def describe_config(name: str) -> str:
    """Return one line on a packaged configuration.

    It is its description, else the first of its comments that is not for editors.
    """
    lines = read_text(find_config(name)).splitlines()
    comments = [
        line.lstrip("# ")
        for line in lines
        if line.startswith("#") and "yaml-language-server:" not in line
    ]
    whole = parse_file(find_config(name))
    described = resolve_config(name).get("description") if isinstance(whole, dict) else ""
    return str(described or next(iter(comments), ""))


def _merge_files(
    name: str | Path, overrides: Sequence[str], schema: type[pydantic.BaseModel] | None
) -> tuple[Node, list[str]]:
    """Return files and overrides merged, and the problems of the overrides."""
    reader = IncludeReader(schema)
    data = reader.read_root(find_config(name))
    if reader.problems:  # content that could not be read would be reported again, as missing
        raise ConfigError(list(dict.fromkeys(reader.problems)))
    problems: list[str] = []
    pairs = parse_overrides(overrides, problems)
    problems += _apply_changes(data, pairs, schema)
    return data, problems


def _apply_changes(
    data: Node, pairs: Sequence[tuple[str, Any]], schema: type[pydantic.BaseModel] | None
) -> list[str]:
    """Change data in place, and return the problems; changes of whole components come first."""
    problems: list[str] = []
    changes = _expand_changes(data, pairs, schema, problems)
    for key, value in order_changes(changes, data, schema):
        place = find_new_item(data, key, schema)
        expected = _find_expected(data, place, schema)
        reader = IncludeReader(expected)
        read = reader.read_new_items if key.endswith(APPEND) else reader.read_override
        try:
            content = read(place, value, _find_wanted(value, expected))
        except ConfigError as error:
            problems += error.problems
            continue
        problems += reader.problems or apply_override(data, key, content, schema)
    return problems


def _expand_changes(
    data: Node,
    pairs: Sequence[tuple[str, Any]],
    schema: type[pydantic.BaseModel] | None,
    problems: list[str],
) -> list[tuple[str, Any]]:
    """Return the changes that overrides stand for; add what is wrong to ``problems``."""
    changes = [_expand_include_key(*pair) for pair in pairs]
    if schema is None or not issubclass(schema, Component):
        return changes
    expanded = []
    for key, value in changes:
        try:
            expanded += schema.expand_override(data, key, value)
        except ConfigError as error:
            problems += error.problems
    return expanded


def _expand_include_key(key: str, value: Any) -> tuple[str, Any]:
    """Return an override ``a.include=b`` in its other form ``a={include: b}``."""
    parent, dot, last = key.rpartition(".")
    return (parent, {"include": value}) if dot and last == "include" else (key, value)


def _find_expected(data: Node, key: str, schema: type[pydantic.BaseModel] | None) -> Any:
    """Return the type that a schema expects at a path, None if it knows none."""
    paths = expand_wildcards(data, key, schema) if schema is not None else []
    return find_declared_type(schema, data, paths[0].split(".")) if paths else None


def _find_wanted(value: Any, expected: Any) -> Wanted | None:
    """Return the required content of a file that a text value names, None if it names no file.

    A text names a file if a component is expected.
    """
    if not isinstance(value, str) or not is_of_components(expected):
        return None
    return Wanted(is_list(expected), list_kinds(expected), expected)


def _interpolate(data: Node) -> tuple[Node, dict[str, str]]:
    """Return data with ``${a.b}`` replaced by its target, and the problems by path."""
    return resolve_references(data) if "${" in json.dumps(data) else (data, {})


def _validate(data: Node, schema: type[T]) -> tuple[T | None, list[str]]:
    """Return the model, or the problems of the data.

    Data are validated as JSON: types are strict, but lists may become tuples.
    """
    try:
        return schema.model_validate_json(json.dumps(data), strict=True), []
    except pydantic.ValidationError as error:
        return None, describe_problems(error, data, schema)
    except TypeError:  # a class that lacks a method cannot be instantiated
        lines = describe_incomplete_classes(data, schema)
        if not lines:
            raise
        return None, lines
