"""Attribution and counterfactual: owners of cascades in a known market and in crashes (LIQ-9).

``python -m papers.counterfactual WEALTH SEED...`` (in ``tests``) prints how far they agree for that
capital of each maker: over all owners, over those of cascades in which all close-outs found bids,
and over the others.
"""

import sys
from collections.abc import Iterable

import numpy as np
import pandas as pd
from papers import crash
from papers.branching import Chain, begun, played

from experiments.cascades import counterfactual, counterfactual_runs
from experiments.cascades.attribution_vs_removal import format_comparison
from experiments.cascades.branching import MarketSnapshot
from experiments.cascades.counterfactual import MAX_WORLDS_FACTOR, ROUNDING_DUST, NeighbouringWorlds
from experiments.cascades.one_cascade import Cascade, select_cascade
from experiments.config import RunConfig
from experiments.simulation import simulate_run
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import assign_cascades, tabulate_cascades

LARGEST, LEAST = 5, 5
"""Cascades of a crash that are compared, and how many accounts they have at least."""


def known(count: int, worlds: int) -> pd.DataFrame:
    """Simulate cascades of 8 to 40 equal accounts with endless bids and R of 0.7 (targets A5)."""
    chain = Chain(0.7, accounts=500)
    market = played(chain)
    frames = market.recorder.frames()
    links = build_contagion(frames)
    number, table = assign_cascades(links), tabulate_cascades(links)
    parts = []
    for each in table.loc[table["accounts"].between(8, 40), "cascade"].head(count):
        case = Cascade(market.config, frames, links, each, np.flatnonzero(number == each))
        parts.append(
            counterfactual.compare_with_removal(
                case, MarketSnapshot(lambda: begun(chain), case.window[0] - 1), _many(worlds, 0.005)
            )
        )
    return pd.concat(parts, ignore_index=True)


def crashes(
    wealth: float,
    seeds: Iterable[int],
    *,
    leverage: float = 10,
    count: int = LARGEST,
    worlds: int = 12,
) -> pd.DataFrame:
    """The largest cascades of falls of 10% in half an hour, with ``seed`` and ``cascade``.

    Args:
        wealth: of each maker.
        seeds: of the crashes.
        leverage: that traders wish, the median.
        count: how many cascades of each crash.
        worlds: at least.
    """
    people = crash.people({"wealth": wealth})
    people[0] |= {"leverage": leverage}
    parts = []
    for seed in seeds:
        config = RunConfig.model_validate(
            crash.plain(profile_every=0) | {"populations": people, "seed": seed}
        )
        frames = simulate_run(config)
        table = tabulate_cascades(build_contagion(frames))
        for number in table.loc[table["accounts"] >= LEAST, "cascade"].head(count):
            case = select_cascade(config, frames, number)
            found = counterfactual.compare_with_removal(
                case, counterfactual_runs.snapshot_before(case), _many(worlds)
            )
            parts.append(found.assign(seed=seed, cascade=number))
    return pd.concat(parts, ignore_index=True)


def met(table: pd.DataFrame) -> pd.Series:
    """Return true for owners of cascades in which all close-outs found bids."""
    return table["unmet"] < ROUNDING_DUST


def _many(worlds: int, width: float = counterfactual.MAX_EQUITY_SHIFT) -> NeighbouringWorlds:
    return NeighbouringWorlds(worlds, MAX_WORLDS_FACTOR * worlds, width)


if __name__ == "__main__":
    every = crashes(float(sys.argv[1]), map(int, sys.argv[2:]))
    parts = {"all": every, "bids for all": every[met(every)], "bids were short": every[~met(every)]}
    for name, part in parts.items():
        if len(part):
            print(f"\n{name}", *format_comparison(part), sep="\n")
