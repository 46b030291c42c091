"""Differences between the types of traders: side, entry rate and size (AGT-1)."""

from typing import Any

import numpy as np
import pytest
from bazaar import INDEX, SETTING, accounts, outlook
from markets import BTC_SPOT, build, config, tiers, venue
from pydantic import ValidationError

from agents import POPULATIONS
from agents.base import DAY
from agents.carry import CarryTraders
from agents.fundamental import FundamentalTraders
from agents.kelly import KellyTraders
from agents.leveraged import LeveragedPopulation
from agents.portfolios.books import BookPopulation
from agents.shared.signals import LogPriceTracker
from agents.trend import TrendFollowers
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8, I8, MARKET, REDUCE_ONLY, AccountView, Observation, Orders

TYPES = [
    kind
    for kind, cls in POPULATIONS.items()
    if issubclass(cls, LeveragedPopulation) and not issubclass(cls, BookPopulation)
]
PERP, SPOT = 0, 2
COUNT = 4000


def people(kind: str, count: int = COUNT, **fields: Any) -> Any:
    """Traders of one type in one perpetual, started."""
    needs = {"spot_venue": "beta"} if kind == "carry" else {}
    plain = {
        "kind": kind,
        "venue": "alpha",
        "count": count,
        "instruments": ("BTC-PERP",),
        "wealth_sigma": 0.0,
    }
    population = POPULATIONS[kind].model_validate(plain | needs | fields)
    population.start(SETTING, np.random.default_rng(3).random((count, population.n_trait_draws)))
    return population


def ask(
    population: LeveragedPopulation, view: Observation, held: AccountView | None = None
) -> Orders:
    draws = np.random.default_rng(view.tick).random((population.count, population.n_decision_draws))
    return population.decide(view, held or accounts(population.count, 1e9), draws)


def walk(population: LeveragedPopulation, prices: F8, **more: Any) -> Orders:
    """Return the orders at the end of a walk of the index that members only watched before."""
    views = [
        outlook(t, index=np.array([price, INDEX[1]]), **more)
        for t, price in enumerate(prices, start=1)
    ]
    for view in views[:-1]:
        population._observe_prices(view)
    return ask(population, views[-1])


def holding(count: int, perp: int, spot: int = 0) -> I8:
    position = np.zeros((count, 5), dtype=np.int64)
    position[:, PERP], position[:, SPOT] = perp, spot
    return position


class TestTracker:
    def test_volatility_is_right_from_the_start_and_not_biased_to_nil(self) -> None:
        random, tracker = np.random.default_rng(0), LogPriceTracker(60.0, [3600.0])
        price = 100 * np.exp(np.cumsum(random.normal(0, 0.5 * np.sqrt(60 / YEAR_SECONDS), 240)))
        for each in price:
            tracker.add_prices(np.array([each]))
        assert np.sqrt(tracker.variance[0]) == pytest.approx(0.5, rel=0.1)

    def test_an_average_halves_its_distance_in_a_half_life(self) -> None:
        tracker = LogPriceTracker(60.0, [600.0, 1200.0])
        for price in [1.0] + [np.e] * 10:
            tracker.add_prices(np.array([price]))
        assert tracker.averages[:, 0] == pytest.approx([0.5, 1 - 0.5**0.5])

    def test_strength_is_in_standard_deviations_and_nil_where_nothing_moves(self) -> None:
        tracker = LogPriceTracker(60.0, [600.0])
        tracker.add_prices(np.array([1.0, 1.0]))
        tracker.add_prices(np.array([1.0, 1.01]))
        strength = tracker.standardise_deviation(np.array([0.02, 0.02]), 60.0)
        assert strength == pytest.approx([0.0, 0.02 / np.log(1.01)])


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_holds_takes_profit_stops_and_leaves_whole(kind: str) -> None:
    """All types share one mechanism: positions are not resized, and exits are whole."""
    position, quiet = holding(50, 40, -4), {"entries_per_day": 1e9, "holding_time": 1e12}
    quiet |= {"exit_threshold": -1e9} if kind == "carry" else {}
    held = accounts(50, 1e9, position, entry=(position * 50_000 / 0.5 * 5).astype(np.int64))
    assert not len(walk_held(people(kind, 50, **quiet), held, 1.0).owner)
    for limit, price in (("take_profit", 1.03), ("stop_loss", 0.97)):
        orders = walk_held(people(kind, 50, **quiet, **{limit: 0.02}), held, price)
        assert orders.quantity.tolist() == [-40] * 50
        assert (orders.kind == MARKET | REDUCE_ONLY).all()


