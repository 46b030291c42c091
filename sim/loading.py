"""Reading configuration: YAML with includes and ``a.b=3`` overrides, validated into a schema.

The order is: included files, the file itself, overrides, interpolation, validation. Any mapping of a file may include
others, also one in a list, and an item of a list may include a list. An override may include files too, or name one
where a component is expected (``venues.0.engine=span``). Every problem that can be told without guessing is told at
once, one line each (:class:`ConfigError`).
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pydantic

from sim.documents import LEVELS, UnreadableError, check_depth, read_text, read_yaml
from sim.errors import ConfigError, shown
from sim.overrides import kinds_first, override, places_of, plain, split
from sim.packaged import Wanted, find, folder_of, is_file, preset, shipped
from sim.problems import any_at, describe, expects_components, is_list, kinds
from sim.references import followed

T = TypeVar("T", bound=pydantic.BaseModel)
Node = dict[str, Any]


def load(name: str | Path, overrides: Sequence[str], schema: type[T]) -> T:
    """Read a configuration and make it a ``schema``.

    Args:
        name: an existing path, else the name of a packaged configuration, with or without ``.yaml``.
        overrides: ``path=value`` with dots between keys and list indices; the value is YAML.
        schema: a pydantic model.

    Raises:
        ConfigError: with one line for each problem.
    """
    return _made(*_merged(name, overrides, schema), schema)


class Template(Generic[T]):
    """A configuration read once and made many times, each with changes of its own; far quicker than ``load``.

    Args:
        name, overrides, schema: see ``load``.

    Raises:
        ConfigError: with one line for each problem of files and overrides.
    """

    def __init__(self, name: str | Path, overrides: Sequence[str], schema: type[T]) -> None:
        self.schema = schema
        self.data, problems = _merged(name, overrides, schema)
        if problems:
            raise ConfigError(problems)

    def made(self, changes: Sequence[tuple[str, Any]]) -> T:
        """The configuration after further changes, (dotted path, value) in their order.

        Raises:
            ConfigError: with one line for each problem.
        """
        data = copy.deepcopy(self.data)
        problems = _changed(data, [(key, plain(value)) for key, value in changes], self.schema)
        return _made(data, problems, self.schema)


def _made(data: Node, problems: list[str], schema: type[T]) -> T:
    """Merged data as a model.

    Raises:
        ConfigError: with all that is wrong, the problems met before first.
    """
    data, broken = _interpolated(data)
    try:
        check_depth(data)
    except UnreadableError as error:
        raise ConfigError([f"configuration: {error}"]) from error
    config, invalid = _validated(data, schema)
    # what refers to nothing has no value yet, so nothing more can be said of it
    invalid = [line for line in invalid if not any(line.startswith(key) for key in broken)]
    problems = list(dict.fromkeys([*problems, *broken.values(), *invalid]))
    if config is None or problems:
        raise ConfigError(problems)
    return config


def resolve(name: str | Path, overrides: Sequence[str] = ()) -> Node:
    """The merged, overridden and interpolated content of a configuration, not yet validated.

    Raises:
        ConfigError: a file that is missing or not YAML, an include cycle, a broken override or interpolation.
    """
    data, problems = _merged(name, overrides, None)
    data, broken = _interpolated(data)
    if problems or broken:
        raise ConfigError([*problems, *broken.values()])
    return data


def about(name: str) -> str:
    """One line on a packaged configuration: its description, else the first of its comments that is not for editors."""
    lines = read_text(find(name)).splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#") and "yaml-language-server:" not in line]
    whole = _parse(find(name))
    described = resolve(name).get("description") if isinstance(whole, dict) else ""
    return str(described or next(iter(comments), ""))


def _merged(
    name: str | Path, overrides: Sequence[str], schema: type[pydantic.BaseModel] | None
) -> tuple[Node, list[str]]:
    """Files and overrides together, and what was wrong with the overrides."""
    reader = _Reader()
    data = reader.read(find(name))
    if reader.problems:  # what could not be read would be told a second time, as missing
        raise ConfigError(list(dict.fromkeys(reader.problems)))
    problems: list[str] = []
    pairs = split(overrides, problems)
    problems += _changed(data, pairs, schema)
    return data, problems


def _changed(data: Node, pairs: Sequence[tuple[str, Any]], schema: type[pydantic.BaseModel] | None) -> list[str]:
    """Change data in place, and return what is wrong with the changes; those of whole components come first."""
    problems: list[str] = []
    for key, value in kinds_first([_including(*pair) for pair in pairs], data, schema):
        reader = _Reader()
        try:
            content = reader.given(key, value, _wanted(data, key, value, schema))
        except ConfigError as error:
            problems += error.problems
            continue
        problems += reader.problems or override(data, key, content, schema)
    return problems


def _including(key: str, value: Any) -> tuple[str, Any]:
    """An override ``a.include=b``, which means the same as ``a={include: b}``."""
    parent, dot, last = key.rpartition(".")
    return (parent, {"include": value}) if dot and last == "include" else (key, value)


def _wanted(data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None) -> Wanted | None:
    """What a file must hold that a value names, as text where a component is expected; None elsewhere."""
    paths = places_of(data, key, schema) if isinstance(value, str) and schema is not None else []
    if not paths or not expects_components(schema, data, paths[0].split(".")):
        return None
    expected = any_at(schema, data, paths[0].split("."))
    return Wanted(is_list(expected), kinds(expected))


class _Reader:
    """Reads files with what they include, and collects what is wrong with the includes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.count = self.depth = 0

    def given(self, key: str, value: Any, wanted: Wanted | None) -> Any:
        """The value of an override: that of a file where one is wanted, else itself with its includes.

        Raises:
            ConfigError: no such file, or one that cannot be read.
        """
        if wanted and value and "${" not in value:
            content = self._whole(preset(key, value, wanted), ())
            if isinstance(content, list) != wanted.is_list:
                raise ConfigError(
                    [f"{key}: {value!r} holds {shown(content)}, must hold {wanted.holding}, name another"]
                )
            return content
        return self._expanded(value, (COMMAND_LINE,), f"{key}.") if isinstance(value, dict | list) else value

    def read(self, path: Path) -> Node:
        """The file that a configuration begins with, a mapping."""
        data = self._whole(path, ())
        if not isinstance(data, dict):
            raise ConfigError([f"{path}: {shown(data)}, must be a mapping of keys, write 'key: value' lines"])
        return data

    def _whole(self, path: Path, above: tuple[Path, ...]) -> Any:
        """One file, a mapping or a list; those above include it, outermost first."""
        file, files = path.resolve(), [each.resolve() for each in above]
        if file in files:
            circle = " -> ".join(each.name for each in (*files[files.index(file) :], file))
            rule = "includes may not go in circles, remove one of them"
            raise ConfigError([f"{path}: includes itself ({circle}), {rule}"])
        self.count += 1
        if self.count > FILES:
            raise ConfigError([f"{path}: more than {FILES} files are included, write fewer includes"])
        return self._expanded(_parse(path), (*above, path), "")

    def _expanded(self, node: Any, files: tuple[Path, ...], where: str) -> Any:
        """A node of the last of the files: its includes merged in order, and the mapping's own keys over them."""
        if self.depth > LEVELS:
            raise ConfigError([f"{files[-1]}: more than {LEVELS} levels inside one another, write fewer"])
        self.depth += 1
        try:
            return self._merged(node, files, where)
        finally:
            self.depth -= 1

    def _merged(self, node: Any, files: tuple[Path, ...], where: str) -> Any:
        if isinstance(node, list):
            parts = [self._items(item, files, f"{where}{index}.") for index, item in enumerate(node)]
            return [item for part in parts for item in part]
        if not isinstance(node, dict):
            return node
        place = _place(files, where)
        data: Node = {}
        for name in self._names(node.get("include", []), place):
            part = self._included(name, files, where)
            if isinstance(part, list):
                rule = "only an item of a list can include a list, as its one file"
                self.problems.append(f"{place}: {name!r} holds {shown(part)}, {rule}, write [{{include: {name}}}]")
                part = {}
            data = merge(data, part)
        return merge(data, self._own(node, files, where))

    def _items(self, item: Any, files: tuple[Path, ...], where: str) -> list[Any]:
        """What an item of a list stands for: itself, or the items of the list it includes, its own keys over each."""
        name = item.get("include") if isinstance(item, dict) else None
        if isinstance(name, str):
            whole = self._included(name, files, where)
            if isinstance(whole, list):
                own = self._own(item, files, where)
                return [merge(each, own) if own else each for each in whole]
        return [self._expanded(item, files, where)]

    def _own(self, node: Node, files: tuple[Path, ...], where: str) -> Node:
        """A mapping without its includes."""
        return {key: self._expanded(item, files, f"{where}{key}.") for key, item in node.items() if key != "include"}

    def _names(self, value: Any, place: str) -> list[str]:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            return names
        self.problems.append(f"{place}: {_words(value)}, must be a file or a list of files, write include: [a.yaml]")
        return []

    def _included(self, name: str, files: tuple[Path, ...], where: str) -> Any:
        """What an include stands for, a mapping or a list; nothing if it cannot be read, so that all else is told."""
        path, place = files[-1].parent / name, _place(files, where)
        folder = folder_of(where.rstrip(".")) if where else ""
        try:
            path = path if is_file(path) else shipped(name, folder)
        except ConfigError as error:
            self.problems += [f"{place}: {line}" for line in error.problems]
            return {}
        try:
            return self._whole(path, files)
        except ConfigError as error:
            self.problems += error.problems
            return {}


