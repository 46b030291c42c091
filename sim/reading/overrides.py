"""Overrides of configured values: ``a.b=3``, ``a.*.b=3`` for all list items with that part, and
``a+=3``, which appends an item to a list.
"""

import copy
from collections.abc import Sequence
from typing import Any

import pydantic
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sim.errors import format_value, shorten_name
from sim.reading.documents import (
    MAX_LEVELS,
    UnreadableError,
    check_yaml,
    reason,
)
from sim.reading.references import item_number
from sim.reading.renamed_keys import RENAMED_KEYS
from sim.reading.schema_types import (
    expects_components,
    find_default,
    find_type,
    has_field,
    has_several_kinds,
    is_plain,
)

Node = dict[str, Any]

APPEND = "+"
"""Ending of a path whose value is appended to the list there."""

MAX_EXACT_INT = 2**53
"""Whole numbers below this are equal as float and as int."""


MAX_PATH_LENGTH = 400
"""Largest number of characters of a path."""


def normalise_values(value: Any) -> Any:
    """Return data with string keys, and whole numbers such as ``1e5`` as integers.

    A float field accepts an integer just as well.
    """
    if isinstance(value, dict):
        return {str(key): normalise_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [normalise_values(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_EXACT_INT:
        return int(value)
    return value


def apply_override(
    data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None
) -> list[str]:
    """Set a value in place at each path that a path with ``*`` stands for; return the problems.

    If the path ends in ``+``, the value is the list of items that are appended there.
    """
    appended, key = key.endswith(APPEND), key.removesuffix(APPEND)
    if key.split(".")[-1] == "*":
        return [_describe_trailing_wildcard(data, key)]
    paths = expand_wildcards(data, key, schema)
    if not paths:
        *parents, last = key.split(".")
        new = RENAMED_KEYS.get(last)
        if new and expand_wildcards(data, ".".join([*parents, new]), schema):
            return [f"{key}: was renamed, write {new}"]
        return [
            f"{key}: no item there has a part {last!r}, "
            "name one that at least one of them has, change the path"
        ]
    change = _append_items if appended else _set_value
    return [problem for path in paths if (problem := change(data, path, value, schema))]


def find_new_item(data: Node, key: str, schema: type[pydantic.BaseModel] | None) -> str:
    """Return the path of the item that a path with the ending ``+`` appends, see ``APPEND``.

    Any other path is returned as it is. If the path stands for several lists, the item is that of
    the first one.
    """
    if not key.endswith(APPEND):
        return key
    whole = key.removesuffix(APPEND)
    path = next(iter(expand_wildcards(data, whole, schema)), whole)
    items = _get_node(data, path.split("."))
    return f"{path}.{len(items) if isinstance(items, list) else 0}"


def _describe_trailing_wildcard(data: Node, key: str) -> str:
    """Return the problem of a path that ends in ``*``.

    The remedy names a part that an item has, or items by number.
    """
    *parents, _ = key.split(".")
    problem = f"{key}: ends in *, which stands for items of a list"
    node = _get_node(data, parents)
    whole = ".".join(parents) or "a list"
    if not isinstance(node, list) or not node or "*" in parents:
        return f"{problem}, write the path of one value, such as seed or venues.0.name"
    part = next((name for item in node if isinstance(item, dict) for name in item), None)
    if part is None:
        return f"{problem} of mappings, set one item such as {whole}.0, or {whole} as a whole"
    return f"{problem}, add the part to set, such as {key}.{part}"


def expand_wildcards(data: Node, key: str, schema: type[pydantic.BaseModel] | None) -> list[str]:
    """Return the paths that a path with ``*`` stands for.

    They lead through all items of a list, to those that have the last part.
    """
    if "*" not in key.split("."):
        return [key]
    *parents, last = key.split(".")
    paths: list[list[str]] = [[]]
    for part in parents:
        paths = [
            [*path, each]
            for path in paths
            for each in (_list_indices(data, path) if part == "*" else [part])
        ]
    return [".".join([*path, last]) for path in paths if _accepts_part(data, path, last, schema)]


def _get_node(data: Any, path: Sequence[str]) -> Any:
    """Return the value at a path; None if there is none."""
    for part in path:
        if isinstance(data, list):
            number = item_number(part, data)
            data = None if number is None else data[number]
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _list_indices(data: Any, path: Sequence[str]) -> list[str]:
    node = _get_node(data, path)
    return [str(index) for index in range(len(node))] if isinstance(node, list) else []


def _accepts_part(
    data: Any, path: Sequence[str], last: str, schema: type[pydantic.BaseModel] | None
) -> bool:
    """Return whether a node has a part, or may have it by its schema."""
    node = _get_node(data, path)
    known = schema is not None and has_field(find_type(schema, data, path), last)
    return known or (isinstance(node, dict) and last in node)


def parse_overrides(overrides: Sequence[str], problems: list[str]) -> list[tuple[str, Any]]:
    """Return overrides as (path, value), in their order; add what is wrong to ``problems``."""
    pairs = []
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.removesuffix(APPEND).split(".")
        if key.split(".").count("*") > 2:
            problems.append(
                f"{shorten_name(key)}: more than two *, write the number of an item in place of one"
            )
            continue
        if not equals or not all(parts):
            problems.append(
                f"{shorten_name(override)}: not an override, must read path=value, "
                "write for example seed=3"
            )
            continue
        if key.count(".") > MAX_LEVELS or len(key) > MAX_PATH_LENGTH:
            problems.append(
                f"{shorten_name(key)}: more than {MAX_LEVELS} parts or "
                f"{MAX_PATH_LENGTH} characters, shorten the path"
            )
            continue
        try:
            check_yaml(text)
            value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
            pairs.append((key, normalise_values(value)["value"]))
        except UnreadableError as error:
            problems.append(f"{key}: {format_value(text)}, {str(error).removeprefix('line 1: ')}")
        except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
            problems.append(
                f"{key}: {format_value(text)}, not a YAML value ({reason(error)[:200]}), quote it"
            )
    return pairs


def order_changes(
    pairs: Sequence[tuple[str, Any]], data: Node, schema: type[pydantic.BaseModel] | None
) -> list[tuple[str, Any]]:
    """Return the changes with those of kinds and of whole components first, outer before inner.

    These changes replace what is set inside a component. An appended item counts as one, and so do
    earlier changes of its list, so that a later path can name the item by its number. An empty list
    has no inside, so it takes its turn.
    """
    lists = [key.removesuffix(APPEND).split(".") for key, _ in pairs if key.endswith(APPEND)]

    def is_whole(key: str, value: Any) -> bool:
        path = key.removesuffix(APPEND).split(".")
        if any(each[: len(path)] == path for each in lists):
            return True
        if key.split(".")[-1] == "kind" or (isinstance(value, dict) and "include" in value):
            return True
        is_named = isinstance(value, str) or (isinstance(value, list) and bool(value))
        paths = expand_wildcards(data, key, schema) if is_named else []
        return (
            bool(paths)
            and schema is not None
            and expects_components(schema, data, paths[0].split("."))
        )

    first = [pair for pair in pairs if is_whole(*pair)]
    return sorted(first, key=lambda pair: pair[0].count(".")) + [
        pair for pair in pairs if pair not in first
    ]


def _append_items(
    data: Node, key: str, items: list[Any], schema: type[pydantic.BaseModel] | None
) -> str | None:
    """Append items to the list at a path in place, and return the problem if there is no list."""
    *parents, last = path = key.split(".")
    node, problem = _enter_parents(data, key, parents, schema)
    if isinstance(node, dict) and last not in node:
        default = find_default(schema, data, path)
        node[last] = default if isinstance(default, list) else []
    problem = problem or _describe_missing_part(node, path, key)
    if problem:
        return problem
    held = node[int(last) if isinstance(node, list) else last]
    if not isinstance(held, list):
        rule = f"only a list takes items with {APPEND}=, set the value with {key}="
        return f"{key}{APPEND}: {format_value(held)} is no list, {rule}"
    held.extend(copy.deepcopy(items))
    return None


def _set_value(
    data: Node, key: str, value: Any, schema: type[pydantic.BaseModel] | None
) -> str | None:
    """Set one value in place, and return the problem if the place does not exist."""
    *parents, last = key.split(".")
    node, problem = _enter_parents(data, key, parents, schema)
    problem = problem or _describe_missing_part(node, [*parents, last], key)
    if problem:
        return problem
    if (
        last == "kind"
        and node.get("kind") != value
        and not has_several_kinds(schema, data, parents)
    ):
        node.clear()
    node[int(last) if isinstance(node, list) else last] = value
    return None


def _enter_parents(
    data: Node, key: str, parents: Sequence[str], schema: type[pydantic.BaseModel] | None
) -> tuple[Any, str | None]:
    """Return the node that holds the last part of a path, and the problem if there is none.

    Parts that the data omit are added with their default.
    """
    node: Any = data
    for depth, part in enumerate(parents):
        if isinstance(node, dict) and part not in node:
            if is_plain(schema, data, parents[: depth + 1]):
                parent = ".".join(parents[: depth + 1])
                return None, f"{key}: {parent} is one value without parts, shorten the path"
            node[part] = find_default(schema, data, parents[: depth + 1])
        problem = _describe_missing_part(node, parents[: depth + 1], key)
        if problem:
            return None, problem
        node = node[int(part) if isinstance(node, list) else part]
    return node, None


def _describe_missing_part(node: Any, path: Sequence[str], key: str) -> str | None:
    """Return why a node has no such part, None if it has; the part is the last of ``path``."""
    part = path[-1]
    if isinstance(node, dict):
        return None
    if not isinstance(node, list):
        return (
            f"{key}: {format_value(node)} has no part {part!r}, "
            "only mappings and lists have parts, shorten the path"
        )
    if item_number(part, node) is not None:
        return None
    if not node:
        whole = ".".join(path[:-1])
        return f"{key}: no item {part!r}, the list is empty, set it as a whole: {whole}=[...]"
    items = "1 item, number 0" if len(node) == 1 else f"{len(node)} items counted from 0"
    append = ""
    if part == str(len(node)) and key == ".".join(path):
        append = f", or append one with {'.'.join(path[:-1])}{APPEND}=..."
    return f"{key}: no item {part!r}, the list has {items}, choose one of them{append}"
