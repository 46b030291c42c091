"""Calm markets as the packaged configurations have them, run over many seeds in processes, and what they come to."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import pandas as pd

from agents import POPULATIONS, populate
from experiments.config import load_run
from sim.market import Market
from sim.metrics.calm import health, returns_of
from sim.metrics.cascades import Frames

PERPETUAL = "BTC-PERP"
WORTH = 0.01 * 100
"""Cents that a lot is worth per dollar of price."""

WARM_UP = 180
"""Steps before what is counted: the time over which traders enter, and an hour."""

PROCESSES = {
    "garch_t": "underlyings.0.process={kind: garch_t, volatility: 0.5}",
    "gbm": "underlyings.0.process={kind: gbm, volatility: 0.5}",
}
"""The baseline's own index, and one that neither clusters nor has tails."""


def run(name: str, seed: int, overrides: Sequence[str] = (), *, joined_by: Sequence[dict[str, Any]] = ()) -> Frames:
    """Frames of a packaged run, in which further populations may join."""
    config = load_run(name, list(overrides))
    people = [POPULATIONS[fields["kind"]].model_validate({"venue": "exchange"} | fields) for fields in joined_by]
    market = Market(config, populate([*config.populations, *people]), seed=seed)
    while market.tick < market.steps_planned:
        market.step()
    market.ledger.check()
    return market.recorder.frames()


def measure(name: str, overrides: Sequence[str], seed: int) -> dict[str, float]:
    """All figures of one run, those of x under names with ``x_``."""
    frames = run(name, seed, overrides)
    mark, exogenous = returns_of(frames, PERPETUAL, WARM_UP)
    added = health(frames, PERPETUAL, WORTH, WARM_UP)
    return added._asdict() | mark._asdict() | {f"x_{key}": value for key, value in exogenous._asdict().items()}


def over_seeds(figures: Callable[[int], dict[str, float]], seeds: Sequence[int]) -> pd.DataFrame:
    """Figures by seed, two processes at a time; they begin afresh, so that no state is inherited."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pd.DataFrame(list(pool.map(figures, seeds)), index=list(seeds))


def calm(name: str, overrides: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """``measure`` of every seed."""
    return over_seeds(partial(measure, name, tuple(overrides)), seeds)