COMMAND_LINE = Path("overrides")
"""In place of the file that an override stands in; what it includes is looked for in the working folder."""

FILES = 200
"""Most files that one configuration includes, repetitions counted."""


def _place(files: tuple[Path, ...], where: str) -> str:
    """Where an include stands, for messages."""
    return f"{where}include" if files[-1] is COMMAND_LINE else f"{files[-1]}: {where}include"


def _words(value: Any) -> str:
    """What stands in place of names of files, short."""
    return repr(value) if isinstance(value, list) and len(repr(value)) < 60 else shown(value)


def _parse(path: Path) -> Any:
    """One YAML file as plain dictionaries and lists, interpolations untouched."""
    data = plain(read_yaml(path))
    if not isinstance(data, dict | list):
        raise ConfigError([f"{path}: {shown(data)}, must be a mapping of keys, write 'key: value' lines"])
    return data


def merge(base: Any, top: Any) -> Any:
    """``top`` over ``base``: mappings key by key, all else replaced; another ``kind`` replaces the whole node."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    if "kind" in base and "kind" in top and base["kind"] != top["kind"]:
        return top
    return {**base, **{key: merge(base[key], value) if key in base else value for key, value in top.items()}}


def _interpolated(data: Node) -> tuple[Node, dict[str, str]]:
    """``${a.b}`` replaced by what it refers to, and the problems by path."""
    return followed(data) if "${" in json.dumps(data) else (data, {})


def _validated(data: Node, schema: type[T]) -> tuple[T | None, list[str]]:
    """The model, or what is wrong with the data. As JSON: strict about types, yet lists may be tuples."""
    try:
        return schema.model_validate_json(json.dumps(data), strict=True), []
    except pydantic.ValidationError as error:
        return None, describe(error, data, schema)
