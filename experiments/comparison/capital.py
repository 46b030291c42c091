"""Engines of a comparison at the capital that the first one ties up (MAR-2)."""

import json
from collections.abc import Sequence

from agents import populate
from experiments.config import RunConfig
from experiments.generated.reference_books import take_snapshot
from experiments.price_files.bars import read_replays
from sim.config import MarketConfig
from sim.errors import ConfigError
from sim.margin.efficiency import measure_capital, scale_to_equal_capital
from sim.margin.engine import EngineConfig
from sim.market import Market
from sim.types import Exposure

N_SNAPSHOTS = 4
"""Number of moments of the calm twin at which capital is compared."""


def list_margined_venues(config: MarketConfig) -> list[int]:
    """Return the indices of the venues that list a perpetual, or of all if none does."""
    numbers = range(len(config.venues))
    listed = [
        number
        for number in numbers
        if any(each.kind == "perpetual" for each in config.venues[number].instruments)
    ]
    return listed or list(numbers)


def take_calm_books(config: RunConfig) -> dict[int, list[Exposure]]:
    """Return accounts of the run's twin without stresses, at four moments, by index of the venue.

    Moments without any position are left out.
    """
    calm = config.model_copy(update={"stresses": ()})
    bars = read_replays(calm.underlyings)
    market = Market(calm, populate(calm.populations), seed=calm.seed, bars=bars)
    books: dict[int, list[Exposure]] = {number: [] for number in list_margined_venues(config)}
    for number in range(1, N_SNAPSHOTS + 1):
        market.advance(market.steps_planned * number // N_SNAPSHOTS - market.tick)
        for venue, book in books.items():
            shot = take_snapshot(market, venue)
            if len(shot.position):
                book.append(shot)
    return books


def equal_capital_overrides(configs: Sequence[RunConfig]) -> list[list[str]]:
    """Return the overrides that give every engine the capital of the first one, for each run.

    Capital is the share of notional that an engine requires of the accounts of the first run's twin
    without stresses. Accounts do not respond to the engine that is measured, so that the factor is
    found in closed form.

    Args:
        configs: configurations that differ in their engines only.

    Raises:
        ConfigError: an engine cannot reach the capital of the first one.
    """
    books = take_calm_books(configs[0])
    unit = 10 ** configs[0].assets[0].decimals
    changes: list[list[str]] = [[] for _ in configs]
    for venue, book in books.items():
        if not book:
            continue
        first = configs[0].venues[venue].engine
        target = measure_capital(first, book, unit).total
        for lines, config in zip(changes[1:], configs[1:], strict=True):
            factor = _find_multiplier(config.venues[venue].engine, book, unit, target)
            lines.append(f"venues.{venue}.engine.margin_multiplier={json.dumps(factor)}")
    return changes


def _find_multiplier(engine: EngineConfig, book: list[Exposure], unit: int, target: float) -> float:
    try:
        return scale_to_equal_capital(engine, book, unit, target).margin_multiplier
    except ConfigError as error:
        raise ConfigError([f"--equal-capital: {line}" for line in error.problems]) from error
