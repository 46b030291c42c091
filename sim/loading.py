"""Reading configuration: YAML with includes and ``a.b=3`` overrides, validated into a schema.

The order is: included files, the file itself, overrides, interpolation, validation. Any mapping of a file may include
others, also one in a list. Nothing else in ``sim`` reads files. Every problem that can be told without guessing is told
at once, one line each (:class:`ConfigError`).
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sim.errors import ConfigError, did_you_mean, shown
from sim.problems import default_of, describe

T = TypeVar("T", bound=pydantic.BaseModel)
Node = dict[str, Any]

PACKAGED = Path(__file__).resolve().parent.parent / "configs"
"""Configurations that ship with the package; beside ``sim``, so that no other ``configs`` can shadow them."""

EXACT = 2**53
"""Whole numbers below this are the same as float and as int."""


def load(name: str | Path, overrides: Sequence[str], schema: type[T]) -> T:
    """Read a configuration and make it a ``schema``.

    Args:
        name: an existing path, else the name of a packaged configuration, with or without ``.yaml``.
        overrides: ``path=value`` with dots between keys and list indices; the value is YAML.
        schema: a pydantic model.

    Raises:
        ConfigError: with one line for each problem.
    """
    data, problems = _merged(name, overrides, schema)
    data, broken = _interpolated(data)
    config, invalid = _validated(data, schema)
    # what refers to nothing has no value yet, so nothing more can be said of it
    invalid = [line for line in invalid if not any(line.startswith(key) for key in broken)]
    problems = list(dict.fromkeys([*problems, *broken.values(), *invalid]))
    if config is None or problems:
        raise ConfigError(problems)
    return config


def resolve(name: str | Path, overrides: Sequence[str] = (), schema: type[pydantic.BaseModel] | None = None) -> Node:
    """The merged, overridden and interpolated content of a configuration, not yet validated.

    Raises:
        ConfigError: a file that is missing or not YAML, an include cycle, a broken override or interpolation.
    """
    data, problems = _merged(name, overrides, schema)
    data, broken = _interpolated(data)
    if problems or broken:
        raise ConfigError([*problems, *broken.values()])
    return data


def packaged() -> list[str]:
    """Names of the packaged configurations, folders included, without ``.yaml``."""
    return sorted(path.relative_to(PACKAGED).with_suffix("").as_posix() for path in PACKAGED.rglob("*.yaml"))


def about(name: str) -> str:
    """One line on a packaged configuration: its description, else the first of its comments that is not for editors."""
    lines = find(name).read_text(encoding="utf-8").splitlines()
    comments = [line.lstrip("# ") for line in lines if line.startswith("#") and "yaml-language-server:" not in line]
    return str(resolve(name).get("description") or next(iter(comments), ""))


def find(name: str | Path) -> Path:
    """The file that a name on the command line means."""
    path = Path(name)
    return path if path.is_file() else _shipped(name)


def _shipped(name: str | Path) -> Path:
    """The packaged file of that name."""
    path = Path(name)
    for candidate in _packaged_candidates(path):
        if candidate.is_file():
            return candidate
    names = packaged()
    whole, last = (text.removesuffix(".yaml") for text in (path.as_posix(), path.name))
    near = did_you_mean(whole, names) or did_you_mean(last, names)
    told = f"{near}, packaged are: {', '.join(names)}{'' if near else ', choose one'}"
    raise ConfigError([f"{name}: no such file or packaged configuration{told}"])


def _packaged_candidates(path: Path) -> list[Path]:
    """``crash_2008``, ``crash_2008.yaml`` and ``configs/crash_2008.yaml`` all mean the same packaged file."""
    if path.is_absolute():
        return []
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    inner = PACKAGED.joinpath(*parts)
    files = [inner] if inner.suffix == ".yaml" else [inner, inner.with_name(inner.name + ".yaml")]
    return [file for file in files if file.resolve().is_relative_to(PACKAGED)]


def _merged(
    name: str | Path, overrides: Sequence[str], schema: type[pydantic.BaseModel] | None
) -> tuple[Node, list[str]]:
    """Files and overrides together, and what was wrong with the overrides."""
    reader = _Reader()
    data = reader.read(find(name))
    if reader.problems:  # what could not be read would be told a second time, as missing
        raise ConfigError(list(dict.fromkeys(reader.problems)))
    problems: list[str] = []
    for key, value in _split(overrides, problems):
        problem = _override(data, key, value, schema)
        problems += [problem] if problem else []
    return data, problems


class _Reader:
    """Reads files with what they include, and collects what is wrong with the includes."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, path: Path, above: tuple[Path, ...] = ()) -> Node:
        """One file; those above include it, outermost first."""
        file, files = path.resolve(), [each.resolve() for each in above]
        if file in files:
            circle = " -> ".join(each.name for each in (*files[files.index(file) :], file))
            rule = "includes may not go in circles, remove one of them"
            raise ConfigError([f"{path}: includes itself ({circle}), {rule}"])
        data: Node = self._expanded(_parse(path), (*above, path), "")
        return data

    def _expanded(self, node: Any, files: tuple[Path, ...], where: str) -> Any:
        """A node of the last of the files: its includes merged in order, and the mapping's own keys over them."""
        if isinstance(node, list):
            return [self._expanded(item, files, f"{where}{index}.") for index, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        place = f"{files[-1]}: {where}include"
        data: Node = {}
        for name in self._names(node.get("include", []), place):
            data = merge(data, self._included(name, files, place))
        own = {key: self._expanded(item, files, f"{where}{key}.") for key, item in node.items() if key != "include"}
        return merge(data, own)

    def _names(self, value: Any, place: str) -> list[str]:
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(each, str) for each in names):
            return names
        self.problems.append(f"{place}: {value!r}, must be a file or a list of files, write include: [a.yaml]")
        return []

    def _included(self, name: str, files: tuple[Path, ...], place: str) -> Node:
        """What an include stands for; nothing if it cannot be read, so that all other problems are told, too."""
        path = files[-1].parent / name
        try:
            path = path if path.is_file() else _shipped(name)
        except ConfigError as error:
            self.problems += [f"{place}: {line}" for line in error.problems]
            return {}
        try:
            return self.read(path, files)
        except ConfigError as error:
            self.problems += error.problems
            return {}


