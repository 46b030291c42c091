"""Managed capital, replacements and withdrawals (AGT-7), and margin calls paid from it (MAR-4)."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from bazaar import SETTING, accounts, outlook
from markets import BTC, BTC_B, build, config, move, tiers, venue
from pydantic import ValidationError

from agents.base import TradingScope
from agents.compiled.capital import N_CASH_FLOW_DRAWS
from agents.shared.capital import CapitalManager, CapitalPolicy
from agents.traders import NoiseTraders
from sim.market import Market
from sim.types import F8, I8, MARKET, MISSING, REDUCE_ONLY, AccountView, MarginAssessment

COUNT = 3000
EVERY = np.full((COUNT, N_CASH_FLOW_DRAWS), 0.0)  # every member acts, every member trims
START = 100_000


def standing(equity: float, initial: float) -> MarginAssessment:
    whole = np.full((COUNT, 5), 1.0)
    return MarginAssessment(whole * equity, whole * initial, whole * initial / 2)


def keeper(account: tuple[int, ...] = (0, 0, 1, 1, 1), **fields: Any) -> CapitalManager:
    """The capital of members who start with the same wealth at the first of two venues."""
    wealth = np.tile([START, 0], (COUNT, 1))
    stall = TradingScope(0, np.array([0, 1]))
    return CapitalPolicy(**fields).bind(
        SETTING._replace(margin_account=np.array(account)), stall, wealth
    )


def book(position: I8, equity: float, wallet: int | None = None) -> AccountView:
    """Members with that equity at the first venue, nothing at the second."""
    view = accounts(COUNT, equity, position)
    cash = np.zeros((COUNT, 2, 2), dtype=np.int64)
    cash[:, 0, 0] = equity if wallet is None else wallet
    return view._replace(
        equity=view.equity * [1, 0], free_margin=view.free_margin * [1, 0], wallet=cash
    )


def holding(lots: int) -> I8:
    position = np.zeros((COUNT, 5), dtype=np.int64)
    position[:, 0] = lots
    return position


def uniform(seed: int = 0) -> F8:
    return np.random.default_rng(seed).random((COUNT, N_CASH_FLOW_DRAWS))


def ran(market: Market, steps: int) -> Market:
    for _ in range(steps):
        market.step()
    return market


class TestHeadroom:
    """The measure: equity less initial margin of the account, over initial margin."""

    def test_who_trims_comes_back_to_the_target(self) -> None:
        own = keeper(margin_buffer=0.5, trim_probability=1.0, top_up_probability=0.0, reaction=1e-3)
        assert not len(
            own.request_cash_flows(
                1, book(holding(100), 80_000), standing(80_000, 80_000), EVERY
            ).owner
        )
        orders = own.reaction_orders(outlook(1))
        assert (orders.kind == MARKET | REDUCE_ONLY).all()
        assert orders.quantity.tolist() == [-34] * COUNT, (
            "two thirds of the position have 1.5 times their initial"
        )
        own.request_cash_flows(
            2, book(holding(-66), 80_000), standing(80_000, 0.66 * 80_000), EVERY
        )
        assert not len(own.reaction_orders(outlook(2)).owner)

    def test_who_has_nothing_left_trims_all_and_who_has_enough_nothing(self) -> None:
        own = keeper(margin_buffer=0.5, trim_probability=1.0, top_up_probability=0.0, reaction=1e-3)
        own.request_cash_flows(1, book(holding(-7), -5.0), standing(-5.0, 80_000), EVERY)
        assert own.reaction_orders(outlook(1)).quantity.tolist() == [7] * COUNT
        own.request_cash_flows(2, book(holding(-7), 120_000), standing(120_000, 80_000), EVERY)
        assert not len(own.reaction_orders(outlook(2)).owner)
        assert not len(own.reaction_orders(outlook(1)).owner), "of another tick"

    def test_who_tops_up_brings_what_is_missing_until_wealth_outside_is_spent(self) -> None:
        own = keeper(
            margin_buffer=0.5,
            trim_probability=0.0,
            top_up_probability=1.0,
            outside_multiple=0.5,
            reaction=1e-3,
        )
        for tick, brought in ((1, 40_000), (2, 10_000), (3, 0)):
            paid = own.request_cash_flows(
                tick, book(holding(9), 80_000), standing(80_000, 80_000), EVERY
            )
            assert int(paid.amount.sum()) == brought * COUNT
            assert (paid.instrument == MISSING).all()
            assert not paid.is_new_capital.any()
            assert not len(own.reaction_orders(outlook(tick)).owner)

    def test_under_isolated_netting_the_wallet_gives_first_and_the_account_is_named(self) -> None:
        """ISO-1: topping up is an agent's act."""
        own = keeper(
            (0, 1, 2, 2, 2),
            margin_buffer=0.0,
            trim_probability=0.0,
            top_up_probability=1.0,
            reaction=1e-3,
        )
        short = standing(1.0, 0.0)
        short.initial[:, 1], short.equity[:, 1] = 80_000, 50_000
        paid = own.request_cash_flows(1, book(holding(9), 70_000, wallet=20_000), short, EVERY)
        mine = paid.take(paid.owner == 0)
        assert mine.instrument.tolist() == [MISSING, 1]
        assert mine.amount.tolist() == [10_000, 30_000]

    def test_dispositions_are_drawn_once_a_shortage_and_reactions_take_their_time(self) -> None:
        own = keeper(
            margin_buffer=0.5,
            trim_probability=0.5,
            top_up_probability=0.3,
            reaction=600.0,
            outside_multiple=1e9,
        )
        first, trimmed, topped = np.zeros(COUNT), set[int](), set[int]()
        for tick in range(1, 200):
            paid = own.request_cash_flows(
                tick, book(holding(100), 80_000), standing(80_000, 80_000), uniform(tick)
            )
            acted = np.r_[own.reaction_orders(outlook(tick)).owner, paid.owner]
            trimmed |= set(own.reaction_orders(outlook(tick)).owner.tolist())
            topped |= set(paid.owner.tolist())
            first[acted] = np.where(first[acted] == 0, tick, first[acted])
        assert not trimmed & topped
        assert len(trimmed) / COUNT == pytest.approx(0.5, abs=0.03)
        assert len(topped) / COUNT == pytest.approx(0.3, abs=0.03)
        assert first[first > 0].mean() == pytest.approx(10.5, rel=0.05), (
            "ten minutes, and half a step"
        )

    def test_more_dispositions_than_members_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="lower one"):
            CapitalPolicy(trim_probability=0.7, top_up_probability=0.4)

    def test_a_rise_in_initial_margin_shrinks_new_entries(self) -> None:
        """Members who wish more than the engine admits take that, at any ε (AGT-7, AGT-1)."""
        sizes = []
        for admitted in (40.0, 5.0):
            crowd = NoiseTraders(
                venue="alpha",
                count=500,
                entries_per_day=1e9,
                leverage=20.0,
                leverage_sigma=0.0,
                elasticity=0.0,
            )
            crowd.start(SETTING, np.full((500, 3), 0.5))
            draws = np.random.default_rng(0).random((500, 4))
            sizes.append(
                np.abs(
                    crowd.decide(outlook(leverage=admitted), accounts(500, 1e9), draws).quantity
                ).mean()
            )
        assert sizes[1] / sizes[0] == pytest.approx(1 / (1 / 4.5 + 0.005) / 20, rel=0.01)


