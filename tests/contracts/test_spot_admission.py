"""Admission with many spot instruments in one account (MAR-1), one by one if margins add up."""

import itertools
from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import (
    STEEP,
    TIERED,
    UNIT,
    book_of,
    contracts_of,
    few,
    frozen,
    market_of,
    seeds,
)
from contracts.test_valuations import SETTINGS
from hypothesis import example, given
from markets import BTC, build, config, script, venue

from sim.checks import option_worlds
from sim.errors import ConfigError
from sim.margin.additive import MAX_SPOTS, is_additive
from sim.margin.engine import EngineConfig, MarginEngine, compute_chosen_margin
from sim.margin.fills import update_entry_values
from sim.margin.options.options_separately import OptionsSeparately
from sim.types import PERPETUAL, SPOT, Contracts, Exposure

ADD_UP: list[dict[str, Any]] = [
    TIERED,
    {"kind": "at_entry", "inner": {"tiers": STEEP}},
    {"kind": "closing_fee", "inner": {"tiers": STEEP}, "fee": 0.0006},
    {"kind": "open_interest", "lower": 1e4, "upper": 1e6},
    {"kind": "lognormal", "sigma": 0.6, "slippage": 0.001},
    {"kind": "size_weighted"},
    {"kind": "per_contract", "initial": 50, "maintenance": 20, "size": 3},
    {"kind": "sum", "parts": [TIERED, {"kind": "concentration"}, {"kind": "liquidity"}]},
    {"kind": "compressed", "inner": TIERED, "compression": 0.3},
    {"kind": "clocked", "inner": TIERED},
    {"kind": "liquidation_buffer", "inner": TIERED},
]
DO_NOT: list[dict[str, Any]] = [
    {"kind": "span"},
    {"kind": "sum", "parts": [TIERED, {"kind": "gap"}]},
    {"kind": "sum", "parts": [TIERED, {"kind": "wrong_way"}]},
    {"kind": "scaled", "inner": TIERED},
    {"kind": "compressed", "inner": {"kind": "span"}, "compression": 0.3},
]


def world(seed: int, spots: int = 4) -> Exposure:
    """Draw accounts with orders in spot of several underlyings and two perpetuals, in dollars."""
    rng, count = np.random.default_rng(seed), spots + 2
    kind = np.array([SPOT] * spots + [PERPETUAL] * 2)
    underlying = np.r_[np.arange(spots), 0, 1]
    zero = np.zeros(count, dtype=np.int64)
    contracts = contracts_of(rng, count, 2)._replace(kind=kind, underlying=underlying, settle=zero)
    market = market_of(rng, contracts, 2)._replace(
        oracle=rng.uniform(1, 1e5, spots), confidence=np.ones(spots)
    )
    return book_of(rng, market._replace(returns=rng.normal(0, 0.02, (50, spots))), 40)


def engine(contracts: Contracts, **choices: Any) -> MarginEngine:
    """An engine that has been opened to orders."""
    made = EngineConfig.model_validate(choices).build_engine(contracts, UNIT)
    made.prepare_admission(contracts)
    return made


def by_all_combinations(made: MarginEngine, book: Exposure) -> Any:
    made.is_separable = False
    found = made.assess_admission(book)
    made.is_separable = True
    return found


@pytest.mark.parametrize("requirement", ADD_UP, ids=lambda each: each["kind"])
@few
@given(seed=seeds)
@example(seed=447)  # a chosen leverage below the venue's, which compression leaves as it is
def test_requirements_that_add_up_ask_what_the_worst_combination_does(
    requirement: dict[str, Any], seed: int
) -> None:
    book = world(seed)
    made = engine(book.market.contracts, requirement=requirement, margin_multiplier=1.25)
    made.observe(book.market)
    assert made.is_separable
    got, expected = made.assess_admission(book), by_all_combinations(made, book)
    np.testing.assert_array_equal(got.initial, expected.initial)
    np.testing.assert_array_equal(got.equity, expected.equity)


