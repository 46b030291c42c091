"""One market from beginning to end, in memory."""

import time
from collections.abc import Mapping
from typing import Any

from agents import populate
from experiments.config import RunConfig
from experiments.data import read_replays
from sim.errors import DeleverageError
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.prices.bars import Bars


class TimeLimitError(DeleverageError):
    """A run that took longer than it may."""


def simulate(config: RunConfig) -> Frames:
    """The frames of one run."""
    return finished(config, read_replays(config.underlyings)).recorder.frames()


def finished(config: RunConfig, bars: Mapping[str, Bars], limit: float = float("inf")) -> Market:
    """A market that has made all its steps.

    Args:
        config: left as it is.
        bars: of replays, by name of underlying.
        limit: seconds after which no further step is begun.

    Raises:
        TimeLimitError: it was reached.
    """
    began = time.monotonic()
    market: Any = Market(config, populate(config.populations), seed=config.seed, bars=dict(bars))
    while market.tick < market.steps_planned:
        if time.monotonic() - began > limit:
            raise TimeLimitError(f"ran out of its {limit:g} s at step {market.tick} of {market.steps_planned}")
        market.step()
    market.recorder.accounts("end")
    return market
