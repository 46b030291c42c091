"""References ``${a.b}`` between values of a configuration.

The environment and functions cannot be referred to.
"""

import re
from typing import Any

from sim.errors import format_value

Node = dict[str, Any]
KeyPath = tuple[str, ...]

REFERENCE_PATTERN = re.compile(r"\$\{([\w-]+(?:\.[\w-]+)*)\}")
"""Path with dots, counted from the top."""

MAX_LEVELS = 48
"""Largest nesting of lists and mappings after references are resolved."""

MAX_CHAIN = 32
"""Longest chain of references."""

MAX_SIZE = 1_000_000
"""Largest number of characters that resolving all references may create; each value counts as one
more.
"""


def item_number(part: str, data: Any) -> int | None:
    """Return the list index that a part of a path names.

    It is None if the part names no item, or the data is no list.
    """
    if not isinstance(data, list) or not part.isdecimal() or len(part) > len(str(len(data))):
        return None
    return int(part) if int(part) < len(data) else None


class _BrokenError(Exception):
    """Error of a reference without a target; the message has the reason and the remedy."""


def resolve_references(data: Node) -> tuple[Node, dict[str, str]]:
    """Return the data with all references replaced by their targets, and the problems by path.

    A text that is one reference becomes the value, also a mapping or list. A reference in the
    middle of a text becomes text.
    """
    walk = _ReferenceResolver(data)
    return walk.resolve_value(data, ()), walk.problems


class _ReferenceResolver:
    def __init__(self, data: Node) -> None:
        self.data = data
        self.problems: dict[str, str] = {}
        self.open_paths: list[KeyPath] = []
        self.remaining_size, self.depth = MAX_SIZE, 0

    def resolve_value(self, node: Any, path: KeyPath) -> Any:
        """Return a node with its references resolved; broken ones are recorded and become None."""
        self.remaining_size -= 1
        if isinstance(node, dict | list):
            return self._resolve_container(node, path)
        if not isinstance(node, str) or "${" not in node:
            return node
        try:
            return self._resolve_text(node, path)
        except _BrokenError as error:
            if self.open_paths:
                raise
            if self.remaining_size < 0 and self.problems:
                return None  # the common size limit is reached, and the first problem is recorded
            name = ".".join(path)
            self.problems[name] = f"{name}: {format_value(node)}, {error}"
            return None

    def _resolve_container(self, node: Node | list[Any], path: KeyPath) -> Any:
        if self.depth == MAX_LEVELS:
            raise _BrokenError(
                f"references make more than {MAX_LEVELS} levels inside one another, write values"
            )
        self.depth += 1
        try:
            if isinstance(node, dict):
                return {key: self.resolve_value(item, (*path, key)) for key, item in node.items()}
            return [
                self.resolve_value(item, (*path, str(number))) for number, item in enumerate(node)
            ]
        finally:
            self.depth -= 1

    def _resolve_text(self, text: str, path: KeyPath) -> Any:
        if path in self.open_paths:
            raise _BrokenError("references may not go in circles, write the value")
        if len(self.open_paths) == MAX_CHAIN:
            raise _BrokenError(
                f"more than {MAX_CHAIN} references follow one another, write the value"
            )
        if "${" in REFERENCE_PATTERN.sub("", text):
            raise _BrokenError(
                "a reference must read ${a.b}, a path counted from the top, correct it"
            )
        self.open_paths.append(path)
        try:
            whole = REFERENCE_PATTERN.fullmatch(text)
            if whole:
                return self._find_target(whole[1])
            return REFERENCE_PATTERN.sub(lambda match: self._resolve_word(match[1]), text)
        finally:
            self.open_paths.pop()

    def _resolve_word(self, name: str) -> str:
        value = self._find_target(name)
        if isinstance(value, dict | list):
            raise _BrokenError(
                f"{name} is {format_value(value)}, only a value can stand inside a text, "
                "refer to one"
            )
        self.remaining_size -= len(str(value))
        return str(value)

    def _find_target(self, name: str) -> Any:
        node: Any = self.data
        for part in name.split("."):
            number = item_number(part, node)
            if number is not None:
                node = node[number]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                raise _BrokenError(
                    f"there is no {name}, a reference must lead to a value, correct it"
                )
        if self.remaining_size < 0:
            raise _BrokenError(f"references make more than {MAX_SIZE:,} characters, write values")
        return self.resolve_value(node, tuple(name.split(".")))
