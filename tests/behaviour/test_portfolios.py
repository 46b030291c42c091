"""Members who hold portfolios: books, pairs and hedged endowments (AGT-10)."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bazaar import INDEX, SETTING, accounts, outlook
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from twins import build

from agents import POPULATIONS
from experiments.config import load_run
from sim.errors import ConfigError
from sim.market import Market
from sim.metrics.accounts.holdings import tabulate_holdings
from sim.types import F8, I8, MARKET, REDUCE_ONLY, SPOT, Observation, Orders

BOTH = {"venue": "alpha", "count": 40, "wealth_sigma": 0.0}
EAGER = BOTH | {"entries_per_day": 1e9, "holding_time": 1e12, "leverage_sigma": 0.0}
RICH = 1e10  # minor units, so that lots are fine


def people(kind: str, **fields: Any) -> Any:
    """A started population of two perpetuals."""
    population = POPULATIONS[kind].model_validate({"kind": kind} | fields)
    traits = np.random.default_rng(3).random((population.count, population.n_trait_draws))
    population.start(SETTING, traits)
    return population


def ask(population: Any, view: Observation, held: I8 | None = None) -> Orders:
    """Return the orders of members with some positions."""
    shape = (population.count, population.n_decision_draws)
    draws = np.random.default_rng(view.tick).random(shape)
    own: Orders = population.decide(view, accounts(population.count, RICH, held), draws)
    return own


def gross_of(orders: Orders, view: Observation, count: int = 40) -> F8:
    """Return the gross value that each member orders, minor units."""
    lots = np.concatenate([each.lot_value() for each in view.venues])
    value = np.abs(orders.quantity) * lots[orders.instrument]
    return np.bincount(orders.owner, value, minlength=count)


@settings(max_examples=25, deadline=None)
@given(
    elasticity=st.floats(0, 1),
    saving=st.floats(0.05, 1),
    kind=st.sampled_from(["diversified", "pairs"]),
)
def test_a_book_is_sized_by_the_margin_of_the_whole(
    elasticity: float, saving: float, kind: str
) -> None:
    """An engine that requires a share s of the legs' margins admits s ** -ε times the book."""
    view = outlook(2, leverage=20.0)
    lots = view.venues[0].lot_value()

    def preview(venue: int, held: I8) -> F8:
        assert venue == 0
        margin: F8 = saving * (np.abs(held) @ lots) / 20
        return margin

    fields = EAGER | {"leverage": 0.5, "elasticity": elasticity, "cap": 1.0, "slippage": 0.0}
    fields |= {"entry_threshold": 1e-6, "exit_threshold": 0.0} if kind == "pairs" else {}
    sizes = []
    for seen in (view, view._replace(preview_margin=preview)):
        population = people(kind, **fields)
        ask(population, outlook(1, index=INDEX * np.array([1.0, 1.1])))
        sizes.append(gross_of(ask(population, seen), seen))
    entered = sizes[0] > 0
    assert entered.sum() > 30
    assert sizes[1][entered] / sizes[0][entered] == pytest.approx(saving**-elasticity, rel=2e-3)


def test_a_book_has_a_leg_in_every_instrument_and_one_side_unless_views_are_mixed() -> None:
    view = outlook(1)
    for mixed, sides in ((0.0, 0), (1.0, 10)):
        orders = ask(people("diversified", **EAGER, mixed_share=mixed), view)
        assert (np.bincount(orders.owner, minlength=40) == 2).all()
        net = np.bincount(orders.owner, np.sign(orders.quantity), minlength=40)
        assert (net == 0).sum() >= sides
        assert mixed or (np.abs(net) == 2).all()


def test_a_pair_buys_what_fell_and_both_legs_have_one_value() -> None:
    population = people("pairs", **EAGER, entry_threshold=0.02, exit_threshold=0.0)
    for tick in range(1, 5):
        ask(population, outlook(tick, index=INDEX * np.array([1.0, 1 + 0.01 * (tick % 2)])))
    view = outlook(6, index=INDEX * np.array([1.0, 1.1]))
    orders = ask(population, view)
    assert set(orders.owner) == set(range(40))
    assert (orders.quantity[orders.instrument == 0] > 0).all(), "bitcoin fell behind"
    assert (orders.quantity[orders.instrument == 1] < 0).all()
    lots = view.venues[0].lot_value()
    first, second = (np.abs(orders.quantity[orders.instrument == k]) * lots[k] for k in range(2))
    assert first == pytest.approx(second, rel=1e-3)


