"""Close-out policies: LIQ-1, LIQ-2, LIQ-5."""

import numpy as np
import pytest
from build import distress, exposure
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.checks.liquidation_policies import LAWS, make_policy_world
from sim.liquidation import LIQUIDATIONS
from sim.liquidation.bankruptcy import compute_bankruptcy_prices, compute_limit_prices
from sim.liquidation.fraction import FractionalCloseOut
from sim.liquidation.full import FullCloseOut
from sim.types import SPOT, Exposure, MarginAssessment

OFFERED = 10**9


def risk_of(book: Exposure, rate: float = 0.05) -> MarginAssessment:
    gross = np.abs(book.position_value()).sum(axis=1)
    return MarginAssessment(book.equity(), 2 * rate * gross, rate * gross)


def by_notional(book: Exposure) -> np.ndarray:
    gross = np.abs(book.position_value())
    return gross / np.maximum(gross.sum(axis=1, keepdims=True), 1)


@st.composite
def books(draw):
    k = draw(st.integers(1, 5))
    marks = draw(st.lists(st.integers(50_000, 5_000_000), min_size=k, max_size=k))
    units = draw(st.lists(st.integers(1, 1000), min_size=k, max_size=k))
    lots = st.integers(-10_000, 10_000)
    position = draw(st.lists(lots, min_size=k, max_size=k).filter(any))
    equity = draw(st.integers(-(10**9), 10**9))
    cash = equity - sum(q * m * u for q, m, u in zip(position, marks, units, strict=True))
    book = exposure([position], marks, [cash], multiplier=units)
    raw = np.array(draw(st.lists(st.floats(0.01, 1), min_size=k, max_size=k))) * (
        np.array(position) != 0
    )
    return book, (raw / raw.sum())[None, :]


@given(books())
@settings(max_examples=300, deadline=None)
def test_closing_every_leg_at_its_limit_leaves_nil_within_a_tick_lot_per_leg(case):
    """LIQ-2: to the last unit, in whole numbers."""
    book, weights = case
    equity = book.equity()
    price = compute_limit_prices(book, equity, weights)
    units, lots = book.market.contracts.multiplier, book.position
    left = int(book.balance[0, 0]) + sum(int(x) for x in (lots * price * units)[0])
    if ((price > 1) & (price < OFFERED)).all():
        assert 0 <= left <= int((np.abs(lots) * units).sum())
    unrounded = compute_bankruptcy_prices(book, equity, weights)
    assert np.array_equal(np.isnan(unrounded), lots == 0)
    residual = float(book.balance[0, 0]) + np.nansum(lots * unrounded * units)
    assert abs(residual) <= 1e-9 * np.abs(book.position_value()).sum()


def test_bankruptcy_price_of_a_published_linear_position():
    """Bybit's article on ADL (copy): 100 contracts at 500, margin 1000 and wallet 100: 489."""
    book = exposure([[100]], [500], [1100 - 100 * 500])
    assert compute_bankruptcy_prices(book, book.equity(), np.ones((1, 1)))[0, 0] == 489.0
    assert compute_limit_prices(book, book.equity(), np.ones((1, 1)))[0, 0] == 489


def test_weights_that_sum_to_a_little_more_than_one_do_not_overspend():
    book = exposure([[1, 1]], [3 * 10**9] * 2, [-(10**9)], max_price=10**10)
    price = compute_limit_prices(book, book.equity(), np.array([[0.5, 0.5 + 4e-10]]))
    assert price.tolist() == [[500_000_000, 500_000_000]]
    assert price.sum() + book.balance.sum() == 0


def test_limits_are_quotable_prices():
    book = exposure([[1], [-1]], [10], [0, 10**9], max_price=100)
    assert compute_limit_prices(
        book, np.array([10.0**6, 10.0**6]), np.ones((2, 1))
    ).ravel().tolist() == [1, 100]


