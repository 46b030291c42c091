"""Files of one kind where another is read: one line names the command that reads them."""

import difflib
import os
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
"""Kind of a file -> a key that only such files have, and what reads them."""

FOLDERS = {
    "study": "studies/",
    "portfolio": "portfolios/",
    "shocks": "portfolios/",
    "engine": "engines/",
}
"""Kind of a file -> where packaged ones lie; markets lie above all folders."""


def load_kind(kind: str, name: str | Path, overrides: Sequence[str], model: type[Model]) -> Model:
    """Read a configuration; a file of another kind gets one line in place of one for each key.

    Args:
        kind: one of ``FILE_KINDS``, what the file must be.
        name: see :func:`sim.reading.loading.load_config`.
        overrides: see there.
        model: see there.

    Raises:
        ConfigError: with one line for each problem, or the one on another kind.
    """
    if lines := absent(kind, name):
        raise ConfigError(lines)
    try:
        return load_config(name, overrides, model)
    except ConfigError as error:
        raise ConfigError(explain_wrong_kind(kind, name) or error.problems) from error


def explain_wrong_kind(kind: str, name: str | Path) -> list[str]:
    """The line about a file of another kind than wanted; none where it has the key of its own kind, or no other's."""
    held = _read_content(name)
    found = [told for key, told in FILE_KINDS.values() if key in held]
    return (
        [f"{name}: {found[0].format(name=name)}"]
        if found and FILE_KINDS[kind][0] not in held
        else []
    )


def absent(kind: str, name: str | Path) -> list[str]:
    """Return the line about a name that no path has; none where there is a file, a folder or a device.

    The line names a packaged file of that name or a similar one, and the command that reads it if it is of another
    kind. Without such a file it lists the packaged files of the kind that is required.
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
    last, told = _last(name), f"{shorten_name(str(name))}: no such file or packaged configuration"
    known = _known(kind)
    for names in (known, [each for each in list_packaged() if each not in known]):
        parts = {_last(each): each for each in names}
        for near in difflib.get_close_matches(last, parts):
            other = explain_wrong_kind(kind, parts[near])
            if names is known or other:
                command = f", which {other[0].partition(': ')[2]}" if other else ""
                return [f"{told} (did you mean {parts[near]!r}{command}?)"]
    return [f"{told}, packaged are: {', '.join(known)}, choose one or name a file of your own"]


def namesake(kind: str, name: str | Path) -> list[str]:
    """The line about a name that packaged files of another kind alone have; none of any other name."""
    same = [
        each for each in list_packaged() if _last(each) == _last(name) and each not in _known(kind)
    ]
    return next((lines for each in same if (lines := explain_wrong_kind(kind, each))), [])


def _last(name: str | Path) -> str:
    return Path(name).name.removesuffix(".yaml")


def _known(kind: str) -> list[str]:
    """Names of the packaged files of a kind."""
    return [each for each in list_packaged() if _is_of(kind, each)]


def _is_of(kind: str, name: str) -> bool:
    """Whether a packaged file is of a kind; its folder says so first, for its content takes a while to read."""
    folder = FOLDERS.get(kind, "")
    alone = list(FOLDERS.values()).count(folder) < 2
    is_there = name.startswith(folder) and "/" not in name.removeprefix(folder)
    return is_there and (alone or FILE_KINDS[kind][0] in _read_content(name))


def _read_content(name: str | Path) -> dict[str, Any]:
    """The content of a file that can be read; nothing of another."""
    try:
        return resolve_config(name)
    except ConfigError:
        return {}