def _parse(path: Path) -> Node:
    """One YAML file as plain dictionaries and lists, interpolations untouched."""
    try:
        text = path.read_text(encoding="utf-8")
        data = _plain(OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False))
        if _one_word(text, data):
            data = text
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError([f"{where}: not YAML, {error.problem}, correct this line"]) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError([f"{path}: cannot be read, {' '.join(str(error).split())}, correct the file"]) from error
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: {shown(data)}, must be a mapping of keys, write 'key: value' lines"])
    return data


def _one_word(text: str, data: Any) -> bool:
    """Whether a file is mere words, which OmegaConf takes for a key."""
    lone = isinstance(data, dict) and list(data.values()) == [None]
    return lone and isinstance(yaml.compose(text), yaml.ScalarNode)


def _plain(value: Any) -> Any:
    """String keys throughout, and ``1e5`` as the whole number it is (a float field takes it just as well)."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return value


def merge(base: Any, top: Any) -> Any:
    """``top`` over ``base``: mappings key by key, all else replaced; another ``kind`` replaces the whole node."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    if "kind" in base and "kind" in top and base["kind"] != top["kind"]:
        return top
    return {**base, **{key: merge(base[key], value) if key in base else value for key, value in top.items()}}


def _split(overrides: Sequence[str], problems: list[str]) -> list[tuple[str, Any]]:
    """Overrides as (path, value). Kinds come first, outer before inner: they clear what they do not know."""
    pairs = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")):
            problems.append(f"{override}: not an override, must read path=value, write for example seed=3")
            continue
        try:
            value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
            pairs.append((key, _plain(value)["value"]))
        except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
            problems.append(f"{key}: {text!r}, not a YAML value ({' '.join(str(error).split())}), quote it")
    kinds = [pair for pair in pairs if pair[0].split(".")[-1] == "kind"]
    others = [pair for pair in pairs if pair[0].split(".")[-1] != "kind"]
    return sorted(kinds, key=lambda pair: pair[0].count(".")) + others


def _override(data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None) -> str | None:
    """Set one value in place; returns the problem if there is no such place."""
    *parents, last = key.split(".")
    node: Any = data
    for depth, part in enumerate(parents):
        if isinstance(node, dict) and part not in node:
            node[part] = default_of(schema, data, parents[: depth + 1])
        problem = _no_such(node, part, key)
        if problem:
            return problem
        node = node[int(part) if isinstance(node, list) else part]
    problem = _no_such(node, last, key)
    if problem:
        return problem
    if last == "kind" and node.get("kind") != value:
        node.clear()
    node[int(last) if isinstance(node, list) else last] = value
    return None


def _no_such(node: Any, part: str, key: str) -> str | None:
    """Why one cannot step from a node to a part of it."""
    if isinstance(node, dict):
        return None
    if not isinstance(node, list):
        return f"{key}: {node!r} has no part {part!r}, only mappings and lists have parts, shorten the path"
    if part.isdecimal() and int(part) < len(node):
        return None
    return f"{key}: no item {part!r}, the list has {len(node)} items counted from 0, choose one of them"


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
