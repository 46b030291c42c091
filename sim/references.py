"""References ``${a.b}`` between values of a configuration. The environment and functions are out of reach."""

import re
from typing import Any

from sim.errors import shown

Node = dict[str, Any]
Path = tuple[str, ...]

REFERENCE = re.compile(r"\$\{([\w-]+(?:\.[\w-]+)*)\}")
"""A path with dots, counted from the top."""

LEVELS = 48
"""Most lists and mappings inside one another, after references were followed."""

CHAIN = 32
"""Most references that follow one another."""

SIZE = 1_000_000
"""Most characters that following all references may make, each value counting as one more."""


def item_number(part: str, data: Any) -> int | None:
    """The place in a list that a part of a path names; None if it names none, or the data is no list."""
    if not isinstance(data, list) or not part.isdecimal() or len(part) > len(str(len(data))):
        return None
    return int(part) if int(part) < len(data) else None


class _BrokenError(Exception):
    """A reference that leads nowhere; the message says why, and the remedy."""


def followed(data: Node) -> tuple[Node, dict[str, str]]:
    """The data with all references replaced by what they refer to, and the problems by path.

    A text that is one reference becomes the value, a mapping or list too; one in the middle of a text becomes text.
    """
    walk = _Walk(data)
    return walk.value(data, ()), walk.problems


class _Walk:
    def __init__(self, data: Node) -> None:
        self.data = data
        self.problems: dict[str, str] = {}
        self.open: list[Path] = []
        self.left, self.depth = SIZE, 0

    def value(self, node: Any, path: Path) -> Any:
        """A node with its references followed; broken ones are noted and become nothing."""
        self.left -= 1
        if isinstance(node, dict | list):
            return self._container(node, path)
        if not isinstance(node, str) or "${" not in node:
            return node
        try:
            return self._text(node, path)
        except _BrokenError as error:
            if self.open:
                raise
            if self.left < 0 and self.problems:
                return None  # the room for all of them together is used up, and the first was told
            name = ".".join(path)
            self.problems[name] = f"{name}: {shown(node)}, {error}"
            return None

    def _container(self, node: Node | list[Any], path: Path) -> Any:
        if self.depth == LEVELS:
            raise _BrokenError(f"references make more than {LEVELS} levels inside one another, write values")
        self.depth += 1
        try:
            if isinstance(node, dict):
                return {key: self.value(item, (*path, key)) for key, item in node.items()}
            return [self.value(item, (*path, str(number))) for number, item in enumerate(node)]
        finally:
            self.depth -= 1

    def _text(self, text: str, path: Path) -> Any:
        if path in self.open:
            raise _BrokenError("references may not go in circles, write the value")
        if len(self.open) == CHAIN:
            raise _BrokenError(f"more than {CHAIN} references follow one another, write the value")
        if "${" in REFERENCE.sub("", text):
            raise _BrokenError("a reference must read ${a.b}, a path counted from the top, correct it")
        self.open.append(path)
        try:
            whole = REFERENCE.fullmatch(text)
            return self._target(whole[1]) if whole else REFERENCE.sub(lambda found: self._word(found[1]), text)
        finally:
            self.open.pop()

    def _word(self, name: str) -> str:
        value = self._target(name)
        if isinstance(value, dict | list):
            raise _BrokenError(f"{name} is {shown(value)}, only a value can stand inside a text, refer to one")
        self.left -= len(str(value))
        return str(value)

    def _target(self, name: str) -> Any:
        node: Any = self.data
        for part in name.split("."):
            number = item_number(part, node)
            if number is not None:
                node = node[number]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                raise _BrokenError(f"there is no {name}, a reference must lead to a value, correct it")
        if self.left < 0:
            raise _BrokenError(f"references make more than {SIZE:,} characters, write values")
        return self.value(node, tuple(name.split(".")))
