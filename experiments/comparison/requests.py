"""A run as a command names it."""

from collections.abc import Sequence
from typing import NamedTuple

COMPARISON = "engines.csv"
"""Table of a comparison of engines, in the folder that holds a run for each of them."""


class RunRequest(NamedTuple):
    """Configuration of a run as a command names it, without its engine."""

    name: str
    overrides: Sequence[str]
    quick: bool
