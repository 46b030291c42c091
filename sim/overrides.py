"""Values set from outside a file: ``a.b=3``, and ``a.*.b=3`` for all items of a list that have the part."""

from collections.abc import Sequence
from typing import Any

import pydantic
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sim.documents import LEVELS, UnreadableError, check_yaml, reason
from sim.errors import brief, shown
from sim.problems import default_of, expects_components, has_field, has_several_kinds, is_plain, type_at
from sim.references import item_number

Node = dict[str, Any]

EXACT = 2**53
"""Whole numbers below this are the same as float and as int."""


LONGEST = 400
"""Most characters of a path."""


def plain(value: Any) -> Any:
    """String keys throughout, and ``1e5`` as the whole number it is (a float field takes it just as well)."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    return value


def override(data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None) -> list[str]:
    """Set a value in place, wherever a path leads; returns what is wrong with the path."""
    if key.split(".")[-1] == "*":
        return [_unended(data, key)]
    paths = places_of(data, key, schema)
    if not paths:
        last = key.split(".")[-1]
        return [f"{key}: no item there has a part {last!r}, name one that at least one of them has, change the path"]
    return [problem for path in paths if (problem := _set(data, path, value, schema))]


def _unended(data: Node, key: str) -> str:
    """What is wrong with a path that ends in ``*``; its remedy names a part that an item has, or items by number."""
    *parents, _ = key.split(".")
    told = f"{key}: ends in *, which stands for items of a list"
    node = _at(data, parents)
    whole = ".".join(parents) or "a list"
    if not isinstance(node, list) or not node or "*" in parents:
        return f"{told}, write the path of one value, such as seed or venues.0.name"
    part = next((name for item in node if isinstance(item, dict) for name in item), None)
    if part is None:
        return f"{told} of mappings, set one item such as {whole}.0, or {whole} as a whole"
    return f"{told}, add the part to set, such as {key}.{part}"


def places_of(data: Node, key: str, schema: type[pydantic.BaseModel] | None) -> list[str]:
    """The paths that one with ``*`` stands for: through all items of a list, to those that have its last part."""
    if "*" not in key.split("."):
        return [key]
    *parents, last = key.split(".")
    paths: list[list[str]] = [[]]
    for part in parents:
        paths = [[*path, each] for path in paths for each in (_indices(data, path) if part == "*" else [part])]
    return [".".join([*path, last]) for path in paths if _takes(data, path, last, schema)]


def _at(data: Any, path: Sequence[str]) -> Any:
    """What stands at a path; None where nothing does."""
    for part in path:
        if isinstance(data, list):
            number = item_number(part, data)
            data = None if number is None else data[number]
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _indices(data: Any, path: Sequence[str]) -> list[str]:
    node = _at(data, path)
    return [str(index) for index in range(len(node))] if isinstance(node, list) else []


def _takes(data: Any, path: Sequence[str], last: str, schema: type[pydantic.BaseModel] | None) -> bool:
    """Whether a node has a part, or by its schema may have it."""
    node = _at(data, path)
    known = schema is not None and has_field(type_at(schema, data, path), last)
    return known or (isinstance(node, dict) and last in node)


def split(overrides: Sequence[str], problems: list[str]) -> list[tuple[str, Any]]:
    """Overrides as (path, value), in their order; adds what is wrong to the problems."""
    pairs = []
    for override in overrides:
        key, equals, text = override.partition("=")
        if key.split(".").count("*") > 2:
            problems.append(f"{brief(key)}: more than two *, write the number of an item in place of one")
            continue
        if not equals or not all(key.split(".")):
            problems.append(f"{brief(override)}: not an override, must read path=value, write for example seed=3")
            continue
        if key.count(".") > LEVELS or len(key) > LONGEST:
            problems.append(f"{brief(key)}: more than {LEVELS} parts or {LONGEST} characters, shorten the path")
            continue
        try:
            check_yaml(text)
            value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
            pairs.append((key, plain(value)["value"]))
        except UnreadableError as error:
            problems.append(f"{key}: {shown(text)}, {str(error).removeprefix('line 1: ')}")
        except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
            problems.append(f"{key}: {shown(text)}, not a YAML value ({reason(error)[:200]}), quote it")
    return pairs


def kinds_first(
    pairs: Sequence[tuple[str, Any]], data: Node, schema: type[pydantic.BaseModel] | None
) -> list[tuple[str, Any]]:
    """Changes of kinds and of whole components first, outer before inner: they clear what stands there."""

    def is_whole(key: str, value: Any) -> bool:
        if key.split(".")[-1] == "kind" or (isinstance(value, dict) and "include" in value):
            return True
        paths = places_of(data, key, schema) if isinstance(value, str) else []
        return bool(paths) and schema is not None and expects_components(schema, data, paths[0].split("."))

    first = [pair for pair in pairs if is_whole(*pair)]
    return sorted(first, key=lambda pair: pair[0].count(".")) + [pair for pair in pairs if pair not in first]


def _set(data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None) -> str | None:
    """Set one value in place; returns the problem if there is no such place."""
    *parents, last = key.split(".")
    node: Any = data
    for depth, part in enumerate(parents):
        if isinstance(node, dict) and part not in node:
            if is_plain(schema, data, parents[: depth + 1]):
                return f"{key}: {'.'.join(parents[: depth + 1])} is one value without parts, shorten the path"
            node[part] = default_of(schema, data, parents[: depth + 1])
        problem = _no_such(node, parents[: depth + 1], key)
        if problem:
            return problem
        node = node[int(part) if isinstance(node, list) else part]
    problem = _no_such(node, [*parents, last], key)
    if problem:
        return problem
    if last == "kind" and node.get("kind") != value and not has_several_kinds(schema, data, parents):
        node.clear()
    node[int(last) if isinstance(node, list) else last] = value
    return None


def _no_such(node: Any, path: Sequence[str], key: str) -> str | None:
    """Why one cannot step from a node to a part of it, the last of a path."""
    part = path[-1]
    if isinstance(node, dict):
        return None
    if not isinstance(node, list):
        return f"{key}: {shown(node)} has no part {part!r}, only mappings and lists have parts, shorten the path"
    if item_number(part, node) is not None:
        return None
    if not node:
        return f"{key}: no item {part!r}, the list is empty, set it as a whole: {'.'.join(path[:-1])}=[...]"
    many = "1 item, number 0" if len(node) == 1 else f"{len(node)} items counted from 0"
    return f"{key}: no item {part!r}, the list has {many}, choose one of them"
