"""Components whose class lacks a method of its family, found in the data that name them."""

import inspect
from collections.abc import Iterator
from typing import Any

import pydantic

from sim.errors import format_value
from sim.reading.schema_types import find_type


def describe_incomplete_classes(data: Any, schema: type[pydantic.BaseModel]) -> list[str]:
    """Return one line for each component in the data whose class cannot be instantiated."""
    lines = []
    for path, node in _iterate_mappings(data, ()):
        model = find_type(schema, data, path)
        if isinstance(model, type) and inspect.isabstract(model):
            where = ".".join(map(str, path)) or "configuration"
            lines.append(f"{where}: {format_value(node.get('kind'))}, {list_missing(model)}")
    return lines


def list_missing(cls: type) -> str:
    """Return the rule and the remedy for a class that lacks methods."""
    methods = []
    for name in sorted(vars(cls).get("__abstractmethods__", ())):
        _, *arguments = inspect.signature(getattr(cls, name)).parameters
        methods.append(f"{name}({', '.join(arguments)})")
    problem = f"its class {cls.__name__} must have {' and '.join(methods)}"
    return f"{problem}, write {'it' if len(methods) == 1 else 'them'}"


def _iterate_mappings(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield all mappings of some data with their paths, outer ones first."""
    parts: Any = ()
    if isinstance(node, dict):
        yield path, node
        parts = node.items()
    elif isinstance(node, list):
        parts = enumerate(node)
    for key, part in parts:
        yield from _iterate_mappings(part, (*path, key))
