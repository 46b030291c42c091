"""A run as a command names it: configuration and how to make it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

COMPARISON = "engines.csv"
"""Table of a comparison of engines, in the folder that holds a run for each of them."""


class RunRequest(NamedTuple):
    """Configuration of a run as a command names it, without its engine."""

    name: str
    overrides: Sequence[str]
    quick: bool


class RunOptions(NamedTuple):
    """Options of runs and of a comparison; ``out`` None = ``results/NAME-engines-HASH``."""

    out: Path | None = None
    overwrite: bool = False
    quiet: bool = False
    plain: bool = False