@few
@given(seed=seeds)
def test_options_beside_requirements_that_add_up_do_not_hinder(seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = option_worlds.make_market(rng)
    kind = np.where(view.contracts.kind == PERPETUAL, SPOT, view.contracts.kind)
    contracts = view.contracts._replace(kind=kind, settle=np.zeros_like(kind))
    accounts = option_worlds.make_accounts(rng, view._replace(contracts=contracts), 20)
    lots = [frozen(rng.integers(0, 300, (kind.size, 20))) for _ in range(2)]
    accounts = accounts._replace(bids=lots[0], asks=lots[1])
    made = engine(contracts, requirement=TIERED, options={"kind": "standard_options"})
    made.observe(accounts.market)
    assert made.is_separable
    assert type(made.requirement) is OptionsSeparately
    got, expected = made.assess_admission(accounts), by_all_combinations(made, accounts)
    np.testing.assert_array_equal(got.initial, expected.initial)


@pytest.mark.parametrize("requirement", [TIERED, *DO_NOT], ids=lambda each: each["kind"])
@few
@given(seed=seeds)
def test_the_worst_of_all_combinations_counts(requirement: dict[str, Any], seed: int) -> None:
    """Each combination is a portfolio of its own, assessed without orders."""
    accounts = world(seed, spots=3)
    made = engine(accounts.market.contracts, requirement=requirement)
    made.observe(accounts.market)
    made.is_separable = False
    spots = np.arange(3)
    worst = np.zeros(len(accounts.position))
    bought, sold = accounts.one_sided_portfolios()
    for sides in itertools.product((True, False), repeat=3):
        position = bought.position.copy(order="F")
        position[:, spots] = np.where(sides, bought.position[:, spots], sold.position[:, spots])
        filled = update_entry_values(accounts, accounts._replace(position=position))
        rules = made.assess(filled).initial
        worst = np.maximum(worst, np.maximum(rules, compute_chosen_margin(filled)))
    np.testing.assert_array_equal(made.assess_admission(accounts).initial, worst)


@pytest.mark.parametrize("valuation", SETTINGS, ids=lambda each: each["kind"])
@few
@given(seed=seeds)
def test_valuations_that_add_up_cut_what_the_worst_combination_does(
    valuation: dict[str, Any], seed: int
) -> None:
    book = world(seed)
    made = engine(book.market.contracts, valuation=valuation, requirement=TIERED)
    assert made.is_separable
    np.testing.assert_array_equal(
        made.assess_admission(book).initial, by_all_combinations(made, book).initial
    )


@pytest.mark.parametrize("requirement", DO_NOT, ids=lambda each: each["kind"])
def test_what_does_not_add_up_is_tried_in_all_combinations_of_few(
    requirement: dict[str, Any],
) -> None:
    few_spots, many = world(1, MAX_SPOTS).market.contracts, world(1, MAX_SPOTS + 1).market.contracts
    made = engine(few_spots, requirement=requirement)
    assert not made.is_separable
    assert not is_additive(made.requirement)
    with pytest.raises(
        ConfigError,
        match="netting: 7 spot instruments share an account and the requirement does not",
    ):
        engine(many, requirement=requirement)


def test_hedged_collateral_and_spot_paid_in_another_asset_do_not_add_up() -> None:
    contracts = world(1, 7).market.contracts
    shared = contracts._replace(underlying=np.zeros(9, dtype=np.int64))
    with pytest.raises(ConfigError, match="the valuation does not add up"):
        engine(shared, valuation={"kind": "delta_adjusted"})
    assert engine(contracts, valuation={"kind": "delta_adjusted"}).is_separable
    elsewhere = contracts._replace(settle=np.array([0, 0, 1, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(
        ConfigError, match="spot that settles in another asset than the numeraire does not add up"
    ):
        engine(elsewhere)
    assert engine(contracts._replace(settle=np.array([0] * 7 + [1, 1]))).is_separable, (
        "perpetuals may"
    )


def test_a_market_says_so_at_load_and_the_remedies_work() -> None:
    coins = [{**BTC, "name": f"C{k}", "kind": "spot"} for k in range(7)]
    people = [script([100.0], {})]
    with pytest.raises(
        ConfigError, match=r"venues\.0\.engine\.netting: 7 spot .*netting: \{kind: isolated\}"
    ):
        build(config(venue("x", coins, requirement={"kind": "span"})), people)
    build(
        config(venue("x", coins, requirement={"kind": "span"}, netting={"kind": "isolated"})),
        people,
    ).step()
    build(config(venue("x", coins[:MAX_SPOTS], requirement={"kind": "span"})), people).step()
    build(config(venue("x", coins)), people).step()
