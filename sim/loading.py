"""Reading configuration: YAML with includes and ``a.b=3`` overrides, validated into a schema.

The order is: included files, the file itself, overrides, interpolation, validation. Any mapping of a file may include
others, also one in a list, and an item of a list may include a list. Nothing else in ``sim`` reads files, but for
trained models (``sim.margin.trained``). Every problem that can be told without guessing is told at once, one line each
(:class:`ConfigError`).
"""

import copy
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import pydantic
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sim.errors import ConfigError, shown
from sim.overrides import override, plain, split
from sim.packaged import find, shipped
from sim.problems import describe

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
        problems = [line for key, value in changes for line in override(data, key, plain(value), self.schema)]
        return _made(data, problems, self.schema)


def _made(data: Node, problems: list[str], schema: type[T]) -> T:
    """Merged data as a model.

    Raises:
        ConfigError: with all that is wrong, the problems met before first.
    """
    data, broken = _interpolated(data)
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
    lines = find(name).read_text(encoding="utf-8").splitlines()
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
    for key, value in split(overrides, problems):
        problems += override(data, key, value, schema)
    return data, problems


class _Reader:
    """Reads files with what they include, and collects what is wrong with the includes."""

    def __init__(self) -> None:
        self.problems: list[str] = []

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
        return self._expanded(_parse(path), (*above, path), "")

    def _expanded(self, node: Any, files: tuple[Path, ...], where: str) -> Any:
        """A node of the last of the files: its includes merged in order, and the mapping's own keys over them."""
        if isinstance(node, list):
            parts = [self._items(item, files, f"{where}{index}.") for index, item in enumerate(node)]
            return [item for part in parts for item in part]
        if not isinstance(node, dict):
            return node
        place = f"{files[-1]}: {where}include"
        data: Node = {}
        for name in self._names(node.get("include", []), place):
            part = self._included(name, files, place)
            if isinstance(part, list):
                rule = "only an item of a list can include a list, as its one file"
                self.problems.append(f"{place}: {name!r} holds {shown(part)}, {rule}, move it")
                part = {}
            data = merge(data, part)
        return merge(data, self._own(node, files, where))

    def _items(self, item: Any, files: tuple[Path, ...], where: str) -> list[Any]:
        """What an item of a list stands for: itself, or the items of the list it includes, its own keys over each."""
        name = item.get("include") if isinstance(item, dict) else None
        if isinstance(name, str):
            whole = self._included(name, files, f"{files[-1]}: {where}include")
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
        self.problems.append(f"{place}: {value!r}, must be a file or a list of files, write include: [a.yaml]")
        return []

    def _included(self, name: str, files: tuple[Path, ...], place: str) -> Any:
        """What an include stands for, a mapping or a list; nothing if it cannot be read, so that all else is told."""
        path = files[-1].parent / name
        try:
            path = path if path.is_file() else shipped(name)
        except ConfigError as error:
            self.problems += [f"{place}: {line}" for line in error.problems]
            return {}
        try:
            return self._whole(path, files)
        except ConfigError as error:
            self.problems += error.problems
            return {}


def _parse(path: Path) -> Any:
    """One YAML file as plain dictionaries and lists, interpolations untouched."""
    try:
        text = path.read_text(encoding="utf-8")
        data = plain(OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False))
        if _one_word(text, data):
            data = text
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError([f"{where}: not YAML, {error.problem}, correct this line"]) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{path}: cannot be read, {' '.join(str(error).split())}, correct the file"]) from error
    if not isinstance(data, dict | list):
        raise ConfigError([f"{path}: {shown(data)}, must be a mapping of keys, write 'key: value' lines"])
    return data


def _one_word(text: str, data: Any) -> bool:
    """Whether a file is mere words, which OmegaConf takes for a key."""
    lone = isinstance(data, dict) and list(data.values()) == [None]
    return lone and isinstance(yaml.compose(text), yaml.ScalarNode)


def merge(base: Any, top: Any) -> Any:
    """``top`` over ``base``: mappings key by key, all else replaced; another ``kind`` replaces the whole node."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    if "kind" in base and "kind" in top and base["kind"] != top["kind"]:
        return top
    return {**base, **{key: merge(base[key], value) if key in base else value for key, value in top.items()}}


def _interpolated(data: Node) -> tuple[Node, dict[str, str]]:
    """``${a.b}`` replaced by what it refers to, and the problems by path. The environment is out of reach."""
    if "${" not in json.dumps(data):
        return data, {}
    OmegaConf.clear_resolver("oc.env")
    problems: dict[str, str] = {}
    try:
        root = OmegaConf.create(data)
    except OmegaConfBaseException as error:
        return data, {str(error.full_key): f"{error.full_key}: {_first_line(error)}, correct the reference"}
    return _follow(root, (), problems), problems


def _follow(node: Any, path: tuple[Any, ...], problems: dict[str, str]) -> Any:
    """A container with its references resolved, leaf by leaf so that one broken one does not hide the next."""
    if isinstance(node, DictConfig):
        return {key: _get(node, key, (*path, key), problems) for key in node}
    if isinstance(node, ListConfig):
        return [_get(node, index, (*path, index), problems) for index in range(len(node))]
    return node


def _get(node: Any, key: Any, path: tuple[Any, ...], problems: dict[str, str]) -> Any:
    name = ".".join(map(str, path))
    try:
        return _follow(node[key], path, problems)
    except (OmegaConfBaseException, RecursionError) as error:
        problems[name] = f"{name}: {_first_line(error)}, references must lead to a value, correct it"
        return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _validated(data: Node, schema: type[T]) -> tuple[T | None, list[str]]:
    """The model, or what is wrong with the data. As JSON: strict about types, yet lists may be tuples."""
    try:
        return schema.model_validate_json(json.dumps(data), strict=True), []
    except pydantic.ValidationError as error:
        return None, describe(error, data, schema)