@pytest.mark.parametrize(("stake_stop", "leave"), [(0.37, True), (0.38, False)])
@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_may_count_in_the_equity_at_entry(stake_stop: float, leave: bool, side: int) -> None:
    """A position of 20m loses 3%, 600,000 of 1.6m."""
    position = holding(50, 40 * side, 0)
    held = accounts(50, 1e6, position, entry=(position * 50_000 / 0.5 * 5).astype(np.int64))
    population = people(
        "traders", 50, entries_per_day=1e-9, holding_time=1e12, equity_stop_loss=stake_stop
    )
    assert len(walk_held(population, held, 1 - 0.03 * side).owner) == 50 * leave
    assert not len(walk_held(population, held, 1 + 0.03 * side).owner), "a gain"


def walk_held(population: LeveragedPopulation, held: AccountView, move: float) -> Orders:
    prices = np.array([1.0, 1.001, move]) * INDEX[0]
    for tick, price in enumerate(prices, start=1):
        orders = ask(population, outlook(tick, index=np.array([price, INDEX[1]])), held)
    return orders


@pytest.mark.parametrize("kind", ["fundamental", "trend", "kelly"])
@pytest.mark.parametrize("elasticity", [0.0, 0.5, 1.0])
def test_every_type_answers_the_engine_by_its_elasticity(kind: str, elasticity: float) -> None:
    """AGT-1, the ε: four times the leverage admitted is 4 ** ε times the size."""
    fields = {"entries_per_day": 1e6, "elasticity": elasticity, "cap": 1.0, "slippage": 0.0}
    fields |= {"kelly": {"fraction": 0.1, "belief_sigma": 2.0, "least": 0.0}}.get(
        kind, {"leverage": 1.0}
    )
    fields |= {"threshold": 0.0} if kind == "trend" else {}
    prices = INDEX[0] * np.exp(np.cumsum(np.tile([0.002, -0.001], 30)))
    few, many = (
        walk(people(kind, **fields), prices, leverage=leverage) for leverage in (20.0, 80.0)
    )
    sizes = [
        dict(zip(o.owner.tolist(), np.abs(o.quantity).tolist(), strict=True)) for o in (few, many)
    ]
    both = sizes[0].keys() & sizes[1].keys()
    ratio = sum(sizes[1][i] for i in both) / sum(sizes[0][i] for i in both)
    assert len(both) > 1000
    assert ratio == pytest.approx(4**elasticity, rel=0.02)


class TestFundamental:
    WOBBLE = np.tile([1.0, 1.001], 50)

    def share_and_side(self, last: float, **fields: Any) -> tuple[float, float]:
        prices = INDEX[0] * np.append(self.WOBBLE, [1.0005 * last])
        orders = walk(people("fundamental", entries_per_day=20.0, **fields), prices)
        return len(orders.owner) / COUNT, float(np.sign(orders.quantity).mean())

    def test_they_buy_below_value_and_sell_above(self) -> None:
        assert self.share_and_side(0.97)[1] == 1.0
        assert self.share_and_side(1.03)[1] == -1.0

    def test_the_farther_from_value_the_more_enter_up_to_a_bound(self) -> None:
        near, far = (self.share_and_side(move, value_half_life=3600.0)[0] for move in (0.999, 0.99))
        assert 0 < near < far
        bound = self.share_and_side(0.9, value_half_life=3600.0, max_entry_multiple=0.5)[0]
        assert bound == pytest.approx(-np.expm1(-20 * 60 / DAY * 0.5), abs=0.005), (
            "eagerness times the hazard"
        )

    def test_at_value_nobody_enters(self) -> None:
        assert not len(
            walk(people("fundamental", entries_per_day=1e9), np.full(20, INDEX[0])).owner
        )


