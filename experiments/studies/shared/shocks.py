"""Shock of a study's configuration: its instrument and its first step."""

import math

from experiments.config import RunConfig
from sim.errors import ConfigError
from sim.prices.stress import PriceMove


def find_first_perpetual(config: RunConfig) -> str:
    """Return the name of the first perpetual of the first venue."""
    instruments = config.venues[0].instruments
    return next(contract.name for contract in instruments if contract.kind == "perpetual")


def find_shock_step(config: RunConfig) -> int:
    """Return the first step that the first price move may affect; the step before is calm.

    Raises:
        ConfigError: there is no price move.
    """
    moves = [stress.at for stress in config.stresses if isinstance(stress, PriceMove)]
    if not moves:
        example = "{kind: move, at: 600, duration: 60, size: -0.1}"
        rule = f"no move among them, a shock is needed, add one such as {example}"
        raise ConfigError([f"stresses: {rule}"])
    return max(math.ceil(min(moves) / config.dt), 2)
