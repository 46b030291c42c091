"""The schema of a run: a market, its people, a seed, and what ``--quick`` changes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from agents import POPULATIONS
from sim.component import choice
from sim.config import MarketConfig
from sim.loading import load, resolve


class RunConfig(MarketConfig):
    """Everything that decides a run's results."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9_.-]+$", description="name of the results folder")
    description: str = Field(default="", description="one line for `deleverage configs`")
    seed: int = Field(default=1, ge=0, lt=2**64, description="root seed of all random streams (1)")
    quick: dict[str, Any] = Field(default={}, description="dotted path -> value, applied by --quick")
    populations: tuple[choice(POPULATIONS), ...] = Field(min_length=1, description="who trades")  # type: ignore[valid-type]


def load_run(name: str | Path, overrides: Sequence[str] = (), *, quick: bool = False) -> RunConfig:
    """Read a run's configuration; overrides given by the user come after those of ``quick``.

    Raises:
        ConfigError: with one line for each problem.
    """
    return load(name, [*(hurried(name, overrides) if quick else ()), *overrides], RunConfig)


def hurried(name: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """The overrides that ``quick`` stands for: a file's own, or the user's in its place."""
    mine = [override for override in overrides if override.startswith(("quick=", "quick."))]
    own = resolve(name, mine).get("quick", {})
    return [f"{path}={json.dumps(value)}" for path, value in own.items()] if isinstance(own, dict) else []
