"""Kinds of configuration files, and errors that name the command for a file of another kind."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from sim.component import Component
from sim.errors import ConfigError, shorten_name
from sim.reading.loading import load_config, resolve_config
from sim.reading.packaged import find_config, list_packaged

Model = TypeVar("Model", bound=Component)

FILE_KINDS = {
    "run": ("venues", "is a market, use deleverage run {name}"),
    "study": ("axes", "is a study of many runs, use deleverage sweep {name}"),
    "portfolio": ("positions", "holds an account, use deleverage margin {name}"),
    "shocks": (
        "shocks",
        "holds shocks of an account, use deleverage margin PORTFOLIO --stress {name}",
    ),
    "engine": ("requirement", "is a margin engine, use deleverage run MARKET --engine {name}"),
}
"""Key that only files of a kind have, and the command that reads them, by kind."""

FOLDERS = {
    "study": "studies/",
    "portfolio": "portfolios/",
    "shocks": "portfolios/",
    "engine": "engines/",
}
"""Folder of the packaged files of each kind; markets are in the top folder."""


def load_kind(kind: str, name: str | Path, overrides: Sequence[str], model: type[Model]) -> Model:
    """Read a configuration of a kind.

    A file of another kind is reported in one line instead of one line for each key.

    Args:
        kind: required kind, one of ``FILE_KINDS``.
        name: see :func:`sim.reading.loading.load_config`.
        overrides: see :func:`sim.reading.loading.load_config`.
        model: see :func:`sim.reading.loading.load_config`.

    Raises:
        ConfigError: the file has faults, one line for each, or is of another kind.
    """
    if lines := absent(kind, name):
        raise ConfigError(lines)
    try:
        return load_config(name, overrides, model)
    except ConfigError as error:
        problems = [_add_plugin_remedy(line) for line in error.problems]
        raise ConfigError(explain_wrong_kind(kind, name) or problems) from error


UNKNOWN_KIND = re.compile(r"(?:.*\.)?(?!design\b)\w+(?:\.\d+)?\.kind: '\w+' is not one of ")
"""Beginning of a line about an unknown kind; a plug-in may register kinds of all but a design."""


def _add_plugin_remedy(line: str) -> str:
    """Return a line with the remedy of a kind that a plug-in registers, if it is about a kind."""
    if not UNKNOWN_KIND.match(line):
        return line
    return f"{line}, or name the module of your own kind with --plugin"


def explain_wrong_kind(kind: str, name: str | Path) -> list[str]:
    """Return the line about a file that is of another kind than required.

    The list is empty if the file has the key of the required kind, or of no kind.
    """
    content = _read_content(name)
    uses = [use for key, use in FILE_KINDS.values() if key in content]
    if not uses or FILE_KINDS[kind][0] in content:
        return []
    return [f"{name}: {uses[0].format(name=name)}"]


def absent(kind: str, name: str | Path) -> list[str]:
    """Return the line about a name without a file; empty if the file exists.

    The line proposes a packaged file with that name or a similar one, and the command that reads
    it if its kind is another. Otherwise it lists the packaged files of the required kind.
    """
    if Path(name).name and os.path.exists(name):
        return []
    try:
        find_config(name)
    except ConfigError:
        pass
    else:
        return []
    if lines := namesake(kind, name):
        return lines
    last = _last(name)
    message = f"{shorten_name(str(name))}: no such file or packaged configuration"
    known = _known(kind)
    for names in (known, [each for each in list_packaged() if each not in known]):
        parts = {_last(each): each for each in names}
        for near in difflib.get_close_matches(last, parts):
            other = explain_wrong_kind(kind, parts[near])
            if names is known or other:
                command = f", which {other[0].partition(': ')[2]}" if other else ""
                return [f"{message} (did you mean {parts[near]!r}{command}?)"]
    return [f"{message}, packaged are: {', '.join(known)}, choose one or name a file of your own"]


def namesake(kind: str, name: str | Path) -> list[str]:
    """Return the line about a name that only packaged files of another kind have, else empty."""
    known = _known(kind)
    if _last(name) in map(_last, known):
        return []
    same = [each for each in list_packaged() if _last(each) == _last(name) and each not in known]
    return next((lines for each in same if (lines := explain_wrong_kind(kind, each))), [])


def _last(name: str | Path) -> str:
    return Path(name).name.removesuffix(".yaml")


def _known(kind: str) -> list[str]:
    """Return the names of the packaged files of a kind."""
    return [each for each in list_packaged() if _is_of(kind, each)]


def _is_of(kind: str, name: str) -> bool:
    """Return True if a packaged file is of a kind; check its folder before its content."""
    folder = FOLDERS.get(kind, "")
    alone = list(FOLDERS.values()).count(folder) < 2
    is_there = name.startswith(folder) and "/" not in name.removeprefix(folder)
    return is_there and (alone or FILE_KINDS[kind][0] in _read_content(name))


def _read_content(name: str | Path) -> dict[str, Any]:
    """Return the content of a file, empty if it cannot be read."""
    try:
        return resolve_config(name)
    except ConfigError:
        return {}