class TestTrend:
    def test_they_go_with_the_averages(self) -> None:
        steps = np.tile([0.0015, -0.0005], 60)
        for sign in (1, -1):
            orders = walk(
                people("trend", entries_per_day=1e9), INDEX[0] * np.exp(sign * np.cumsum(steps))
            )
            assert len(orders.owner) > 0
            assert (np.sign(orders.quantity) == sign).all()

    def test_below_the_threshold_nobody_enters(self) -> None:
        steps = np.tile([0.001, -0.001], 60)
        assert not len(
            walk(people("trend", entries_per_day=1e9), INDEX[0] * np.exp(np.cumsum(steps))).owner
        )

    def test_averages_out_of_order_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="must be below slow_half_life"):
            TrendFollowers(venue="alpha", count=1, fast_half_life=7200.0, slow_half_life=3600.0)


class TestKelly:
    def wish(self, **fields: Any) -> F8:
        """Return the wished leverage times equity where volatility is known, signed."""
        random = np.random.default_rng(1)
        prices = INDEX[0] * np.exp(
            np.cumsum(random.normal(0, 0.5 * np.sqrt(60 / YEAR_SECONDS), 1500))
        )
        population = people(
            "kelly", entries_per_day=1e9, cap=1.0, slippage=0.0, elasticity=0.0, **fields
        )
        orders = walk(population, prices, leverage=1e9)
        wished = np.zeros(COUNT)
        wished[orders.owner] = orders.quantity * (np.rint(prices[-1] / 0.5) * 5) / 1e9
        return wished

    def test_leverage_is_a_fraction_of_drift_over_variance(self) -> None:
        """Thorp 2006: f = fraction * mu / sigma ** 2, at 50% volatility and 0.5 a year of drift."""
        wished = self.wish(trend_weight=0.0, fraction=0.5, fraction_sigma=0.0, least=0.0)
        assert wished.std() == pytest.approx(0.5 * 0.5 / 0.25, rel=0.08)
        assert wished.mean() == pytest.approx(0.0, abs=0.05)

    def test_beliefs_are_the_members_own_and_the_trend_is_everybodys(self) -> None:
        alike = self.wish(belief_sigma=0.0, trend_weight=0.5, fraction_sigma=0.0)
        assert len(set(np.rint(alike * 1000).tolist())) == 1
        assert len(set(self.wish().tolist())) > COUNT / 4

    def test_small_bets_are_not_worth_a_position(self) -> None:
        wished = self.wish(least=0.5)
        assert 0 < (wished == 0).mean() < 1
        assert np.abs(wished[wished != 0]).min() > 0.49


