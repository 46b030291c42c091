"""Admission with many spot instruments in one account (MAR-1): each by itself where the engine adds up, else few."""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import STEEP, TIERED, UNIT, book_of, contracts_of, few, market_of, seeds
from contracts.test_valuations import SETTINGS
from hypothesis import given
from markets import BTC, build, config, script, venue

from sim.errors import ConfigError
from sim.margin.additive import MOST_SPOTS, adds_up
from sim.margin.engine import EngineConfig, MarginEngine
from sim.types import PERPETUAL, SPOT, Contracts, Exposure

ADD_UP: list[dict[str, Any]] = [
    TIERED,
    {"kind": "at_entry", "inner": {"tiers": STEEP}},
    {"kind": "closing_fee", "inner": {"tiers": STEEP}, "fee": 0.0006},
    {"kind": "open_interest", "lower": 1e4, "upper": 1e6},
    {"kind": "lognormal", "sigma": 0.6, "slippage": 0.001},
    {"kind": "size_weighted"},
    {"kind": "sum", "parts": [TIERED, {"kind": "concentration"}, {"kind": "liquidity"}]},
    {"kind": "compressed", "inner": TIERED, "kappa": 0.3},
    {"kind": "clocked", "inner": TIERED},
    {"kind": "liquidation_buffer", "inner": TIERED},
]
DO_NOT: list[dict[str, Any]] = [
    {"kind": "span"},
    {"kind": "sum", "parts": [TIERED, {"kind": "gap"}]},
    {"kind": "sum", "parts": [TIERED, {"kind": "wrong_way"}]},
    {"kind": "scaled", "inner": TIERED},
    {"kind": "compressed", "inner": {"kind": "span"}, "kappa": 0.3},
]


def world(seed: int, spots: int = 4) -> Exposure:
    """Accounts with orders in spot instruments on as many underlyings, and in two perpetuals, all paid in dollars."""
    rng, count = np.random.default_rng(seed), spots + 2
    kind = np.array([SPOT] * spots + [PERPETUAL] * 2)
    underlying = np.r_[np.arange(spots), 0, 1]
    zero = np.zeros(count, dtype=np.int64)
    contracts = contracts_of(rng, count, 2)._replace(kind=kind, underlying=underlying, settle=zero)
    market = market_of(rng, contracts, 2)._replace(oracle=rng.uniform(1, 1e5, spots), confidence=np.ones(spots))
    return book_of(rng, market._replace(returns=rng.normal(0, 0.02, (50, spots))), 40)


def engine(contracts: Contracts, **choices: Any) -> MarginEngine:
    """An engine that has been opened to orders."""
    made = EngineConfig.model_validate(choices).build(contracts, UNIT)
    made.open_to_orders(contracts)
    return made


def by_all_combinations(made: MarginEngine, book: Exposure) -> Any:
    made.separable = False
    found = made.admits(book)
    made.separable = True
    return found


@pytest.mark.parametrize("requirement", ADD_UP, ids=lambda each: each["kind"])
@few
@given(seed=seeds)
def test_requirements_that_add_up_ask_what_the_worst_combination_does(requirement: dict[str, Any], seed: int) -> None:
    book = world(seed)
    made = engine(book.market.contracts, requirement=requirement, scale=1.25)
    made.observe(book.market)
    assert made.separable
    got, expected = made.admits(book), by_all_combinations(made, book)
    np.testing.assert_array_equal(got.initial, expected.initial)
    np.testing.assert_array_equal(got.equity, expected.equity)


@pytest.mark.parametrize("valuation", SETTINGS, ids=lambda each: each["kind"])
@few
@given(seed=seeds)
def test_valuations_that_add_up_cut_what_the_worst_combination_does(valuation: dict[str, Any], seed: int) -> None:
    book = world(seed)
    made = engine(book.market.contracts, valuation=valuation, requirement=TIERED)
    assert made.separable
    np.testing.assert_array_equal(made.admits(book).initial, by_all_combinations(made, book).initial)


@pytest.mark.parametrize("requirement", DO_NOT, ids=lambda each: each["kind"])
def test_what_does_not_add_up_is_tried_in_all_combinations_of_few(requirement: dict[str, Any]) -> None:
    few_spots, many = world(1, MOST_SPOTS).market.contracts, world(1, MOST_SPOTS + 1).market.contracts
    made = engine(few_spots, requirement=requirement)
    assert not made.separable
    assert not adds_up(made.requirement)
    with pytest.raises(ConfigError, match="netting: 7 spot instruments share an account and the requirement does not"):
        engine(many, requirement=requirement)


def test_hedged_collateral_and_spot_paid_in_another_asset_do_not_add_up() -> None:
    contracts = world(1, 7).market.contracts
    shared = contracts._replace(underlying=np.zeros(9, dtype=np.int64))
    with pytest.raises(ConfigError, match="the valuation does not add up"):
        engine(shared, valuation={"kind": "delta_adjusted"})
    assert engine(contracts, valuation={"kind": "delta_adjusted"}).separable
    elsewhere = contracts._replace(settle=np.array([0, 0, 1, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(ConfigError, match="spot that settles in another asset than the numeraire does not add up"):
        engine(elsewhere)
    assert engine(contracts._replace(settle=np.array([0] * 7 + [1, 1]))).separable, "perpetuals may"


def test_a_market_says_so_at_load_and_the_remedies_work() -> None:
    coins = [{**BTC, "name": f"C{k}", "kind": "spot"} for k in range(7)]
    people = [script([100.0], {})]
    with pytest.raises(ConfigError, match=r"venues\.0\.engine\.netting: 7 spot .*netting: \{kind: isolated\}"):
        build(config(venue("x", coins, requirement={"kind": "span"})), people)
    build(config(venue("x", coins, requirement={"kind": "span"}, netting={"kind": "isolated"})), people).step()
    build(config(venue("x", coins[:MOST_SPOTS], requirement={"kind": "span"})), people).step()
    build(config(venue("x", coins)), people).step()
