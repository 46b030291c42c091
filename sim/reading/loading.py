"""Loading of configurations: YAML with includes and ``a.b=3`` overrides, validated by a schema.

The order is: included files, the file itself, overrides, interpolation, validation. Any mapping of
a file may include others, also one in a list, and an item of a list may include a list. An override
may include files too, or name one in place of a component (``venues.0.engine=span``). Every problem
that can be reported without guessing is reported at once, one line each
(:class:`sim.errors.ConfigError`).
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pydantic

from sim.errors import ConfigError, format_value
from sim.reading.documents import (
    MAX_LEVELS,
    UnreadableError,
    check_depth,
    read_text,
    read_yaml,
)
from sim.reading.incomplete import describe_incomplete_classes
from sim.reading.overrides import (
    apply_override,
    expand_wildcards,
    normalise_values,
    order_changes,
    parse_overrides,
)
from sim.reading.packaged import (
    Wanted,
    find_config,
    find_packaged,
    find_preset,
    folder_of,
    is_file,
)
from sim.reading.problems import (
    describe_problems,
    expects_components,
    find_declared_type,
    is_list,
    list_kinds,
)
from sim.reading.references import resolve_references

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
    whole = _parse_file(find_config(name))
    described = resolve_config(name).get("description") if isinstance(whole, dict) else ""
    return str(described or next(iter(comments), ""))


def _merge_files(
    name: str | Path, overrides: Sequence[str], schema: type[pydantic.BaseModel] | None
) -> tuple[Node, list[str]]:
    """Return files and overrides merged, and the problems of the overrides."""
    reader = _IncludeReader()
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
    for key, value in order_changes([_expand_include_key(*pair) for pair in pairs], data, schema):
        reader = _IncludeReader()
        try:
            content = reader.read_override(key, value, _find_wanted(data, key, value, schema))
        except ConfigError as error:
            problems += error.problems
            continue
        problems += reader.problems or apply_override(data, key, content, schema)
    return problems


def _expand_include_key(key: str, value: Any) -> tuple[str, Any]:
    """Return an override ``a.include=b`` in its other form ``a={include: b}``."""
    parent, dot, last = key.rpartition(".")
    return (parent, {"include": value}) if dot and last == "include" else (key, value)


def _find_wanted(
    data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None
) -> Wanted | None:
    """Return the required content of a file that a text value names, None if it names no file.

    A text names a file if the schema expects a component there.
    """
    paths = (
        expand_wildcards(data, key, schema) if isinstance(value, str) and schema is not None else []
    )
    if not paths or not expects_components(schema, data, paths[0].split(".")):
        return None
    expected = find_declared_type(schema, data, paths[0].split("."))
    return Wanted(is_list(expected), list_kinds(expected))


class _IncludeReader:
    """Reader of files with their includes, which collects the problems of the includes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.count = self.depth = 0

    def read_override(self, key: str, value: Any, wanted: Wanted | None) -> Any:
        """Return the value of an override: the content of a file if one is wanted, else itself.

        Includes of the value are expanded.

        Raises:
            ConfigError: the file does not exist or cannot be read.
        """
        if wanted and value and "${" not in value:
            content = self._read_file(find_preset(key, value, wanted), ())
            if isinstance(content, list) != wanted.is_list:
                problem = f"{key}: {value!r} holds {format_value(content)}"
                raise ConfigError([f"{problem}, must hold {wanted.holding}, name another"])
            return content
        if isinstance(value, dict | list):
            return self._expand_node(value, (COMMAND_LINE,), f"{key}.")
        return value

    def read_root(self, path: Path) -> Node:
        """Return the content of the first file of a configuration, a mapping."""
        data = self._read_file(path, ())
        if not isinstance(data, dict):
            raise ConfigError(
                [
                    f"{path}: {format_value(data)}, must be a mapping of keys, "
                    "write 'key: value' lines"
                ]
            )
        return data

    def _read_file(self, path: Path, above: tuple[Path, ...]) -> Any:
        """Return the content of one file, a mapping or a list.

        The files ``above`` include it, outermost first.
        """
        file, files = path.resolve(), [each.resolve() for each in above]
        if file in files:
            cycle = " -> ".join(each.name for each in (*files[files.index(file) :], file))
            rule = "includes may not go in circles, remove one of them"
            raise ConfigError([f"{path}: includes itself ({cycle}), {rule}"])
        self.count += 1
        if self.count > MAX_FILES:
            raise ConfigError(
                [f"{path}: more than {MAX_FILES} files are included, write fewer includes"]
            )
        return self._expand_node(_parse_file(path), (*above, path), "")

    def _expand_node(self, node: Any, files: tuple[Path, ...], where: str) -> Any:
        """Return a node of the last file with its includes merged in order, its own keys on top."""
        if self.depth > MAX_LEVELS:
            raise ConfigError(
                [f"{files[-1]}: more than {MAX_LEVELS} levels inside one another, write fewer"]
            )
        self.depth += 1
        try:
            return self._merge_includes(node, files, where)
        finally:
            self.depth -= 1

    def _merge_includes(self, node: Any, files: tuple[Path, ...], where: str) -> Any:
        if isinstance(node, list):
            parts = [
                self._expand_item(item, files, f"{where}{index}.")
                for index, item in enumerate(node)
            ]
            return [item for part in parts for item in part]
        if not isinstance(node, dict):
            return node
        place = _include_place(files, where)
        data: Node = {}
        for name in self._include_names(node.get("include", []), place):
            part = self._read_include(name, files, where)
            if isinstance(part, list):
                rule = "only an item of a list can include a list, as its one file"
                self.problems.append(
                    f"{place}: {name!r} holds {format_value(part)}, {rule}, "
                    f"write [{{include: {name}}}]"
                )
                part = {}
            data = merge_nodes(data, part)
        return merge_nodes(data, self._expand_own_keys(node, files, where))

    def _expand_item(self, item: Any, files: tuple[Path, ...], where: str) -> list[Any]:
        """Return the items that a list item stands for.

        They are itself, or the items of the list it includes, each with its own keys on top.
        """
        name = item.get("include") if isinstance(item, dict) else None
        if isinstance(name, str):
            whole = self._read_include(name, files, where)
            if isinstance(whole, list):
                own = self._expand_own_keys(item, files, where)
                return [merge_nodes(each, own) if own else each for each in whole]
        return [self._expand_node(item, files, where)]

    def _expand_own_keys(self, node: Node, files: tuple[Path, ...], where: str) -> Node:
        """Return a mapping without its includes."""
        return {
            key: self._expand_node(item, files, f"{where}{key}.")
            for key, item in node.items()
            if key != "include"
        }

    def _include_names(self, value: Any, place: str) -> list[str]:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            return names
        self.problems.append(
            f"{place}: {_format_include(value)}, must be a file or a list of files, "
            "write include: [a.yaml]"
        )
        return []

    def _read_include(self, name: str, files: tuple[Path, ...], where: str) -> Any:
        """Return the content of an include, a mapping or a list.

        It is empty if the include cannot be read, so that all other problems are reported, too.
        """
        path, place = files[-1].parent / name, _include_place(files, where)
        folder = folder_of(where.rstrip(".")) if where else ""
        try:
            path = path if is_file(path) else find_packaged(name, folder)
        except ConfigError as error:
            self.problems += [f"{place}: {line}" for line in error.problems]
            return {}
        try:
            return self._read_file(path, files)
        except ConfigError as error:
            self.problems += error.problems
            return {}