class TestHedging:
    """The third reaction: the opposite position in another instrument of the same underlying."""

    SPAN: ClassVar = {"kind": "span", "commodity": {"scan": 0.05, "vol_scan": 0.1}, "initial": 1.5}

    def run(self, requirement: dict[str, Any], **capital: Any) -> Market:
        """Run longs of one of two bitcoin perpetuals at 2/3 of their limit; bitcoin falls by 2%."""
        crowd = {
            "kind": "traders",
            "count": 100,
            "venue": "x",
            "wealth": 1000.0,
            "wealth_sigma": 0.0,
            "entries_per_day": 0.0,
        }
        crowd |= {
            "leverage": 9.0,
            "leverage_sigma": 0.1,
            "elasticity": 0.0,
            "initial_entry_share": 1.0,
            "warm_up": 300.0,
        }
        crowd |= {"holding_time": 1e9, "long_share": 1.0, "instruments": ["BTC-PERP"]}
        crowd |= {
            "capital": {
                "reaction": 120.0,
                "margin_buffer": 0.3,
                "trim_probability": 0.0,
                "top_up_probability": 0.0,
            }
            | capital
        }
        makers = {"kind": "makers", "count": 3, "venue": "x", "wealth": 1e7}
        rules = config(
            venue(instruments=[BTC, BTC_B], requirement=requirement),
            steps=60,
            stresses=[move(20, -0.02)],
        )
        return ran(build(rules, [crowd, makers]), 60)

    def cushion(self, market: Market) -> F8:
        risk = market.venues[0].pool_states[0].assessment
        return (risk.equity[:100] - risk.initial[:100]) / risk.initial[:100]

    def test_headroom_comes_back_where_the_engine_nets(self) -> None:
        """Lots of the second perpetual are twice as large; longs stay and the excess is sold."""
        idle, hedging = (self.run(self.SPAN, hedge_probability=share) for share in (0.0, 1.0))
        before, after = (market.ledger.position[:, :100] for market in (idle, hedging))
        assert (before[0] > 0).all()
        assert not before[1].any()
        short = self.cushion(idle) < 0.3
        assert short.mean() > 0.5
        assert (after[1, short] < 0).all()
        assert (after[0] >= 0.97 * before[0]).all(), "what hedges cost is trimmed"
        print(
            "least cushion without and with hedges:",
            self.cushion(idle).min(),
            self.cushion(hedging).min(),
        )
        assert (self.cushion(hedging) >= 0.299).all()

    def test_where_it_does_not_they_come_to_trim(self) -> None:
        market = self.run(tiers(14.0), hedge_probability=1.0)
        assert (self.cushion(market) >= 0.299).all()
        idle = self.run(tiers(14.0))
        short = self.cushion(idle) < 0.3
        assert short.mean() > 0.3
        assert (market.ledger.position[0, :100] < idle.ledger.position[0, :100])[short].all()

    def test_without_another_instrument_in_the_account_they_trim_at_once(self) -> None:
        own = keeper(
            (0, 1, 2, 2, 2),
            margin_buffer=0.5,
            trim_probability=0.0,
            top_up_probability=0.0,
            hedge_probability=1.0,
            reaction=1e-3,
        )
        own.request_cash_flows(1, book(holding(100), 80_000), standing(80_000, 80_000), EVERY)
        assert own.reaction_orders(outlook(1)).quantity.tolist() == [-34] * COUNT

    def test_a_hedge_is_left_with_its_position(self) -> None:
        """A member that exits closes both; a hedge without its position is closed as well."""
        crowd = NoiseTraders(
            venue="alpha",
            count=COUNT,
            holding_time=1e-3,
            instruments=["BTC-PERP"],
            capital=CapitalPolicy(hedge_probability=0.1),
        )
        account = SETTING._replace(
            contracts=SETTING.contracts._replace(underlying=np.array([0, 0, 0, 1, 0]))
        )
        crowd.start(account, np.full((COUNT, 3), 0.5))
        position = holding(7)
        position[:, 1] = -3
        position[0, 0] = 0
        orders = crowd.decide(outlook(), book(position, 80_000), np.full((COUNT, 4), 0.999))
        mine = orders.take(orders.owner < 2)
        assert sorted(zip(*map(np.ndarray.tolist, mine[:3]), strict=True)) == [
            (0, 1, 3),
            (1, 0, -7),
            (1, 1, 3),
        ]
        assert (orders.kind == MARKET | REDUCE_ONLY).all()


