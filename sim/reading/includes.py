"""Files of a configuration with their includes, merged.

Where a schema expects a component, a text is the name of a file that holds it, or of a kind.
"""

from pathlib import Path
from typing import Any

from sim.errors import ConfigError, format_value
from sim.reading.documents import MAX_LEVELS, read_yaml
from sim.reading.overrides import normalise_values
from sim.reading.packaged import (
    Wanted,
    can_be_named,
    find_packaged,
    find_preset,
    folder_of,
    is_file,
    is_kind,
)
from sim.reading.schema_types import find_part_type, is_list, is_of_components, list_kinds

Node = dict[str, Any]

COMMAND_LINE = Path("overrides")
"""Placeholder for the file of an override; its includes are searched in the working folder."""

MAX_FILES = 200
"""Largest number of files that one configuration includes, repetitions counted."""


class IncludeReader:
    """Reader of files with their includes, which collects the problems of the includes.

    Args:
        expected: type that a schema expects of the content, None if unknown. Where it has a
            component, a text is read as a name.
    """

    def __init__(self, expected: Any = None) -> None:
        self.expected, self.problems = expected, list[str]()
        self.count = self.depth = 0

    def read_override(self, key: str, value: Any, wanted: Wanted | None) -> Any:
        """Return the value of an override: the content of a file if one is wanted, else itself.

        The name of a kind is the component of that kind with its defaults, if no file has the name.
        Includes of the value are expanded.

        Raises:
            ConfigError: the file does not exist or cannot be read.
        """
        if wanted and value and "${" not in value:
            return self._read_named(key, value, wanted, ())
        if isinstance(value, dict | list):
            return self._expand_node(value, (COMMAND_LINE,), f"{key}.", self.expected)
        return value

    def read_new_items(self, key: str, value: Any, wanted: Wanted | None) -> list[Any]:
        """Return the items that an appended value stands for, all items of a list it includes.

        Args: see :meth:`read_override`; ``key`` is the path of the first new item.

        Raises:
            ConfigError: the file does not exist or cannot be read.
        """
        if isinstance(value, dict):
            return self._expand_item(value, (COMMAND_LINE,), f"{key}.", self.expected)
        return [self.read_override(key, value, wanted)]

    def read_root(self, path: Path) -> Node:
        """Return the content of the first file of a configuration, a mapping."""
        data = self._read_file(path, (), self.expected)
        if not isinstance(data, dict):
            raise ConfigError(
                [
                    f"{path}: {format_value(data)}, must be a mapping of keys, "
                    "write 'key: value' lines"
                ]
            )
        return data

    def _read_named(self, key: str, name: str, wanted: Wanted, files: tuple[Path, ...]) -> Any:
        """Return the component that a name stands for: that of a file, else of a kind.

        Args:
            key: dotted path of the component.
            name: name as the user wrote it.
            wanted: expected content.
            files: the file that holds the name and those that include it, or none.

        Raises:
            ConfigError: the file does not exist or cannot be read, or holds something else.
        """
        place = files[-1].parent if files else Path()
        if is_kind(key, name, wanted, place):
            return [{"kind": name}] if wanted.is_list else {"kind": name}
        content = self._read_file(find_preset(key, name, wanted, place), files, wanted.expected)
        if isinstance(content, list) != wanted.is_list:
            problem = f"{key}: {name!r} holds {format_value(content)}"
            raise ConfigError([f"{problem}, must hold {wanted.holding}, name another"])
        return content

    def _expand_name(self, name: str, files: tuple[Path, ...], where: str, expected: Any) -> Any:
        """Return the component that a text of a file names, or the text if none is expected."""
        if not is_of_components(expected) or not name or "${" in name:
            return name
        key, wanted = where.rstrip("."), Wanted(is_list(expected), list_kinds(expected), expected)
        if not can_be_named(key, name, wanted, files[-1].parent):
            return name
        try:
            return self._read_named(key, name, wanted, files)
        except ConfigError as error:
            place = key if files[-1] is COMMAND_LINE else f"{files[-1]}: {key}"
            self.problems += [
                f"{place}{line.removeprefix(key)}" if line.startswith(f"{key}: ") else line
                for line in error.problems
            ]
            return {}

    def _read_file(self, path: Path, above: tuple[Path, ...], expected: Any) -> Any:
        """Return the content of one file, a mapping or a list.

        Args:
            path: the file.
            above: files that include it, outermost first.
            expected: type that the schema expects in its place, None if unknown.
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
        return self._expand_node(parse_file(path), (*above, path), "", expected)

    def _expand_node(self, node: Any, files: tuple[Path, ...], where: str, expected: Any) -> Any:
        """Return a node of the last file with its includes merged in order, its own keys on top."""
        if self.depth > MAX_LEVELS:
            raise ConfigError(
                [f"{files[-1]}: more than {MAX_LEVELS} levels inside one another, write fewer"]
            )
        self.depth += 1
        try:
            return self._merge_includes(node, files, where, expected)
        finally:
            self.depth -= 1

    def _merge_includes(self, node: Any, files: tuple[Path, ...], where: str, expected: Any) -> Any:
        if isinstance(node, str):
            return self._expand_name(node, files, where, expected)
        if isinstance(node, list):
            parts = [
                self._expand_item(
                    item, files, f"{where}{index}.", find_part_type(expected, node, index)
                )
                for index, item in enumerate(node)
            ]
            return [item for part in parts for item in part]
        if not isinstance(node, dict):
            return node
        place = _include_place(files, where)
        data: Node = {}
        for name in self._include_names(node.get("include", []), place):
            part = self._read_include(name, files, where, expected)
            if isinstance(part, list):
                rule = "only an item of a list can include a list, as its one file"
                self.problems.append(
                    f"{place}: {name!r} holds {format_value(part)}, {rule}, "
                    f"write [{{include: {name}}}]"
                )
                part = {}
            data = merge_nodes(data, part)
        own = self._expand_own_keys(node, files, where, (expected, data))
        return merge_nodes(data, own)

    def _expand_item(
        self, item: Any, files: tuple[Path, ...], where: str, expected: Any
    ) -> list[Any]:
        """Return the items that a list item stands for.

        They are itself, or the items of the list it includes, each with its own keys on top.
        """
        name = item.get("include") if isinstance(item, dict) else None
        if isinstance(name, str):
            whole = self._read_include(name, files, where, expected)
            if isinstance(whole, list):
                own = self._expand_own_keys(item, files, where, (expected, {}))
                return [merge_nodes(each, own) if own else each for each in whole]
        return [self._expand_node(item, files, where, expected)]

    def _expand_own_keys(
        self, node: Node, files: tuple[Path, ...], where: str, whole: tuple[Any, Node]
    ) -> Node:
        """Return a mapping without its includes.

        ``whole`` is the type that the schema expects in its place, and what its includes hold.
        """
        expected, included = whole
        merged = included | node
        return {
            key: self._expand_node(
                item, files, f"{where}{key}.", find_part_type(expected, merged, key)
            )
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

    def _read_include(self, name: str, files: tuple[Path, ...], where: str, expected: Any) -> Any:
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
            return self._read_file(path, files, expected)
        except ConfigError as error:
            self.problems += error.problems
            return {}


def _include_place(files: tuple[Path, ...], where: str) -> str:
    """Return the place of an include, for messages."""
    return f"{where}include" if files[-1] is COMMAND_LINE else f"{files[-1]}: {where}include"


def _format_include(value: Any) -> str:
    """Return the short form of a value in place of file names."""
    return repr(value) if isinstance(value, list) and len(repr(value)) < 60 else format_value(value)


def parse_file(path: Path) -> Any:
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