def test_settlement_in_another_asset_counts_at_its_price():
    book = exposure([[10]], [100], [[0, -900]], settle=1, price=(1.0, 0.5))
    assert book.equity()[0] == 50.0
    assert compute_bankruptcy_prices(book, book.equity(), np.ones((1, 1)))[0, 0] == 90.0


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("name", LIQUIDATIONS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_every_policy_keeps_every_law(name, law, seed):
    law.check(LIQUIDATIONS[name](), make_policy_world(seed))


@pytest.mark.parametrize("name", LIQUIDATIONS)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_most_distressed_are_closed_out_first(name, seed):
    rng = np.random.default_rng(seed)
    position = rng.integers(-50, 51, (40, 3))
    marks = np.array([1000, 2000, 3000])
    book = exposure(position, marks, rng.integers(-3000, 12_000, 40) - position @ marks, tick=7)
    risk = risk_of(book)
    plan = (
        LIQUIDATIONS[name]().bind(60.0).plan_close_outs(risk, distress(40), book, by_notional(book))
    )
    held = book.position[plan.account, plan.instrument]
    assert (np.sign(plan.quantity) == -np.sign(held)).all()
    assert (np.abs(plan.quantity) <= np.abs(held)).all()
    assert risk.liquidatable[plan.account].all()
    cover = (risk.equity / np.maximum(risk.maintenance, 1e-9))[plan.account]
    assert (np.diff(cover) >= 0).all()


def test_nothing_is_planned_in_a_calm_market():
    book = exposure([[1]] * 3, [100], [0] * 3)
    assert not len(
        FullCloseOut().plan_close_outs(risk_of(book), distress(3), book, np.ones((3, 1))).account
    )


def three(
    tick: int = 10, equities: tuple[int, ...] = (3, 1, 2)
) -> tuple[Exposure, MarginAssessment, np.ndarray]:
    """Three longs of 10 lots at 100 (maintenance 50), all liquidatable."""
    book = exposure([[10]] * 3, [100], np.array(equities) - 1000, tick=tick)
    return book, risk_of(book), np.ones((3, 1))


def test_capacity_serves_the_most_distressed_first_and_counts_the_step():
    book, risk, weights = three()
    desk = FullCloseOut(capacity=2)
    assert desk.plan_close_outs(risk, distress(3), book, weights).account.tolist() == [1, 2]
    # account 1 was acted on in this step: it may go on, and one more may join it
    assert desk.plan_close_outs(
        risk, distress(3, acted=[-1, 10, -1]), book, weights
    ).account.tolist() == [1, 2]
    assert desk.plan_close_outs(
        risk, distress(3, acted=[-1, 10, 10]), book, weights
    ).account.tolist() == [1, 2]
    assert desk.plan_close_outs(
        risk, distress(3, acted=[10, 9, 10]), book, weights
    ).account.tolist() == [2, 0]


def test_delay_is_seconds_rounded_up_to_steps():
    book, risk, weights = three(tick=10)
    desk = FullCloseOut(delay=90.0).bind(60.0)  # two steps
    assert desk.plan_close_outs(
        risk, distress(3, since=[10, 9, 8]), book, weights
    ).account.tolist() == [2]
    assert not len(desk.plan_close_outs(risk, distress(3), book, weights).account)
    assert FullCloseOut(delay=0.3).bind(0.1).plan_close_outs(
        risk, distress(3, since=7), book, weights
    ).account.tolist() == [1, 2, 0]


def test_the_bankrupt_are_asked_once_a_step_others_every_round():
    book, risk, weights = three(equities=(-3, 1, -2))
    assert FullCloseOut().plan_close_outs(
        risk, distress(3, acted=10), book, weights
    ).account.tolist() == [1]
    assert FullCloseOut().plan_close_outs(
        risk, distress(3, acted=9), book, weights
    ).account.tolist() == [0, 2, 1]
    assert FullCloseOut().plan_close_outs(
        risk, distress(3, acted=9), book, weights
    ).limit.tolist() == [101, 101, 100]
    assert not len(
        FullCloseOut(cooldown=60.0)
        .bind(60.0)
        .plan_close_outs(risk, distress(3, acted=10), book, weights)
        .account
    )


def test_fraction_takes_its_share_then_waits():
    book, risk, weights = three()
    desk = FractionalCloseOut(share=0.25, cooldown=30.0).bind(10.0)
    assert desk.plan_close_outs(risk, distress(3), book, weights).quantity.tolist() == [-2, -2, -2]
    assert desk.plan_close_outs(
        risk, distress(3, acted=[8, 7, 9]), book, weights
    ).account.tolist() == [1]


def test_fraction_closes_at_least_one_lot_and_whole_below_its_thresholds():
    book = exposure([[1, 0], [10, -10], [10, 0]], [100, 100], [-98, 5, -1010], tick=4)
    risk, weights = risk_of(book), by_notional(book)
    desk = FractionalCloseOut(share=0.1).bind(60.0)
    plan = desk.plan_close_outs(risk, distress(3, acted=4), book, weights)
    assert not len(plan.account)  # all are in the cooldown, and the bankrupt one was closed out
    plan = desk.plan_close_outs(risk, distress(3, acted=3), book, weights)
    assert plan.account.tolist() == [2, 1, 1, 0]
    assert plan.quantity.tolist() == [-10, -1, 1, -1]
    whole = desk.model_copy(update={"full_below_coverage": 0.1}).plan_close_outs(
        risk, distress(3, acted=4), book, weights
    )
    assert whole.quantity.tolist() == [-10, 10]
    small = desk.model_copy(update={"small_notional": 150.0}).plan_close_outs(
        risk, distress(3, acted=4), book, weights
    )
    assert small.account.tolist() == [0]


def test_spot_is_closed_only_if_the_engine_asks_margin_for_it():
    book = exposure([[10, 5]], [100, 100], [-1495], kind=[0, SPOT])
    risk = risk_of(book)
    assert FullCloseOut().plan_close_outs(
        risk, distress(1), book, np.array([[1.0, 0.0]])
    ).instrument.tolist() == [0]
    assert FullCloseOut().plan_close_outs(
        risk, distress(1), book, np.array([[0.7, 0.3]])
    ).instrument.tolist() == [0, 1]


def test_binding_leaves_the_configured_policy_untouched():
    desk = FullCloseOut(delay=60.0)
    assert desk.bind(60.0) is not desk
    assert desk.model_dump() == desk.bind(10.0).model_dump()