class TestComingAndGoing:
    def test_newcomers_take_the_seats_of_the_ruined_with_the_wealth_of_the_start(self) -> None:
        own = keeper(bankruptcy_threshold=0.1, replacement_time=600.0)
        paid = own.request_cash_flows(1, book(holding(0), 4_000), standing(4_000, 0), uniform())
        assert len(paid.owner) / COUNT == pytest.approx(-np.expm1(-0.1), abs=0.02)
        assert (paid.amount == START - 4_000).all()
        assert paid.is_new_capital.all()

    def test_winners_take_a_part_out_and_only_while_flat(self) -> None:
        own = keeper(withdrawal_threshold=3.0, withdrawal_share=0.5, withdrawal_time=1e-3)
        assert set(
            own.request_cash_flows(
                1, book(holding(0), 400_000), standing(4e5, 0), EVERY
            ).amount.tolist()
        ) == {-150_000}
        assert not len(
            own.request_cash_flows(2, book(holding(3), 400_000), standing(4e5, 0), EVERY).owner
        )
        assert not len(
            own.request_cash_flows(3, book(holding(0), 290_000), standing(2.9e5, 0), EVERY).owner
        )
        assert set(
            own.request_cash_flows(
                4, book(holding(0), 400_000, wallet=70), standing(4e5, 0), EVERY
            ).amount.tolist()
        ) == {-70}

    def test_nobody_comes_or_goes_unless_told(self) -> None:
        for equity in (0.0, 1e9):
            assert not len(
                keeper()
                .request_cash_flows(1, book(holding(0), equity), standing(equity, 0), EVERY)
                .owner
            )

    def test_a_long_run_does_not_drain(self) -> None:
        """Winners and makers gain, lost members are replaced, every unit is booked (LED-1)."""
        crowd = {
            "kind": "traders",
            "count": 200,
            "venue": "x",
            "wealth": 500.0,
            "wealth_sigma": 0.0,
        }
        crowd |= {
            "leverage": 15.0,
            "elasticity": 0.0,
            "entries_per_day": 300.0,
            "holding_time": 600.0,
        }
        rules = config(
            venue(fees={"taker": 0.0005}), steps=400, process={"kind": "gbm", "volatility": 1.0}
        )
        makers = {"kind": "makers", "count": 3, "venue": "x", "wealth": 1e5}
        busy = {
            "replacement_time": 600.0,
            "bankruptcy_threshold": 0.3,
            "margin_buffer": None,
            "withdrawal_threshold": 1.01,
            "withdrawal_time": 60.0,
        }
        drained, renewed = (
            ran(build(rules, [crowd | {"capital": capital}, makers]), 400)
            for capital in (None, busy)
        )
        wealth = [
            float(market.state.account_view(slice(0, 200)).equity.sum())
            for market in (drained, renewed)
        ]
        assert wealth[1] > 1.5 * wealth[0]
        steps = renewed.recorder.frames()["venues"]
        assert steps["deposits"].sum() > 0 < steps["withdrawals"].sum()
        cash = [
            int(market.ledger.balance[0, 0, market.state.external_owner])
            for market in (drained, renewed)
        ]
        assert cash[0] - cash[1] == steps["deposits"].sum() - steps["withdrawals"].sum()


