"""Files of one kind where another is read: one line names the command that reads them."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from sim.component import Component
from sim.errors import ConfigError, brief
from sim.loading import load, resolve
from sim.packaged import find, packaged

Model = TypeVar("Model", bound=Component)

KINDS = {
    "run": ("venues", "is a market, use deleverage run {name}"),
    "study": ("axes", "is a study of many runs, use deleverage sweep {name}"),
    "portfolio": ("positions", "holds an account, use deleverage margin {name}"),
    "shocks": ("shocks", "holds shocks of an account, use deleverage margin PORTFOLIO --stress {name}"),
    "engine": ("requirement", "is a margin engine, use deleverage run MARKET --engine {name}"),
}
"""Kind of a file -> a key that only such files have, and what reads them."""

FOLDERS = {"study": "studies/", "portfolio": "portfolios/", "shocks": "portfolios/", "engine": "engines/"}
"""Kind of a file -> where packaged ones lie; markets lie above all folders."""


def load_as(kind: str, name: str | Path, overrides: Sequence[str], model: type[Model]) -> Model:
    """Read a configuration; a file of another kind gets one line in place of one for each key.

    Args:
        kind: one of ``KINDS``, what the file must be.
        name: see :func:`sim.loading.load`.
        overrides: see there.
        model: see there.

    Raises:
        ConfigError: with one line for each problem, or the one on another kind.
    """
    find(name, FOLDERS.get(kind, ""))
    try:
        return load(name, overrides, model)
    except ConfigError as error:
        raise ConfigError(mistaken(kind, name) or absent(kind, name) or error.problems) from error


def mistaken(kind: str, name: str | Path) -> list[str]:
    """The line about a file of another kind than wanted; none where it has the key of its own kind, or no other's."""
    held = _content(name)
    found = [told for key, told in KINDS.values() if key in held]
    return [f"{name}: {found[0].format(name=name)}"] if found and KINDS[kind][0] not in held else []


def absent(kind: str, name: str | Path) -> list[str]:
    """The line about a name that no file has; none where there is one.

    It names a packaged file of that name or a like one, with the command that reads it if that is another, else those
    of the kind that is wanted.
    """
    try:
        find(name)
    except ConfigError:
        pass
    else:
        return []
    if lines := namesake(kind, name):
        return lines
    last, told = _last(name), f"{brief(str(name))}: no such file or packaged configuration"
    known = _known(kind)
    for names in (known, [each for each in packaged() if each not in known]):
        parts = {_last(each): each for each in names}
        for near in difflib.get_close_matches(last, parts):
            other = mistaken(kind, parts[near])
            if names is known or other:
                command = f", which {other[0].partition(': ')[2]}" if other else ""
                return [f"{told} (did you mean {parts[near]!r}{command}?)"]
    return [f"{told}, packaged are: {', '.join(known)}, choose one or name a file of your own"]


def namesake(kind: str, name: str | Path) -> list[str]:
    """The line about a name that packaged files of another kind alone have; none of any other name."""
    same = [each for each in packaged() if _last(each) == _last(name) and each not in _known(kind)]
    return next((lines for each in same if (lines := mistaken(kind, each))), [])


def _last(name: str | Path) -> str:
    return Path(name).name.removesuffix(".yaml")


def _known(kind: str) -> list[str]:
    """Names of the packaged files of a kind."""
    return [each for each in packaged() if _is_of(kind, each)]


def _is_of(kind: str, name: str) -> bool:
    """Whether a packaged file is of a kind; its folder says so first, for its content takes a while to read."""
    folder = FOLDERS.get(kind, "")
    alone = list(FOLDERS.values()).count(folder) < 2
    is_there = name.startswith(folder) and "/" not in name.removeprefix(folder)
    return is_there and (alone or KINDS[kind][0] in _content(name))


def _content(name: str | Path) -> dict[str, Any]:
    """The content of a file that can be read; nothing of another."""
    try:
        return resolve(name)
    except ConfigError:
        return {}
