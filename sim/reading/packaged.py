"""Search for configurations: files by their path, packaged configurations by their name."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sim.errors import ConfigError, describe_unknown, format_value, shorten_name, suggest_name
from sim.reading.documents import read_yaml

PACKAGED = Path(__file__).resolve().parents[2] / "configs"
"""Folder of the packaged configurations, beside ``sim``, so that no other ``configs`` can shadow
it.
"""


class Wanted(NamedTuple):
    """Content that a schema expects where a file may be named."""

    is_list: bool  # components in a list, not one component
    kinds: Sequence[str]  # kinds of the component; empty if it has no kind
    expected: Any = None  # type in the schema, None if unknown

    @property
    def holding(self) -> str:
        """Return the required content of a file, in words."""
        return "a list" if self.is_list else "a mapping"


def list_packaged() -> list[str]:
    """Return the names of the packaged configurations with their folders, without ``.yaml``."""
    return sorted(
        path.relative_to(PACKAGED).with_suffix("").as_posix() for path in PACKAGED.rglob("*.yaml")
    )


def find_config(name: str | Path, folder: str = "") -> Path:
    """Return the file of a name on the command line.

    The name is an existing path, or else that of a packaged configuration.

    Args:
        name: name as the user wrote it.
        folder: packaged folder, such as ``studies/``, whose files a message lists.

    Raises:
        ConfigError: there is none.
    """
    path = Path(name)
    return path if is_file(path) else find_packaged(name, folder)


def is_file(path: str | Path) -> bool:
    """Return whether a file has that name.

    It is false for a name that no file can have (a NUL byte, too long).
    """
    return os.path.isfile(path)


def find_data_file(name: str) -> Path | None:
    """Return the data file of a name, such as a CSV table, or None if there is none.

    The name is an existing path, or else that of a packaged file with its folder and ending, such
    as ``accounts/small_book.csv``.
    """
    path = Path(name)
    candidates = [path, *_candidate_files(path)]
    return next((each for each in candidates if is_file(each)), None)


def folder_of(key: str) -> str:
    """Return the packaged folder of a field, such as ``engines/`` for ``venues.0.engine``.

    It need not exist.
    """
    field = next(
        (part for part in reversed(key.split(".")) if part != "*" and not part.isdecimal()), ""
    )
    return f"{field.strip('-').rstrip('s')}s/"


def is_kind(key: str, name: str, wanted: Wanted, place: Path) -> bool:
    """Return whether a name in place of a component is that of a kind, and of no file.

    ``place`` is the folder of own files.
    """
    packaged = f"{folder_of(key)}{name}"
    return name in wanted.kinds and not is_file(place / name) and packaged not in list_packaged()


def can_be_named(key: str, name: str, wanted: Wanted, place: Path) -> bool:
    """Return whether a text in place of a component can be a name: of a kind, a preset or a file.

    ``place`` is the folder of own files.
    """
    if wanted.kinds or "/" in name or name.endswith(".yaml") or is_file(place / name):
        return True
    return any(each.startswith(folder_of(key)) for each in list_packaged())


def find_preset(key: str, name: str, wanted: Wanted, place: Path) -> Path:
    """Return the file of a name that stands in place of a component.

    Packaged components are in the folder of the field's name, in the plural: ``span`` is
    ``engines/span`` for an ``engine``. A name with a folder or with ``.yaml`` is that of a file, or
    of a packaged configuration.

    Args:
        key: dotted path of the component.
        name: name as the user wrote it.
        wanted: expected content.
        place: folder of own files.

    Raises:
        ConfigError: there is none; the message suggests the nearest name.
    """
    if is_file(place / name):
        return place / name
    folder = folder_of(key)
    names = [each.removeprefix(folder) for each in list_packaged() if each.startswith(folder)]
    plain = name.removesuffix(".yaml")
    if plain in names:
        return find_packaged(folder + plain)
    if "/" in name or name.endswith(".yaml"):
        return _find_file(key, name, folder, names)
    names = [
        each
        for each in names
        if isinstance(read_yaml(find_packaged(folder + each)), list) == wanted.is_list
    ]
    if not names:
        raise ConfigError(
            [
                f"{key}: {format_value(name)}, {_describe_component_rule(name, wanted)} "
                "or the path of a .yaml file"
            ]
        )
    known = [*names, *(kind for kind in wanted.kinds if kind not in names)]
    raise ConfigError([f"{key}: {describe_unknown(name, known)}, or a file of your own"])


def _find_file(key: str, name: str, folder: str, presets: Sequence[str]) -> Path:
    """Return the packaged file of a component's name that has a folder or ``.yaml``.

    Args:
        key: dotted path of the component.
        name: name as the user wrote it.
        folder: packaged folder of the component.
        presets: names of the files in that folder, which a message lists without the folder.

    Raises:
        ConfigError: there is none; the message suggests the nearest name.
    """
    try:
        return find_packaged(name, folder)
    except ConfigError as error:
        lines = error.problems
        if presets and not os.path.exists(name):
            near = suggest_name(Path(name).name.removesuffix(".yaml"), presets)
            listed = f"packaged are: {', '.join(presets)}{'' if near else ', choose one'}"
            lines = [
                f"{shorten_name(name)}: no such file or packaged configuration{near}, {listed}"
            ]
        raise ConfigError([f"{key}: {line}" for line in lines]) from error


def _describe_component_rule(name: str, wanted: Wanted) -> str:
    """Return the rule for a name without a file, and how to write a component instead.

    Its kind is the one nearest to the name.
    """
    rule = f"must be {wanted.holding} or a file that holds one"
    if not wanted.kinds:
        return f"{rule}, write {'[{key: value}]' if wanted.is_list else '{key: value}'}"
    kind = next(iter(difflib.get_close_matches(name, wanted.kinds, n=1)), wanted.kinds[0])
    component = f"[{{kind: {kind}}}]" if wanted.is_list else f"{{kind: {kind}}}"
    return f"{rule}, write {component} (kinds are {', '.join(wanted.kinds)})"


def find_packaged(name: str | Path, folder: str = "") -> Path:
    """Return the packaged file of that name.

    Args:
        name: name as the user wrote it.
        folder: packaged folder whose files a message lists if all would be too many.

    Raises:
        ConfigError: there is none; the message suggests the nearest name.
    """
    path = Path(name)
    for candidate in _candidate_files(path):
        if is_file(candidate):
            return candidate
    if os.path.exists(path) and path.name:
        raise ConfigError(
            [f"{shorten_name(str(name))}: is a folder, a pipe or a device, name a file"]
        )
    names = list_packaged()
    whole, last = (text.removesuffix(".yaml") for text in (path.as_posix(), path.name))
    same = next(
        (f" (did you mean {each!r}?)" for each in names if each.rpartition("/")[2] == last), ""
    )
    near = suggest_name(whole, names) or same or suggest_name(last, names)
    listed, more = names, ""
    if len(names) > 30:
        listed = [each for each in names if each.rpartition("/")[0] == folder.rstrip("/")]
        more = ", and others (`deleverage configs`)"
    choice = f"packaged are: {', '.join(listed)}{more}" if listed else "name a file"
    remedy = ", choose one" if listed and not near else ""
    problem = f"{shorten_name(str(name))}: no such file or packaged configuration{near}"
    raise ConfigError([f"{problem}, {choice}{remedy}"])


def _candidate_files(path: Path) -> list[Path]:
    """Return the packaged files that a path may mean.

    ``crash_2008``, ``crash_2008.yaml`` and ``configs/crash_2008.yaml`` all mean the same file.
    """
    if path.is_absolute() or "\0" in str(path):
        return []
    parts = path.parts[1:] if path.parts[:1] == ("configs",) else path.parts
    inner = PACKAGED.joinpath(*parts)
    files = [inner] if inner.suffix == ".yaml" else [inner, inner.with_name(inner.name + ".yaml")]
    return [file for file in files if file.resolve().is_relative_to(PACKAGED)]