def broken(population: Any) -> tuple[I8, Observation]:
    """Members who entered a pair and have lost its second leg, and the market then."""
    for tick in range(1, 5):
        ask(population, outlook(tick, index=INDEX * np.array([1.0, 1 + 0.01 * (tick % 2)])))
    view = outlook(6, index=INDEX * np.array([1.0, 1.1]))
    orders = ask(population, view)
    held = np.zeros((40, 5), dtype=np.int64)
    held[orders.owner, orders.instrument] = orders.quantity
    held[:, 1] = 0
    return held, outlook(7, index=INDEX * np.array([1.0, 1.1]))


@pytest.mark.parametrize("abandons", [0.0, 1.0])
def test_a_member_left_with_one_leg_completes_it_or_leaves(abandons: float) -> None:
    fields = EAGER | {"entry_threshold": 0.02, "exit_threshold": 0.0, "rebalance_time": 1e-6}
    population = people("pairs", **fields, abandon_probability=abandons)
    held, view = broken(population)
    orders = ask(population, view, held)
    assert set(orders.owner) == set(range(40))
    if abandons:
        assert (orders.quantity == -held[orders.owner, 0]).all()
        assert (orders.kind == MARKET | REDUCE_ONLY).all()
        again = ask(population, outlook(8, index=INDEX), held)
        assert (again.kind == MARKET | REDUCE_ONLY).all(), "until it is closed"
    else:
        assert (orders.instrument == 1).all()
        assert (orders.quantity < 0).all()


def test_a_book_within_its_band_is_left_alone() -> None:
    population = people("diversified", **EAGER, rebalance_time=1e-6, rebalance_band=0.2)
    orders = ask(population, outlook(1))
    held = np.zeros((40, 5), dtype=np.int64)
    held[orders.owner, orders.instrument] = orders.quantity
    assert not ask(population, outlook(2, index=INDEX * np.array([1.0, 1.1])), held).owner.size
    moved = ask(population, outlook(3, index=INDEX * np.array([1.0, 3.0])), held)
    assert moved.owner.size
    after = held.copy()
    np.add.at(after, (moved.owner, moved.instrument), moved.quantity)
    lots = outlook(3, index=INDEX * np.array([1.0, 3.0])).venues[0].lot_value()
    before, now = (np.abs(each[:, :2]) @ lots for each in (held, after))
    assert now == pytest.approx(before, rel=1e-3), "the gross value stays"


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="exit_threshold"):
        people("pairs", **BOTH, entry_threshold=1, exit_threshold=2)
    with pytest.raises(ConfigError, match="two underlyings"):
        people("pairs", **BOTH, instruments=("BTC-PERP",))
    with pytest.raises(ConfigError, match="BTC-PREP"):
        people("pairs", **BOTH, pairs=(("BTC-PREP", "ETH-PERP"),))


HEDGERS = {"kind": "hedgers", "venue": "exchange", "count": 20, "hedge_ratio_range": 0.0}
MAKERS = {"kind": "makers", "count": 4, "venue": "exchange", "wealth": 4_000_000}


def hedging(name: str, spot_venue: str, netting: str) -> Market:
    """A market with makers and owners of spot, who are the second population."""
    people_of = json.dumps([MAKERS, HEDGERS | {"spot_venue": spot_venue}])
    changes = [f"populations={people_of}", f"venues.0.engine.netting.kind={netting}"]
    return build(load_run(name, [*changes, "duration=7200"]), 1)


PLACES = [("hedged", "exchange"), ("two_coins", "outside")]


@pytest.mark.parametrize(("name", "spot_venue"), PLACES)
def test_an_endowment_is_a_deposit_in_kind(name: str, spot_venue: str) -> None:
    market = hedging(name, spot_venue, "isolated")
    rows, contracts, ledger = market.member_slices[1], market.contracts, market.ledger
    ledger.check_conservation()
    owned = ledger.position[:, rows]
    assert (np.count_nonzero(owned, axis=0) == 1).all()
    assert (owned[contracts.kind == SPOT] >= 0).all()
    value = contracts.multiplier * market.state.mark_prices() @ owned
    equity = sum(venue.equity(rows) for venue in market.state.venues)
    assert equity == pytest.approx(ledger.balance[0, :, rows].sum(axis=0) + value)
    assert ledger.entry[:, rows].sum(axis=0) == pytest.approx(value)
    market.advance(1)
    assert not market.state.log_impact.any(), "nothing was bought in the market"