COMMAND_LINE = Path("overrides")
"""Placeholder for the file of an override; its includes are searched in the working folder."""

MAX_FILES = 200
"""Largest number of files that one configuration includes, repetitions counted."""


def _include_place(files: tuple[Path, ...], where: str) -> str:
    """Return the place of an include, for messages."""
    return f"{where}include" if files[-1] is COMMAND_LINE else f"{files[-1]}: {where}include"


def _format_include(value: Any) -> str:
    """Return the short form of a value in place of file names."""
    return repr(value) if isinstance(value, list) and len(repr(value)) < 60 else format_value(value)


def _parse_file(path: Path) -> Any:
    """Return one YAML file as plain dictionaries and lists, interpolations not resolved."""
    data = normalise_values(read_yaml(path))
    if not isinstance(data, dict | list):
        raise ConfigError(
            [f"{path}: {format_value(data)}, must be a mapping of keys, write 'key: value' lines"]
        )
    return data


def merge_nodes(base: Any, top: Any) -> Any:
    """Return ``top`` merged over ``base``: mappings key by key, all else replaced.

    Another ``kind`` replaces the whole node.
    """
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    if "kind" in base and "kind" in top and base["kind"] != top["kind"]:
        return top
    return {
        **base,
        **{
            key: merge_nodes(base[key], value) if key in base else value
            for key, value in top.items()
        },
    }


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
