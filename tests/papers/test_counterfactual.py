"""Attribution beside the counterfactual, in size, for everybody with a hundredth of a cascade; ``pytest -m slow -rP``.

Three markets. In the known one (targets A5, R = .7) bids never end, and a removal spares R ÷ (1 - R) accounts in the
mean. The realistic one is a fall of 10% in a quarter of an hour on an exchange whose makers have capital enough that
cascades end. In the third they have not: bids end before sellers do, and whoever is spared leaves them to the next.
"""

import numpy as np
import pandas as pd
import pytest
from papers import crash
from papers.branching import Chain, begun, played

from experiments import counterfactual, twins
from experiments.agreement import BY_LOTS, MEASURES, agreement, lines, worst
from experiments.case import Case, chosen
from experiments.config import RunConfig
from experiments.counterfactual import MORE, Worlds
from experiments.fork import Fork
from experiments.simulation import simulate
from sim.metrics.contagion import contagion
from sim.metrics.generations import cascades, members

UNDER, CLOSE_OUTS, WAY = MEASURES


def known(count: int, worlds: int) -> pd.DataFrame:
    """Cascades of 8 to 40 accounts of equal size."""
    chain = Chain(0.7, accounts=500)
    market = played(chain)
    frames = market.recorder.frames()
    links = contagion(frames)
    number, table = members(links), cascades(links)
    parts = []
    for each in table.loc[table["accounts"].between(8, 40), "cascade"].head(count):
        case = Case(market.config, frames, links, each, np.flatnonzero(number == each))
        parts.append(
            counterfactual.compared(case, Fork(lambda: begun(chain), case.window[0] - 1), _many(worlds, 0.005))
        )
    return pd.concat(parts, ignore_index=True)


def realistic(wealth: float, leverage: float, seeds: range, count: int, worlds: int) -> pd.DataFrame:
    """The largest cascades of at least five accounts, of some crashes."""
    people = crash.people({"wealth": wealth})
    people[0] |= {"leverage": leverage}
    parts = []
    for seed in seeds:
        config = RunConfig.model_validate(crash.plain(profile_every=0) | {"populations": people, "seed": seed})
        frames = simulate(config)
        table = cascades(contagion(frames))
        for number in table.loc[table["accounts"] >= 5, "cascade"].head(count):
            case = chosen(config, frames, number)
            parts.append(counterfactual.compared(case, twins.fork(case), _many(worlds)))
    return pd.concat(parts, ignore_index=True)


def _many(worlds: int, width: float = counterfactual.NUDGE) -> Worlds:
    return Worlds(worlds, MORE * worlds, width)


def told(name: str, table: pd.DataFrame) -> None:
    print(f"\n{name}", *lines(table), sep="\n")


@pytest.mark.slow
def test_where_bids_never_end_attribution_is_what_removal_spares() -> None:
    table = known(count=3, worlds=8)
    told("known market, R = .7", table)
    for measure in MEASURES:
        found = agreement(table, measure)
        assert found.same >= 0.9
        assert found.claimed == pytest.approx(found.found, rel=0.5)


@pytest.mark.slow
def test_where_cascades_end_signs_agree_and_sizes_go_together() -> None:
    table = realistic(wealth=4e6, leverage=10, seeds=range(2), count=5, worlds=12)
    told("a fall of 10%, makers with capital", table)
    assert len(table) > 80
    for measure in (UNDER, WAY):
        found = agreement(table, measure)
        assert found.same >= 0.9
        assert found.same_decided == 1
        assert found.decided > len(table) / 3, "twins tell enough to be agreed with"
    assert agreement(table, CLOSE_OUTS).same >= 0.75
    assert min(agreement(table, measure).correlation for measure in MEASURES) > 0.7
    assert min(agreement(table, measure).correlation for measure in BY_LOTS) > 0.8


@pytest.mark.slow
def test_where_bids_end_first_nobody_alone_made_the_difference() -> None:
    """Attribution still shares the harm out; removal finds others in the removed one's place."""
    table = realistic(wealth=2e5, leverage=15, seeds=range(1), count=1, worlds=6)
    told("the same, makers without", table)
    assert agreement(table, WAY).found < 0.2 * agreement(table, WAY).claimed
    assert agreement(table, CLOSE_OUTS).found < 0
    assert worst(table)["why"].str.contains("bids were short").any()
