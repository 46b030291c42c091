"""Configuration of a run: market, populations, seed and the overrides of ``--quick``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from agents import POPULATIONS
from experiments.accounts.populations import complete_run
from experiments.file_kinds import load_kind
from experiments.price_files.funding_rates import read_funding_rates
from experiments.words import WORDS, expand_word, settle_population
from sim.component import build_union
from sim.config import MarketConfig
from sim.errors import ConfigError
from sim.exchange.funding_recorded import RecordedFunding
from sim.reading.loading import resolve_config
from sim.reading.overrides import parse_overrides

RecordedFunding.rate_file_reader = staticmethod(read_funding_rates)


class RunConfig(MarketConfig):
    """Configuration that determines the results of a run."""

    name: str = Field(
        default="run",
        pattern=r"^[A-Za-z0-9_.-]+$",
        max_length=120,
        description="name of the results folder",
    )
    description: str = Field(default="", description="one line for `deleverage configs`")
    seed: int = Field(default=1, ge=0, lt=2**64, description="root seed of all random streams (1)")
    quick: dict[str, Any] = Field(
        default={}, description="values by dotted path, applied by --quick"
    )
    populations: tuple[build_union(POPULATIONS), ...] = Field(  # type: ignore[valid-type]
        min_length=1, description="populations that trade"
    )

    @classmethod
    def complete_data(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Add the digest of a table of accounts and the populations that it needs."""
        return complete_run(data)

    @classmethod
    def expand_override(cls, data: dict[str, Any], key: str, value: Any) -> list[tuple[str, Any]]:
        """Return the changes that an override stands for; one word replaces a whole part."""
        return expand_word(data, key, value) if key in WORDS else [(key, value)]


def load_run(name: str | Path, overrides: Sequence[str] = (), *, quick: bool = False) -> RunConfig:
    """Read the configuration of a run.

    Overrides by the user are applied after those of ``quick``.

    Raises:
        ConfigError: the configuration has faults, with one line for each.
    """
    shortened = _drop_replay_days(quick_overrides(name, overrides), overrides) if quick else []
    shortened = _drop_replaced_items(shortened, overrides)
    shortened, overrides = settle_population(name, shortened, overrides)
    try:
        return load_kind("run", name, [*shortened, *overrides], RunConfig)
    except ConfigError as error:
        raise ConfigError(
            _mark_quick_problems(error.problems, name, overrides) if shortened else error.problems
        ) from error


def _drop_replaced_items(quick: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the overrides of ``quick`` without those of items of lists that the user replaces."""
    pairs = parse_overrides(overrides, [])
    lists = tuple(f"{key}." for key, value in pairs if isinstance(value, list))
    return [each for each in quick if not each.startswith(lists)] if lists else list(quick)


def _mark_quick_problems(
    problems: Sequence[str], name: str | Path, overrides: Sequence[str]
) -> list[str]:
    """Return the problems, with prefix ``quick`` if the full configuration does not have them."""
    others: list[str] = []
    try:
        load_kind("run", name, overrides, RunConfig)
    except ConfigError as error:
        others = error.problems
    return [line if line in others else f"quick.{line}" for line in problems]


def _drop_replay_days(quick: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the overrides of ``quick`` without days of replays that the user has changed.

    A replay is changed if the user sets its data or its days.
    """
    set_by_user = {_path_above(override) for override in overrides if _is_replay_override(override)}
    return [
        override
        for override in quick
        if not _is_replay_override(override) or _path_above(override) not in set_by_user
    ]


def _path_above(override: str) -> str:
    """Return the dotted path of an override without its last key."""
    return override.partition("=")[0].rpartition(".")[0]


def _is_replay_override(override: str) -> bool:
    """Return True if an override sets the source or the days of a process."""
    return override.partition("=")[0].endswith(
        (".process.source", ".process.start", ".process.end")
    )


def quick_overrides(name: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """Return the overrides of ``quick``, from the file or from overrides by the user."""
    by_user = [override for override in overrides if override.startswith(("quick=", "quick."))]
    quick = resolve_config(name, by_user).get("quick", {})
    if not isinstance(quick, dict):
        return []
    return [f"{path}={json.dumps(value)}" for path, value in quick.items()]
