"""Behaviour of each type of population (AGT-1, AGT-3, AGT-5); makers have their own module."""

import gc
import weakref
from pathlib import Path
from typing import Any

import markets
import mesa
import numpy as np
import pytest
from bazaar import CONTRACTS, INDEX, SETTING, StillModel, accounts, outlook
from pydantic import ValidationError

from agents import Trader, populate
from agents.arbitrageurs import Arbitrageurs
from agents.insurance_fund import InsuranceFund
from agents.ladders import MarketMaker
from agents.makers import MarketMakers
from agents.shared.unwinding import UnwindPace
from agents.traders import LeveragedTrader, NoiseTraders
from agents.zero_intelligence import ZeroIntelligenceCrowd
from sim.errors import ConfigError
from sim.types import F8, I8, IOC, MARKET, PERPETUAL, REDUCE_ONLY, MarginAssessment, Observation

BTC, ETH, SPOT_BTC = 0, 1, 2
LOT_BTC = 50_000 / 0.5 * 5  # minor units of a lot at the index


def uniform(
    population: NoiseTraders | Arbitrageurs | InsuranceFund | ZeroIntelligenceCrowd,
    rows: int,
    width: int,
    seed: int = 3,
) -> F8:
    return np.random.default_rng(seed).random((rows, width))


def traders(count: int = 4_000, **fields: object) -> tuple[NoiseTraders, I8]:
    population = NoiseTraders.model_validate(
        {"venue": "alpha", "count": count, "instruments": ("BTC-PERP",)} | fields
    )
    return population, population.start(SETTING, uniform(population, count, 3))


def arbitrageurs(count: int = 3, **fields: object) -> Arbitrageurs:
    plain = {
        "venue": "alpha",
        "spot_venue": "beta",
        "count": count,
        "instruments": ("BTC-PERP",),
        "reaction": 1e-3,
    }
    population = Arbitrageurs.model_validate(plain | fields)
    population.start(SETTING, uniform(population, count, 2))
    return population


def holding(count: int, lots: int, instrument: int = BTC) -> I8:
    position = np.zeros((count, 5), dtype=np.int64)
    position[:, instrument] = lots
    return position


class TestPopulate:
    def test_owners_are_numbered_in_order(self) -> None:
        model = StillModel()
        one = MarketMakers(venue="alpha", count=2)
        two = NoiseTraders(venue="alpha", count=3)
        populations = populate([one, two])(model)
        assert [p.name for p in populations] == ["makers", "traders"]
        members = sorted(model.agents, key=lambda agent: agent.owner)
        assert [(a.owner, a.population) for a in members] == [
            (i, "makers" if i < 2 else "traders") for i in range(5)
        ]
        assert len(model.agents_by_type[MarketMaker]) == 2
        assert {a.owner for a in model.agents.select(agent_type=LeveragedTrader)} == {2, 3, 4}

    def test_an_agent_reads_the_ledger(self) -> None:
        model = StillModel()
        populate([NoiseTraders(venue="alpha", count=3)])(model)
        member = next(a for a in model.agents if a.owner == 2)
        assert isinstance(member, Trader)
        assert isinstance(member, mesa.Agent)
        assert member.position.tolist() == [2] * 5
        assert member.equity == 200.0
        assert member.wallet.shape == (2, 2)
        with pytest.raises(AttributeError):
            member.equity = 1.0  # type: ignore[misc]
        assert model.agents.agg("equity", sum) == 300.0

    def test_a_name_used_twice_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="'traders' is used twice"):
            populate([NoiseTraders(venue="alpha", count=1), NoiseTraders(venue="beta", count=1)])

    def test_unknown_places_are_named(self) -> None:
        with pytest.raises(ConfigError, match=r"traders.venue: 'gamma' is not one of alpha, beta"):
            traders(venue="gamma")
        with pytest.raises(ConfigError, match=r"'BTC-B' is not one of BTC-PERP, ETH-PERP"):
            traders(instruments=("BTC-B",))
        with pytest.raises(ConfigError, match="lists no spot for BTC-B"):
            arbitrageurs(venue="beta", spot_venue="alpha", instruments=("BTC-B",))