class TestCarry:
    """A basis of 1% that closes in a week pays 52% a year."""

    QUICK: dict[str, Any] = {"entries_per_day": 1e9, "carry_half_life": 1.0}  # noqa: RUF012

    @pytest.mark.parametrize(("basis", "side"), [(0.01, -1), (-0.01, 1)])
    def test_they_take_the_side_that_is_paid(self, basis: float, side: int) -> None:
        orders = ask(people("carry", **self.QUICK), outlook(1, basis=basis))
        assert len(orders.owner) > 0.99 * COUNT
        assert (np.sign(orders.quantity) == side).all()

    def test_funding_pays_too_and_spot_is_shorted_only_if_told(self) -> None:
        view = outlook(1)
        paid = view.venues[0]._replace(funding=np.full(2, -2e-4))
        view = view._replace(venues=(paid, view.venues[1]))
        assert (ask(people("carry", **self.QUICK), view).quantity > 0).all()
        assert not len(ask(people("carry", **self.QUICK, can_short_spot=False), view).owner)

    def test_a_carry_that_is_gone_is_left(self) -> None:
        held = accounts(20, 1e9, holding(20, -40, 4))
        population = people("carry", 20, **self.QUICK, leverage=2.0)
        assert not len(ask(population, outlook(1, basis=0.01), held).owner)
        orders = ask(population, outlook(2, basis=-0.01), held)
        assert orders.quantity[orders.instrument == PERP].tolist() == [40] * 20

    def test_spot_follows_the_perpetual_and_a_naked_position_is_left_after_two_steps(self) -> None:
        population, held = people("carry", 20, **self.QUICK), accounts(20, 1e9, holding(20, -40))
        first, second = (ask(population, outlook(tick, basis=0.01), held) for tick in (1, 2))
        for orders in (first, second):
            assert orders.quantity[orders.instrument == SPOT].tolist() == [4] * 20
        assert not (first.instrument == PERP).any()
        assert second.quantity[second.instrument == PERP].tolist() == [40] * 20

    def test_neither_leg_exceeds_what_its_venue_carries(self) -> None:
        population = people("carry", **self.QUICK, leverage=100.0, cap=0.5)
        book = accounts(COUNT, 1e9)
        poor = book._replace(equity=book.equity * [1.0, 0.1])
        orders = ask(population, outlook(1, basis=0.01, leverage=2.0), poor)
        assert np.abs(orders.quantity).max() == int(0.5 * 2.0 * 1e8 / (np.rint(1.01 * 100_000) * 5))

    def test_an_exit_above_the_entry_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="must be below entry_threshold"):
            CarryTraders(
                venue="alpha", spot_venue="beta", count=1, entry_threshold=0.1, exit_threshold=0.2
            )

    def test_spot_left_naked_by_force_is_unwound(self) -> None:
        orders = ask(people("carry", 20), outlook(), accounts(20, 1e9, holding(20, 0, 5)))
        assert orders.instrument.tolist() == [SPOT] * 20
        assert orders.quantity.tolist() == [-5] * 20

    def test_in_a_market_pairs_are_whole(self) -> None:
        """Perpetual and spot cancel (LED-3); a gain on the perpetual buys spot one step later."""
        rules = config(
            venue(funding={"interval": 600.0}, band=0.5),
            venue("outside", [BTC_SPOT], requirement=tiers(5.0)),
            steps=60,
            process={"kind": "gbm", "volatility": 0.3},
            stresses=[{"kind": "move", "at": 2400.0, "size": 0.25}],
        )
        carry = {
            "kind": "carry",
            "count": 20,
            "venue": "x",
            "spot_venue": "outside",
            "entries_per_day": 200.0,
            "entry_threshold": 0.01,
        }
        carry |= {
            "leverage": 8.0,
            "spot_share": 0.9,
            "carry_half_life": 60.0,
            "elasticity": 0.0,
            "can_short_spot": False,
        }
        crowd = {
            "kind": "traders",
            "count": 100,
            "venue": "x",
            "long_share": 0.9,
            "initial_entry_share": 0.9,
            "elasticity": 0,
        }
        makers = {"kind": "makers", "count": 3, "venue": "x", "wealth": 3e5}
        market = build(rules, [carry, crowd, makers])
        for _ in range(39):
            market.step()
        held = market.ledger.position[:, :20]
        assert (held[0] < 0).sum() > 5
        assert np.abs(held.sum(axis=0)).max() <= np.abs(held).max() / 5, (
            "but for what was filled in this step"
        )
        market.step()
        naked = np.flatnonzero(market.ledger.position[:, :20].sum(axis=0))
        assert naked.size > 0, "the rise has closed some, and left them their spot"
        market.step()
        assert not market.ledger.position[:, naked].sum(axis=0).any()


def test_members_of_each_type_can_be_told_apart() -> None:
    agents = {POPULATIONS[kind].agent_class for kind in TYPES}
    assert len(agents) == len(TYPES) == 5
    assert {FundamentalTraders, TrendFollowers, KellyTraders, CarryTraders} < set(
        map(POPULATIONS.get, TYPES)
    )
