"""The schema of a run: a market, its people, a seed, and what ``--quick`` changes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from agents import POPULATIONS
from experiments.file_kinds import load_as, mistaken
from experiments.funding_file import read_rates
from sim.component import choice
from sim.config import MarketConfig
from sim.errors import ConfigError
from sim.exchange.funding_recorded import Recorded
from sim.loading import resolve

Recorded.reader = staticmethod(read_rates)


class RunConfig(MarketConfig):
    """Everything that decides a run's results."""

    name: str = Field(
        default="run", pattern=r"^[A-Za-z0-9_.-]+$", max_length=120, description="name of the results folder"
    )
    description: str = Field(default="", description="one line for `deleverage configs`")
    seed: int = Field(default=1, ge=0, lt=2**64, description="root seed of all random streams (1)")
    quick: dict[str, Any] = Field(default={}, description="dotted path -> value, applied by --quick")
    populations: tuple[choice(POPULATIONS), ...] = Field(min_length=1, description="who trades")  # type: ignore[valid-type]


def load_run(name: str | Path, overrides: Sequence[str] = (), *, quick: bool = False) -> RunConfig:
    """Read a run's configuration; overrides given by the user come after those of ``quick``.

    Raises:
        ConfigError: with one line for each problem.
    """
    hurry = _fitting(hurried(name, overrides), overrides) if quick else ()
    try:
        return load_as("run", name, [*hurry, *overrides], RunConfig)
    except ConfigError as error:
        raise ConfigError(_of_quick(error.problems, name, overrides) if hurry else error.problems) from error


def _of_quick(problems: Sequence[str], name: str | Path, overrides: Sequence[str]) -> list[str]:
    """Problems, those under ``quick`` that the same configuration does not have without it."""
    others: list[str] = []
    try:
        load_as("run", name, overrides, RunConfig)
    except ConfigError as error:
        others = error.problems
    return [line if line in others else f"quick.{line}" for line in problems]


def _fitting(quick: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The values of ``quick`` without days of a replay whose data or days the user has set."""
    set_by_user = {override.partition("=")[0].rpartition(".")[0] for override in overrides if _of_replay(override)}
    return [
        each for each in quick if not (_of_replay(each) and each.partition("=")[0].rpartition(".")[0] in set_by_user)
    ]


def _of_replay(override: str) -> bool:
    """Whether an override sets the source or the days of a process."""
    return override.partition("=")[0].endswith((".process.source", ".process.start", ".process.end"))


def swapped(name: str | Path, engine: str | None, overrides: Sequence[str] = ()) -> list[str]:
    """The overrides that ``--engine`` stands for: that engine at every venue that lists a perpetual.

    Where no venue lists one, all of them get it.

    Args:
        name: of a run's configuration, see ``load_run``.
        engine: a packaged preset or a file; none = no overrides.
        overrides: what else changes.

    Raises:
        ConfigError: an empty name, or a configuration that cannot be read.
    """
    if engine is None:
        return []
    if not engine.strip():
        raise ConfigError(["--engine: '', names no engine, give a packaged one such as span, or a file"])
    if other := mistaken("engine", engine):
        raise ConfigError([f"--engine: {line}, give an engine such as span" for line in other])
    venues = resolve(name, [each for each in overrides if each.startswith("venues")]).get("venues")
    chosen = [number for number, venue in enumerate(_listed(venues)) if _trades_perpetuals(venue)]
    places = [f"venues.{number}" for number in chosen] or ["venues.*"]
    return [f"{place}.engine={json.dumps(engine, ensure_ascii=False)}" for place in places]


def _listed(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []


def _trades_perpetuals(venue: Any) -> bool:
    instruments = _listed(venue.get("instruments")) if isinstance(venue, dict) else []
    return any(isinstance(each, dict) and each.get("kind", "perpetual") == "perpetual" for each in instruments)


def hurried(name: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """The overrides that ``quick`` stands for: a file's own, or the user's in its place."""
    mine = [override for override in overrides if override.startswith(("quick=", "quick."))]
    own = resolve(name, mine).get("quick", {})
    return [f"{path}={json.dumps(value)}" for path, value in own.items()] if isinstance(own, dict) else []
