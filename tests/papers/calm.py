"""Calm markets of the packaged configurations, run over many seeds in processes, and figures."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from agents import POPULATIONS, populate
from experiments.config import load_run
from sim.market import Market
from sim.metrics.calm_benchmarks import compare_facts, measure_health
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


def market_of(
    name: str, seed: int, overrides: Sequence[str] = (), joined_by: Sequence[dict[str, Any]] = ()
) -> Market:
    """A packaged market before its first step, in which further populations may join."""
    config = load_run(name, list(overrides))
    people = [
        POPULATIONS[fields["kind"]].model_validate({"venue": "exchange"} | fields)
        for fields in joined_by
    ]
    return Market(config, populate([*config.populations, *people]), seed=seed)


def run(
    name: str, seed: int, overrides: Sequence[str] = (), *, joined_by: Sequence[dict[str, Any]] = ()
) -> Frames:
    """Frames of a packaged run, in which further populations may join."""
    market = market_of(name, seed, overrides, joined_by)
    while market.tick < market.steps_planned:
        market.step()
    market.ledger.check_conservation()
    return market.recorder.frames()


def measure(name: str, overrides: Sequence[str], seed: int) -> dict[str, float]:
    """All figures of one run, those of x under names with ``x_``."""
    return figures(run(name, seed, overrides))


def figures(frames: Frames) -> dict[str, float]:
    """All figures of a run's frames."""
    mark, exogenous = compare_facts(frames, PERPETUAL, WARM_UP)
    added = measure_health(frames, PERPETUAL, WORTH, WARM_UP)
    return (
        added._asdict()
        | mark._asdict()
        | {f"x_{key}": value for key, value in exogenous._asdict().items()}
    )


def over_seeds(figures: Callable[[int], dict[str, float]], seeds: Sequence[int]) -> pd.DataFrame:
    """Compute figures by seed in two fresh processes, so that no state is inherited."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pd.DataFrame(list(pool.map(figures, seeds)), index=list(seeds))


def calm(name: str, overrides: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """``measure`` of every seed."""
    return over_seeds(partial(measure, name, tuple(overrides)), seeds)


def levered(seed: int) -> dict[str, float]:
    """Figures of two days of ``bitmex``, leverage as in BitMEX Leverage Statistics, April 2019.

    Effective leverage is a position's value at the mark over its remaining value at the bankruptcy
    price, rounded, over all open accounts. Mean and 80th percentile are weighted by contracts, here
    in hourly snapshots.
    """
    market = market_of("bitmex", seed, ["duration=172_800"])
    held = []
    while market.tick < market.steps_planned:
        market.step()
        if market.tick >= WARM_UP and market.tick % 60 == 0:
            held.append(_effective(market))
    market.ledger.check_conservation()
    frames = market.recorder.frames()
    mean, high = np.mean(held, axis=0)
    return figures(frames) | {"held_mean": mean, "held_80": high} | _of_the_liquidated(frames)


def _effective(market: Market) -> tuple[float, float]:
    """Return mean and 80th percentile of effective leverage, weighted by contracts."""
    view, members = (
        market.venues[0].view,
        market.state.account_view(slice(0, market.state.external_owner)),
    )
    lots, equity = np.abs(members.position[:, 0]), members.equity[:, 0]
    who = (lots > 0) & (equity > 0)
    leverage = np.rint(lots[who] * view.mark[0] * view.contracts.multiplier[0] / equity[who])
    order = np.argsort(leverage)
    share = np.cumsum(lots[who][order]) / lots[who].sum()
    return float(np.average(leverage, weights=lots[who])), float(
        leverage[order][np.searchsorted(share, 0.8)]
    )


def _of_the_liquidated(frames: Frames) -> dict[str, float]:
    """Contracts closed out a day, by side, over open interest, which is as many longs as shorts."""
    steps, closeouts = frames["steps"], frames["closeouts"]
    steps = steps[(steps["instrument"] == PERPETUAL) & (steps["step"] >= WARM_UP)]
    lots = (np.sign(closeouts["planned"]) * closeouts["filled"])[closeouts["step"] >= WARM_UP]
    daily = len(steps) / 1440 * steps["open_interest"].mean()
    return {
        "longs_out": float(-lots[lots < 0].sum() / daily),
        "shorts_out": float(lots[lots > 0].sum() / daily),
    }