class TestMarginCalls:
    """MAR-4 beside AGT-7: a fall of 4% on longs of 15 times, who are called at once."""

    START = 100_000

    def run(self, calls: dict[str, Any], **capital: Any) -> Market:
        crowd = {
            "kind": "traders",
            "count": 100,
            "venue": "x",
            "wealth": 1000.0,
            "wealth_sigma": 0.0,
            "entries_per_day": 0.0,
        }
        crowd |= {
            "leverage": 15.0,
            "leverage_sigma": 0.1,
            "elasticity": 0.0,
            "initial_entry_share": 1.0,
            "warm_up": 300.0,
        }
        crowd |= {"holding_time": 1e9, "long_share": 0.6, "capital": {"reaction": 300.0} | capital}
        makers = {"kind": "makers", "count": 3, "venue": "x", "wealth": 1e6}
        rules = config(
            venue(calls=calls),
            steps=60,
            stresses=[move(20, -0.04)],
            process={"kind": "gbm", "volatility": 0.3},
        )
        return ran(build(rules, [crowd, makers]), 60)

    def test_top_ups_and_calls_draw_on_one_wealth(self) -> None:
        calls = {"response_probability": 1.0, "delay": 600.0, "outside_multiple": 0.3}
        market = self.run(
            calls,
            margin_buffer=0.3,
            trim_probability=0.0,
            top_up_probability=0.5,
            outside_multiple=10.0,
        )
        steps, means = market.recorder.frames()["venues"], market.venues[0].outside_wealth[:100]
        assert steps["calls_met"].sum() > 0
        assert steps["calls_missed"].sum() > 0
        assert steps["deposits"].sum() == (0.3 * self.START - means).sum()
        assert (means >= 0).all()
        called_only = self.run(calls, margin_buffer=None).recorder.frames()["venues"]
        assert steps["deposits"].sum() > called_only["deposits"].sum() > 0, "some topped up unasked"

    @pytest.mark.parametrize("outside", [0.0, 0.1, 1.0])
    def test_calls_that_never_open_change_no_byte(self, outside: float) -> None:
        """Before the first call top-ups, newcomers and the fund are not bounded (MAR-4)."""
        capital = {
            "margin_buffer": 1.5,
            "reaction": 300.0,
            "trim_probability": 0.2,
            "top_up_probability": 0.6,
            "replacement_time": 300.0,
            "bankruptcy_threshold": 0.5,
        }
        crowd = {
            "kind": "traders",
            "count": 100,
            "venue": "x",
            "wealth": 1000.0,
            "leverage": 8.0,
            "elasticity": 0.0,
        }
        crowd |= {
            "initial_entry_share": 1.0,
            "warm_up": 300.0,
            "entries_per_day": 200.0,
            "holding_time": 600.0,
            "capital": capital,
        }
        makers = {"kind": "makers", "count": 3, "venue": "x", "wealth": 1e6}
        fund = {"kind": "insurance_fund", "venue": "x", "wealth": 500.0, "share": 0.05}
        process = {"kind": "gbm", "volatility": 0.3}
        found = []
        for calls in (None, {"call_threshold": 1e-9, "outside_multiple": outside}):
            market = ran(
                build(config(venue(calls=calls), steps=60, process=process), [crowd, makers, fund]),
                60,
            )
            found.append(market.recorder.frames())
        without, beside = found
        assert not beside["venues"]["calls"].any()
        assert without["venues"]["deposits"].sum() > 30_000_00, (
            "so much is paid in that a bound would show"
        )
        assert without["venues"]["fund"].iloc[-1] > 1000_00, (
            "kept at its share, above twice its start"
        )
        for name, frame in without.items():
            pd.testing.assert_frame_equal(frame, beside[name])

    def test_the_fund_spends_nothing_of_what_calls_are_met_from(self) -> None:
        crowd = {
            "kind": "traders",
            "count": 100,
            "venue": "x",
            "wealth": 1000.0,
            "leverage": 5.0,
            "initial_entry_share": 1.0,
        }
        makers = {"kind": "makers", "count": 3, "venue": "x", "wealth": 1e6}
        fund = {"kind": "insurance_fund", "venue": "x", "wealth": 500.0, "share": 0.05}
        market = ran(
            build(config(venue(calls={"outside_multiple": 2.0}), steps=30), [crowd, makers, fund]),
            30,
        )
        assert market.venues[0].outside_wealth[103] == 2 * 500_00

    def test_newcomers_bring_an_outside_wealth_of_their_own(self) -> None:
        calls = {"response_probability": 1.0, "delay": 0.0, "outside_multiple": 0.3}
        market = self.run(
            calls, margin_buffer=None, bankruptcy_threshold=0.99, replacement_time=60.0
        )
        assert market.recorder.frames()["venues"]["deposits"].sum() > 0
        assert (market.venues[0].outside_wealth[:100] >= 0).all()

    def test_who_misses_a_call_may_trim_and_is_liquidated_less(self) -> None:
        calls = {"response_probability": 0.0, "delay": 0.0}
        idle, busy = (
            self.run(calls, trim_probability=share, top_up_probability=0.0) for share in (0.0, 1.0)
        )
        frames = [market.recorder.frames() for market in (idle, busy)]
        assert min(each["venues"]["calls_missed"].sum() for each in frames) > 0
        assert frames[1]["steps"]["liquidated"].sum() < frames[0]["steps"]["liquidated"].sum()
        assert not sum(each["venues"]["deposits"].sum() for each in frames)