class TestTraders:
    def test_flat_members_enter_at_their_hazard_and_side(self) -> None:
        """About 1 - exp(-entries * dt / day) of them, ``long_share`` of these buy."""
        population, _ = traders(entries_per_day=144.0, long_share=0.7)
        orders = population.decide(outlook(), accounts(4_000), uniform(population, 4_000, 4))
        assert len(orders.owner) / 4_000 == pytest.approx(1 - np.exp(-0.1), abs=0.015)
        assert (orders.quantity > 0).mean() == pytest.approx(0.7, abs=0.08)

    def test_entries_name_the_worst_price_they_accept(self) -> None:
        population, _ = traders(entries_per_day=1e9, slippage=0.01)
        orders = population.decide(outlook(), accounts(4_000, 1e9), uniform(population, 4_000, 4))
        assert (orders.kind == IOC).all()
        assert (orders.limit == np.where(orders.quantity > 0, 101_000, 99_000)).all()

    def test_holders_leave_whole_at_their_hazard_and_never_enter(self) -> None:
        population, _ = traders(entries_per_day=1e9, holding_time=600.0)
        orders = population.decide(
            outlook(), accounts(4_000, position=holding(4_000, -7)), uniform(population, 4_000, 4)
        )
        assert len(orders.owner) / 4_000 == pytest.approx(1 - np.exp(-0.1), abs=0.015)
        assert (orders.quantity == 7).all()
        assert (orders.kind == MARKET | REDUCE_ONLY).all()

    @pytest.mark.parametrize(("elasticity", "ratio"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
    def test_size_follows_the_engines_leverage_by_the_elasticity(
        self, elasticity: float, ratio: float
    ) -> None:
        """AGT-1: l * (L / L_ref) ** elasticity."""
        population, _ = traders(
            entries_per_day=1e9,
            elasticity=elasticity,
            leverage_sigma=0.0,
            leverage=4.0,
            long_share=1.0,
        )
        draws = uniform(population, 4_000, 4)
        few, many = (
            population.decide(
                outlook(leverage=leverage), accounts(4_000, equity=1e9), draws
            ).quantity.mean()
            for leverage in (20.0, 80.0)
        )
        assert few == np.floor(4.0 * 1e9 / LOT_BTC)
        assert many / few == pytest.approx(ratio, rel=1e-3)

    def test_no_wish_exceeds_what_margin_and_slippage_leave(self) -> None:
        """The margin 1 / (cap * L) and the loss from mark to limit use up the equity (MAR-1)."""
        population, _ = traders(entries_per_day=1e9, leverage=500.0, cap=0.8, slippage=0.005)
        orders = population.decide(
            outlook(), accounts(4_000, equity=1e9), uniform(population, 4_000, 4)
        )
        assert np.abs(orders.quantity).max() == np.floor(
            1 / (1 / (0.8 * 20) + 0.005) * 1e9 / LOT_BTC
        )

    def test_wealth_and_taste_are_lognormal(self) -> None:
        _, wealth = traders(wealth=500.0, wealth_sigma=1.5)
        log = np.log(wealth[:, 0] / 100)
        assert (wealth[:, 1] == 0).all()
        assert np.median(log) == pytest.approx(np.log(500), abs=0.08)
        assert log.std() == pytest.approx(1.5, abs=0.06)

    def test_the_warm_up_brings_a_share_in_smoothly(self) -> None:
        """``initially_in`` of the members enter over ``warm_up`` seconds, evenly, once each."""
        population, _ = traders(
            entries_per_day=0.0, initial_entry_share=0.6, warm_up=600.0, holding_time=1e12
        )
        position = holding(4_000, 0)
        entered = []
        for tick in range(15):
            orders = population.decide(
                outlook(tick), accounts(4_000, 1e9, position), uniform(population, 4_000, 4, tick)
            )
            position[orders.owner, orders.instrument] += orders.quantity
            entered.append(len(orders.owner))
        assert sum(entered) / 4_000 == pytest.approx(0.6, abs=0.02)
        assert entered[0] == 0
        assert min(entered[1:11]) > 180
        assert entered[11:] == [0, 0, 0, 0]

    def test_who_was_not_filled_in_the_warm_up_tries_again_and_who_left_does_not(self) -> None:
        population, _ = traders(
            count=400, entries_per_day=0.0, initial_entry_share=1.0, warm_up=60.0, holding_time=1e12
        )
        draws = uniform(population, 400, 4)
        for tick in (1, 2):
            assert len(population.decide(outlook(tick), accounts(400, 1e9), draws).owner) == 400
        assert (
            len(population.decide(outlook(3), accounts(400, 1e9, holding(400, 5)), draws).owner)
            == 0
        )
        assert len(population.decide(outlook(4), accounts(400, 1e9), draws).owner) == 0

    @pytest.mark.parametrize(
        ("lots", "gain", "leaves"), [(5, 0.03, True), (5, 0.01, False), (-5, 0.03, True)]
    )
    def test_stop_and_take_profit(self, lots: int, gain: float, leaves: bool) -> None:
        population, _ = traders(count=10, holding_time=1e12, take_profit=0.02, stop_loss=0.02)
        position = holding(10, lots)
        entry = (position * LOT_BTC / (1 + gain)).astype(np.int64)
        book = accounts(10, position=position, entry=entry)
        assert len(population.decide(outlook(), book, uniform(population, 10, 4)).owner) == (
            10 if leaves else 0
        )

    def test_a_stop_alone_lets_profits_run(self) -> None:
        population, _ = traders(count=10, holding_time=1e12, stop_loss=0.02)
        for lots, leaves in ((5, 0), (-5, 10)):
            entry = (holding(10, lots) * LOT_BTC / 1.1).astype(np.int64)
            book = accounts(10, position=holding(10, lots), entry=entry)
            assert (
                len(population.decide(outlook(), book, uniform(population, 10, 4)).owner) == leaves
            )


class TestArbitrageurs:
    DRAWS = np.zeros((3, 1))

    @pytest.mark.parametrize(("basis", "sign"), [(0.005, -1), (-0.005, 1)])
    def test_a_wide_basis_is_traded_against(self, basis: float, sign: int) -> None:
        population = arbitrageurs()
        orders = population.decide(outlook(basis=basis), accounts(3, 1e9), self.DRAWS)
        assert orders.instrument.tolist() == [BTC] * 3
        assert (np.sign(orders.quantity) == sign).all()
        assert (orders.kind == IOC).all()
        protected = INDEX[0] / 0.5 * (1 - sign * 3e-4)
        assert (orders.limit == round(protected)).all()

    def test_a_narrow_basis_is_left_alone(self) -> None:
        assert (
            len(arbitrageurs().decide(outlook(basis=0.0005), accounts(3, 1e9), self.DRAWS).owner)
            == 0
        )

    def test_the_spot_leg_hedges_what_was_filled(self) -> None:
        """Ten lots of 0.1 BTC are one lot of 1 BTC; the outside sees the trade."""
        population = arbitrageurs()
        position = holding(3, -47)
        position[:, SPOT_BTC] = (0, 4, 6)
        orders = population.decide(outlook(basis=0.001), accounts(3, 1e9, position), self.DRAWS)
        assert orders.instrument.tolist() == [SPOT_BTC] * 2
        assert orders.owner.tolist() == [0, 2]
        assert orders.quantity.tolist() == [4, -2]
        assert (orders.kind == IOC).all()
        assert orders.limit.tolist() == [100_200, 99_800]

    def test_a_perpetual_closed_by_force_leaves_spot_to_sell(self) -> None:
        orders = arbitrageurs().decide(
            outlook(), accounts(3, 1e9, holding(3, 5, SPOT_BTC)), self.DRAWS
        )
        assert orders.quantity.tolist() == [-5] * 3

    def test_a_closed_basis_is_unwound(self) -> None:
        orders = arbitrageurs().decide(
            outlook(basis=0.0001), accounts(3, 1e9, holding(3, -10)), self.DRAWS
        )
        perp = orders.take(orders.instrument == BTC)
        assert perp.quantity.tolist() == [10] * 3
        assert (perp.kind == IOC | REDUCE_ONLY).all()

    def test_capital_bounds_the_position(self) -> None:
        """Three times equity, a tenth of it a step, nothing without headroom."""
        population = arbitrageurs(count=1)
        most = int(3 * 1e9 / (LOT_BTC * 1.005))
        view = outlook(basis=0.005)

        def sold(
            held: int, spot: int, headroom: float | None = None, view: Observation = view
        ) -> int:
            position = holding(1, held)
            position[:, SPOT_BTC] = spot
            orders = population.decide(view, accounts(1, 1e9, position, headroom), self.DRAWS[:1])
            return -int(orders.quantity[orders.instrument == BTC].sum())

        assert sold(0, 0) == most // 10
        assert sold(-most + 10, most // 10) == pytest.approx(10, abs=10), (
            "less what awaits its hedge"
        )
        assert sold(-most, most // 10) == 0
        assert sold(0, 0, headroom=-1.0) == 0
        paid_in_full = int(0.9 * 1e9 / (LOT_BTC * 1.005))
        assert sold(0, 0, view=outlook(basis=0.005, leverage=1.0)) == paid_in_full // 10

    def test_nothing_is_added_while_a_hedge_is_missing(self) -> None:
        """Spot that cannot be bought ends the trade after two slices; the hedge is retried."""
        population = arbitrageurs(count=1)
        view = outlook(basis=0.005)
        held = 0
        for _ in range(10):
            orders = population.decide(view, accounts(1, 1e9, holding(1, held)), self.DRAWS[:1])
            held += int(orders.quantity[orders.instrument == BTC].sum())
        most = int(3 * 1e9 / (LOT_BTC * 1.005))
        assert -held <= 2 * most // 10 + 1
        assert orders.instrument.tolist() == [SPOT_BTC]

    def test_wealth_is_split_over_two_venues(self) -> None:
        population = Arbitrageurs(
            venue="alpha", spot_venue="beta", count=2, wealth_sigma=0, spot_share=0.25
        )
        assert (
            population.start(SETTING, np.full((2, 2), 0.5)).tolist()
            == [[37_500_000, 12_500_000]] * 2
        )

    def test_an_exit_above_an_entry_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="must be below entry_threshold"):
            Arbitrageurs(
                venue="alpha", spot_venue="beta", count=1, entry_threshold=10.0, exit_threshold=8.0
            )


class TestFund:
    def fund(self, **fields: float) -> InsuranceFund:
        population = InsuranceFund.model_validate({"venue": "alpha"} | fields)
        population.start(SETTING, np.empty((1, 0)))
        return population

    def test_it_is_the_fund_of_its_venue(self) -> None:
        assert self.fund().fund_venue == "alpha"
        assert traders(1)[0].fund_venue == ""

    def test_it_unwinds_in_slices_at_a_limited_price(self) -> None:
        """A time constant of an hour sells 1/60 a minute, at most 50 bp below the mark."""
        orders = self.fund().decide(
            outlook(), accounts(1, position=holding(1, 600)), np.empty((1, 0))
        )
        assert orders.quantity.tolist() == [-10]
        assert orders.limit.tolist() == [round(INDEX[0] / 0.5 * 0.995)]
        assert (orders.kind == IOC | REDUCE_ONLY).all()

    def test_it_takes_a_share_of_the_depth_at_most_and_ends_flat(self) -> None:
        fund = self.fund(participation=0.02)
        quantities = []
        left = -3_000
        while left:
            orders = fund.decide(
                outlook(), accounts(1, position=holding(1, left)), np.empty((1, 0))
            )
            quantities.append(int(orders.quantity[0]))
            left += quantities[-1]
        assert max(quantities) == 20
        assert min(quantities) == 1

    def test_shorter_steps_take_less_each(self) -> None:
        """Ten seconds are a sixth of a minute: of the position, and of the depth of 1,000 lots."""
        assert UnwindPace.from_time_constant(10.0, 3600.0, 0.06) == pytest.approx((1 / 360, 0.01))
        assert UnwindPace.from_time_constant(1e6, 3600.0, 0.06) == (1.0, 1.0)

    def test_it_waits_where_there_is_no_depth(self) -> None:
        orders = self.fund().decide(
            outlook(empty=True), accounts(1, position=holding(1, 600)), np.empty((1, 0))
        )
        assert len(orders.owner) == 0

    def test_it_is_kept_at_a_share_of_open_interest_until_it_takes_a_book_over(self) -> None:
        fund, view = self.fund(share=0.01), outlook()
        market = view.venues[0]
        market = market._replace(open_interest=np.arange(1, market.open_interest.size + 1) * 1_000)
        view = view._replace(venues=(market, *view.venues[1:]))
        worth = market.open_interest * market.mark * market.contracts.multiplier
        wanted = int(0.01 * worth[market.contracts.kind == PERPETUAL].sum())

        def paid(equity: float, held: int) -> list[int]:
            own = accounts(1, equity, holding(1, held))
            return fund.request_cash_flows(
                view, own, MarginAssessment(*np.zeros((3, 1, 1))), np.empty((1, 1))
            ).amount.tolist()

        assert fund.n_cash_flow_draws == 1
        assert paid(1e6, 0) == [wanted - 1_000_000]
        assert paid(wanted + 7.0, 0) == [-7], "fees beyond the share are paid out"
        assert paid(1e6, 600) == []
        assert paid(1e6, 0) == [], "once called upon it has what it has"
        assert self.fund().n_cash_flow_draws == 0


class TestCrowd:
    def test_orders_spread_about_the_mark(self) -> None:
        crowd = ZeroIntelligenceCrowd(venue="alpha", count=20_000, ticks=3, lots=2)
        crowd.start(SETTING, uniform(crowd, 20_000, 1))
        orders = crowd.decide(outlook(), accounts(20_000), uniform(crowd, 20_000, 3))
        assert orders.owner.tolist() == list(range(20_000))
        for instrument in (BTC, ETH):
            here = orders.instrument == instrument
            mark = outlook().venues[0].mark[instrument]
            assert set((orders.limit[here] - mark).tolist()) == {-3, -2, -1, 0, 1, 2, 3}
            assert here.mean() == pytest.approx(0.5, abs=0.02)
        assert set(orders.quantity.tolist()) == {-2, -1, 1, 2}
        assert np.mean(orders.quantity > 0) == pytest.approx(0.5, abs=0.02)
        assert CONTRACTS.names[BTC] == "BTC-PERP"


def test_the_readme_runs() -> None:
    readme = (Path(__file__).parents[2] / "agents" / "README.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(readme.split("```python")[1].split("```")[0], scope)
    model = StillModel()
    assert [population.count for population in scope["settle"](model)] == [5, 1000]
    assert sorted(agent.owner for agent in model.agents) == list(range(1005))


def test_a_market_that_nobody_holds_is_forgotten() -> None:
    """Thousands are made in one process; Mesa's own count of agents would keep them all."""
    market = markets.build(markets.config(), [{"kind": "traders", "venue": "x", "count": 3}])
    market.step()
    trace = weakref.ref(market)
    del market
    gc.collect()
    assert trace() is None
