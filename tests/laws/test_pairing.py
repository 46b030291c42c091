"""Two markets that differ in one rule share every draw, after their states part too (RNG-1).

The variance that pairing saves is printed: ``pytest -rP``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from papers import crash

from sim.config import MarketConfig
from sim.market import Market
from sim.step import orders
from sim.types import F8, I8

STEPS = 120


def with_engine(engine: Mapping[str, Any]) -> MarketConfig:
    """The crash on an exchange of two perpetuals, which netting needs to make a difference."""
    twins = [crash.PERPETUAL, {**crash.PERPETUAL, "name": "SPX-B"}]
    exchange = {**crash.EXCHANGE, "instruments": twins, "engine": dict(engine)}
    return crash.config(steps=STEPS, venues=[exchange, crash.OUTSIDE])


def tiered(leverage: float) -> dict[str, Any]:
    return {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": leverage}]}


BASE = {"requirement": tiered(40)}
CHANGES = {
    "netting": {"netting": {"kind": "isolated"}, "requirement": tiered(40)},
    "requirement": {"requirement": tiered(20)},
    "compression": {"requirement": {"kind": "compressed", "compression": 0.4, "inner": tiered(40)}},
}


class Tap:
    """Keeps what a market draws, step by step."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.draws: dict[tuple[str, int], F8] = {}
        plain = market.state.streams.draw_uniform

        def uniform(name: str, tick: int, rows: int, width: int) -> F8:
            drawn = plain(name, tick, rows, width)
            self.draws[name, tick] = drawn.copy()
            return drawn

        market.state.streams.draw_uniform = uniform  # type: ignore[method-assign]

    def step(self) -> I8:
        """Step, and return every owner's arrival key as of one order of latency class zero."""
        self.market.step()
        owners = np.arange(self.market.state.n_owners)
        return orders.make_arrival_keys(self.market.state, owners, np.zeros_like(owners))


def traits(market: Market) -> dict[str, F8]:
    """The draws that made the participants."""
    return {
        p.name: market.state.streams.draw_uniform(f"traits/{p.name}", 0, p.count, p.n_trait_draws)
        for p in market.populations
    }


@pytest.mark.parametrize("change", CHANGES)
def test_markets_under_two_rules_share_every_draw(change: str) -> None:
    base, other = (crash.market(5, with_engine(engine)) for engine in (BASE, CHANGES[change]))
    assert base.exogenous_path.log_price.tobytes() == other.exogenous_path.log_price.tobytes()
    wealth = [m.state.account_view(slice(0, m.state.external_owner)) for m in (base, other)]
    assert np.array_equal(wealth[0].equity, wealth[1].equity)
    for name, drawn in traits(base).items():
        assert np.array_equal(drawn, traits(other)[name])
    taps, parted = (Tap(base), Tap(other)), 0
    for _ in range(STEPS):
        keys = [tap.step() for tap in taps]
        assert np.array_equal(*keys)
        parted += not np.array_equal(base.ledger.position[0], other.ledger.position[0])
    assert taps[0].draws.keys() == taps[1].draws.keys()
    assert all(np.array_equal(drawn, taps[1].draws[at]) for at, drawn in taps[0].draws.items())
    assert {name for name, _ in taps[0].draws} >= {"arrival", "decide/traders"}
    assert parted > STEPS // 4, (
        "the states parted, or nothing was tested"
    )  # under netting not before the fall


def test_a_stream_gives_each_row_the_same_whatever_the_number_of_rows() -> None:
    """Owners added at the end change no draws of the others."""
    market = crash.market(5)
    few, many = (market.state.streams.draw_uniform("arrival", 7, rows, 1) for rows in (10, 1_000))
    assert np.array_equal(few, many[:10])


SEEDS = range(20)


def outcomes(engine: Mapping[str, Any]) -> pd.DataFrame:
    """Measures of the crash under an engine, by seed."""
    return pd.DataFrame(
        [crash.measures(crash.run(crash.market(seed, with_engine(engine)))) for seed in SEEDS]
    )


@pytest.fixture(scope="module")
def base() -> pd.DataFrame:
    return outcomes(BASE)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_pairing_saves_variance(base: pd.DataFrame, change: str) -> None:
    """Compare the variance of a rule's effect over independent seeds with that over paired ones.

    Close-outs follow the draws that pairs share. The lowest mark of a cascade depends on single
    close-outs, so pairs with very different rules share less of it: it is printed, and required
    only not to lose.
    """
    other, saved = outcomes(CHANGES[change]), {}
    print(
        f"{change}: {len(SEEDS)} seeds\n"
        f"{'measure':15}{'difference':>11}{'correlation':>13}{'variance saved':>16}"
    )
    for measure in ("closed out", "worst basis", "lowest mark"):
        difference = other[measure] - base[measure]
        saved[measure] = (other[measure].var() + base[measure].var()) / difference.var()
        correlation = other[measure].corr(base[measure])
        print(f"{measure:15}{difference.mean():+11.3f}{correlation:13.2f}{saved[measure]:14.1f} x")
    assert saved["closed out"] > 1.5
    assert saved["lowest mark"] > 0.8
