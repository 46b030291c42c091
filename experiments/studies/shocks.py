"""What studies of a shock ask of its configuration."""

import math

from experiments.config import RunConfig
from sim.errors import ConfigError
from sim.prices.stress import Move


def perpetual(config: RunConfig) -> str:
    """Name of the first venue's perpetual that is listed first."""
    return next(each.name for each in config.venues[0].instruments if each.kind == "perpetual")


def shocked(config: RunConfig) -> int:
    """The first step that the first move may touch; the mark of the step before is that of a market at peace.

    Raises:
        ConfigError: nothing moves.
    """
    moves = [stress.at for stress in config.stresses if isinstance(stress, Move)]
    if not moves:
        rule = "no move among them, a shock is needed, add one such as {kind: move, at: 600, duration: 60, size: -0.1}"
        raise ConfigError([f"stresses: {rule}"])
    return max(math.ceil(min(moves) / config.dt), 2)
