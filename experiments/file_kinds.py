"""Files of one kind where another is read: one line names the command that reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from sim.component import Component
from sim.errors import ConfigError
from sim.loading import load, resolve
from sim.packaged import find

Model = TypeVar("Model", bound=Component)

KINDS = {
    "run": ("venues", "is a market, use deleverage run"),
    "study": ("axes", "is a study of many runs, use deleverage sweep"),
    "portfolio": ("positions", "holds an account, use deleverage margin"),
    "shocks": ("shocks", "holds shocks of an account, use deleverage margin --stress"),
    "engine": ("requirement", "is a margin engine, use deleverage run --engine"),
}
"""Kind of a file -> a key that only such files have, and what reads them."""

FOLDERS = {"study": "studies/", "portfolio": "portfolios/", "shocks": "portfolios/", "engine": "engines/"}
"""Kind of a file -> the packaged folder that holds such files; runs stand at the top."""


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
        raise ConfigError(mistaken(kind, name) or error.problems) from error


def mistaken(kind: str, name: str | Path) -> list[str]:
    """The line about a file of another kind than wanted; none where it has the key of its own kind, or no other's."""
    held = _content(name)
    found = [told for key, told in KINDS.values() if key in held]
    return [f"{name}: {found[0]}"] if found and KINDS[kind][0] not in held else []


def _content(name: str | Path) -> dict[str, Any]:
    """The content of a file that can be read; nothing of another."""
    try:
        return resolve(name)
    except ConfigError:
        return {}