@pytest.mark.parametrize(("name", "spot_venue"), PLACES)
@pytest.mark.parametrize("netting", ["cross", "isolated", "by_underlying"])
def test_owners_of_spot_keep_it_and_hedge_a_share(name: str, spot_venue: str, netting: str) -> None:
    market = hedging(name, spot_venue, netting)
    rows, contracts = market.member_slices[1], market.contracts
    spot = contracts.kind == SPOT
    owned = market.ledger.position[spot][:, rows].copy()
    market.advance(100)
    held = market.ledger.position[:, rows] * contracts.lot[:, None]
    assert (market.ledger.position[spot][:, rows] == owned).all(), "no spot was sold"
    share = -held[~spot].sum(axis=0) / held[spot].sum(axis=0)
    assert np.median(share) == pytest.approx(0.5, abs=0.05)
    market.ledger.check_conservation()


SINGLE = {"kind": "traders", "name": "single", "initial_entry_share": 1, "warm_up": 600}
CROWD = {"venue": "exchange", "count": 60, "wealth": 20_000, "elasticity": 1}
SPREAD = CROWD | {"kind": "diversified", "mixed_share": 1, "initial_entry_share": 1}
SPREAD |= {"warm_up": 600, "wealth": 40_000}


CREDITS = (
    "{include: engines/span, requirement: {credits: [{underlyings: [btc, eth], deltas: [1, 20], "
)
CREDITS += "rate: 0.5}]}}"


def holdings(engine: str, *kinds: dict[str, Any]) -> tuple[Market, pd.DataFrame]:
    """The portfolios after an hour in a market of two coins."""
    chosen = json.dumps([MAKERS, *kinds])
    changes = [f"populations={chosen}", f"venues.0.engine={engine}", "duration=3600"]
    market = build(load_run("two_coins", changes), 1)
    market.advance(60)
    market.recorder.record_accounts("end")
    return market, tabulate_holdings(market.recorder.frames())


def test_netting_saves_margin_where_there_are_offsets_and_nowhere_else() -> None:
    market, netted = holdings(CREDITS, SINGLE | CROWD, SPREAD)
    control, mixed = netted.loc["single"], netted.loc["diversified"]
    assert control["holders"] > 20
    assert control["several"] == control["offset"] == 0, "the zero-offset control"
    assert abs(control["saved"]) < 0.01
    assert mixed["several"] > 0.5
    assert mixed["offset"] > 0.1
    assert mixed["saved"] > 0.02
    held = market.ledger.position[:, market.member_slices[2]]
    value = held * np.concatenate([v.view.lot_value() for v in market.state.venues])[:, None]
    gross, net = np.abs(value).sum(), np.abs(value.sum(axis=0)).sum()
    assert mixed["offset"] == pytest.approx(1 - net / gross, abs=1e-6)


def test_decisions_do_not_depend_on_the_netting_but_for_what_is_admitted() -> None:
    """Tiered margins add up over legs, so the same books are held in one account or in several."""
    markets = [holdings(engine, SPREAD)[0] for engine in ("cross", "isolated")]
    one, other = (m.ledger.position[:, m.member_slices[1]] for m in markets)
    assert np.count_nonzero(one) > 60
    assert (one == other).all()


@pytest.mark.parametrize("engine", ["cross", "isolated", "span", CREDITS])
def test_the_margin_shown_for_a_book_is_the_engines(engine: str) -> None:
    """For one lot it is value over leverage admitted; for books it nets where the engine does."""
    market = holdings(engine, SINGLE | CROWD)[0]
    venue, observation = market.state.venues[0], market.state.build_observation()
    assert observation.preview_margin is not None
    lots = np.eye(2, dtype=np.int64)
    value = venue.view.lot_value()
    long, short = (observation.preview_margin(0, side * lots) for side in (1, -1))
    assert long == pytest.approx(value / venue.max_leverage_long)
    assert short == pytest.approx(value / venue.max_leverage_short)
    sizes = np.rint(1e9 / value).astype(np.int64) * np.array([1, -1])
    hedged = observation.preview_margin(0, sizes[None])
    legs = observation.preview_margin(0, np.diag(sizes))
    if engine == CREDITS:
        assert hedged[0] == pytest.approx(legs.sum() / 2, rel=0.01), "half is credited"
    else:
        assert hedged[0] == pytest.approx(legs.sum())
