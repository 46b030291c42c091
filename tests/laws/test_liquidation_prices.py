"""Liquidation prices: the nearest root on each side, and closed forms of venues."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vectors.accounts import Account, Leg, bracket, tiered

from sim.liquidation import drift, dydx, hyperliquid, inverse
from sim.liquidation.bankruptcy import compute_bankruptcy_prices
from sim.liquidation.prices import find_liquidation_prices, find_liquidation_ticks
from sim.liquidation.windows import find_negative_intervals
from sim.margin.engine import EngineConfig
from sim.margin.tiers.edges import find_tier_edges
from sim.reading.loading import load_config
from sim.types import MISSING, MarginAssessment
from sim.waterfall.insurance import compute_fund_gain

few = settings(max_examples=10, deadline=None)


def test_the_nearest_root_on_each_side_and_none() -> None:
    """Excess (P - 90)(P - 110)(P - 130) from 100, where it is positive; dips count."""
    account = Account(1.0, {"X": Leg(1.0, 100.0)}, {}, decimals=0)
    contracts = account.book.market.contracts._replace(max_price=np.array([1000]))
    book = account.book._replace(market=account.book.market._replace(contracts=contracts))

    def assess(book: Any) -> MarginAssessment:
        price = book.market.mark * account.tick
        return MarginAssessment(
            ((price - 90) * (price - 110) * (price - 130)), np.zeros(1), np.zeros(1)
        )

    below, above = find_liquidation_prices(assess, book, 0)
    assert (below, above) == (pytest.approx(90), pytest.approx(110))

    def narrow(book: Any) -> MarginAssessment:
        return MarginAssessment((book.market.mark - 70.01) ** 2 - 0.001, np.zeros(1), np.zeros(1))

    below, above = find_liquidation_prices(narrow, book, 0)
    assert below == pytest.approx(70.01 + math.sqrt(0.001))
    assert math.isnan(above)


def test_a_window_between_two_tiers_is_found() -> None:
    """A rate for the whole position jumps where its tier begins; 3% further the long is healthy."""
    account = Account(1.0, {"X": Leg(1.0, 100.0)}, {}, decimals=0)
    contracts = account.book.market.contracts._replace(max_price=np.array([10**6]))
    book = account.book._replace(
        market=account.book.market._replace(contracts=contracts, mark=np.array([100.0]))
    )

    def assess(book: Any) -> MarginAssessment:
        mark = book.market.mark
        return MarginAssessment(mark - 90, np.zeros(1), np.where(mark < 173, 0.01, 0.5) * mark)

    assert find_liquidation_ticks(assess, book, 0) == (90, 173)


def test_windows_of_broken_lines() -> None:
    """Dips a thousandth of the grid wide are found if they hold a point of it."""
    points = np.unique(np.append(np.linspace(0, 10, 41), [3.3, 7.1]))

    def curve(x: Any) -> Any:
        dip = np.minimum(np.abs(x - 3.3) - 1e-3, 0) * 500
        return 0.2 + dip - 2.0 * ((x > 7) & (x < 7.2)) - 1.0 * (x > 9.87)

    found = find_negative_intervals(curve, points, 1e-9)
    expected = [(3.3 - 6e-4, 3.3 + 6e-4), (7, 7.2), (9.87, 10)]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert all(curve(np.array(window)).max() < 0 for window in found)
    assert find_negative_intervals(lambda x: 0 * x, points, 1e-9) == []
    assert find_negative_intervals(lambda x: x - 20, points, 1e-9) == [(0, 10)]


def test_an_account_without_debt_has_no_liquidation_price() -> None:
    paid_up = Account(
        200.0, {"X": Leg(1.0, 100.0)}, {"requirement": tiered(bracket(0.01))}, decimals=0
    )
    assert find_liquidation_ticks(paid_up.engine.assess, paid_up.book, 0).below == MISSING
    assert paid_up.liquidation_price() is None


sides = st.sampled_from([1.0, -1.0])
money = st.floats(0.05, 0.9)


@few
@given(
    side=sides,
    entry=st.integers(10, 10**5),
    share=money,
    rate=st.floats(0.002, 0.02),
    amount=st.integers(0, 50),
)
def test_binance_closed_form(
    side: float, entry: int, share: float, rate: float, amount: int
) -> None:
    """LP = (WB + cum - s q EP) / (q mmr - s q), if the bracket holds at LP (FAQ b3c689c1f50a)."""
    wallet, quantity = round(share * entry * 10, 2), 10.0
    account = Account(
        wallet, {"X": Leg(side * quantity, entry)}, {"requirement": tiered(bracket(rate, amount))}
    )
    expected = (wallet + amount - side * quantity * entry) / (quantity * rate - side * quantity)
    got = account.liquidation_price()
    if got is not None and expected * quantity * rate > amount:
        assert got == pytest.approx(expected, rel=1e-9)


@few
@given(side=sides, share=money)
def test_tiers_crossed_on_the_way_count(side: float, share: float) -> None:
    """The root stands in the tier of its own notional, not of the present one."""
    ladder = [
        {"floor": 0, "max_leverage": 50},
        {"floor": 900, "max_leverage": 10},
        {"floor": 1_200, "max_leverage": 2},
    ]
    account = Account(share * 1000, {"X": Leg(side * 10, 100.0)}, {"requirement": tiered(ladder)})
    price = account.liquidation_price()
    assert price is not None
    notional = 10 * price
    rates, amounts = [0.01, 0.05, 0.25], [0.0, 900 * 0.04, 900 * 0.04 + 1_200 * 0.2]
    kept = max(rate * notional - amount for rate, amount in zip(rates, amounts, strict=True))
    assert share * 1000 + side * 10 * (price - 100.0) == pytest.approx(kept, abs=1e-6)


@few
@given(
    side=sides, leverage=st.integers(2, 100), rate=st.floats(0.001, 0.009), extra=st.floats(0, 3)
)
def test_bybit_closed_form(side: float, leverage: int, rate: float, extra: float) -> None:
    """EP - s ((IM - MM) + extra) / q with margin at entry (help centre, USDT contracts)."""
    leg = {"X": Leg(side * 2.0, 100.0, leverage=leverage)}
    engine = {"requirement": {"kind": "at_entry", "inner": tiered(bracket(rate))}}
    account = Account(200 / leverage + extra, leg, engine)
    expected = 100 - side * (200 / leverage - 200 * rate + extra) / 2
    got = account.liquidation_price()
    assert got == pytest.approx(expected, rel=1e-9) if expected > 0 else got is None


@few
@given(side=sides, share=money, slip=st.floats(0, 0.01), factor=st.floats(0.001, 0.04))
def test_vega_closed_form(side: float, share: float, slip: float, factor: float) -> None:
    """(collateral - V mark) / (|V| (slippage + factor) - V), as in margins_calculation.go."""
    rule = {"kind": "lognormal", "factors": (factor, factor), "slippage": slip}
    account = Account(share * 2_000, {"X": Leg(side * 2.0, 1_000.0)}, {"requirement": rule})
    got, expected = (
        account.liquidation_price(),
        (share * 2_000 - side * 2_000) / (2 * (slip + factor) - side * 2),
    )
    assert got == pytest.approx(expected, rel=1e-9)


@few
@given(
    side=sides, entry=st.floats(10, 1e5), balance=st.floats(0.001, 0.4), rate=st.floats(0.001, 0.02)
)
def test_inverse_prices_are_where_the_coin_is_gone(
    side: float, entry: float, balance: float, rate: float
) -> None:
    """The profit in the coin at each price, put in again."""
    size, fee = 10_000.0, 0.00075
    coins = balance * size / entry  # of the position's value
    held = inverse.InversePosition(np.array(size), np.array(entry), np.array(coins), np.array(side))
    bankrupt = float(inverse.compute_cross_bankruptcy(held, fee))
    liquidated = float(inverse.compute_cross_liquidation(held, rate, fee))

    def equity(price: float) -> float:
        return coins + side * size * (1 / entry - 1 / price)

    assert equity(bankrupt) == pytest.approx(size * fee / bankrupt, abs=1e-9 * size / entry)
    assert equity(liquidated) == pytest.approx(
        rate * size / entry + size * fee / bankrupt, abs=1e-9 * size / entry
    )
    isolated = float(inverse.compute_isolated_liquidation(entry, 10.0, side, rate=rate))
    assert side * size * (1 / entry - 1 / isolated) == pytest.approx((rate - 0.1) * size / entry)


def test_an_inverse_short_that_its_coins_cover_is_never_bankrupt() -> None:
    short = np.array(-1.0)
    assert inverse.compute_isolated_bankruptcy(np.array(100.0), np.array(1.0), short) == math.inf
    covered = inverse.InversePosition(np.array(100.0), np.array(100.0), np.array(2.0), short)
    assert inverse.compute_cross_bankruptcy(covered, fee=0.0) == math.inf


# dYdX: for any engine, closing a whole position at its bankruptcy quote is LIQ-2


@few
@given(quote=st.integers(-6_000, -4_000), parts=st.integers(1, 10))
def test_dydx_bankruptcy_quote_in_parts(quote: int, parts: int) -> None:
    """Ten tenths cost as much as the whole, up to a quantum each; the fund never pays rounding."""
    requirement = {"kind": "open_interest", "initial": 0.1, "fraction": 1.0, "upper": 0}
    account = Account(
        quote + 5_000.0,
        {"X": Leg(1.0, 5_000.0, part=0.1)},
        {"requirement": requirement},
        decimals=6,
    )
    whole = dydx.compute_bankruptcy_quote(
        account.engine.assess, account.book, 0, -account.book.position[:, 0]
    )
    part = dydx.compute_bankruptcy_quote(
        account.engine.assess, account.book, 0, np.array([-parts], dtype=np.int64)
    )
    assert 0 <= part[0] - whole[0] * parts / 10 < 1
    price = compute_bankruptcy_prices(
        account.book, account.risk.equity, account.engine.compute_leg_shares(account.book)
    )[0, 0]
    assert whole[0] == pytest.approx(price * account.book.position[0, 0])
    limits = dydx.compute_fillable_prices(
        account.book, account.risk, account.engine.compute_leg_shares(account.book)
    )
    assert limits[0, 0] <= account.book.market.mark[0]


def test_insurance_is_capped_where_it_gains_only() -> None:
    received, due = np.array([1_000, 1_000, -1_000, -1_000]), np.array([900, 1_100, -1_100, -900])
    np.testing.assert_array_equal(compute_fund_gain(received, due, 0.005), [5, -100, 5, -100])
    huge = np.array([9_000_000_000_000_001])
    assert compute_fund_gain(huge, huge - huge // 10, 0.005)[0] == int(huge[0]) * 5_000 // 1_000_000


def test_hyperliquid_stages() -> None:
    risk = MarginAssessment(
        np.array([10.0, 9.0, 6.7, 6.6, 0.0, -0.1]), np.full(6, 20.0), np.full(6, 10.0)
    )
    assert hyperliquid.classify_stages(risk).tolist() == [0, 1, 1, 2, 2, 3]
    share = hyperliquid.compute_first_share(
        np.array([50.0, 150.0, 150.0]), np.array([False, False, True]), threshold=100.0
    )
    assert share.tolist() == [1.0, 0.2, 1.0]


@few
@given(shortage=st.floats(1, 1e6), ratio=st.floats(0.05, 0.5), price=st.floats(0.1, 1e5))
def test_drift_closes_just_enough(shortage: float, ratio: float, price: float) -> None:
    amount = float(
        drift.compute_base_to_cover(
            np.array(shortage), ratio, price, quote=0.99, fees=(0.01, 0.005)
        )
    )
    assert amount * price * (0.99 * (ratio - 0.01) - 0.005) == pytest.approx(shortage)
    assert (
        drift.compute_base_to_cover(np.array(shortage), 0.015, price, fees=(0.01, 0.005))
        == math.inf
    )


def test_drift_share_grows_and_small_shortages_go_whole() -> None:
    share = drift.compute_max_share(
        np.array([0.0, 75.0, 900.0, 0.0]),
        np.array([1e3, 1e3, 1e3, 49.0]),
        initial=0.1,
        duration=150,
    )
    assert share.tolist() == pytest.approx([0.1, 0.6, 1.0, 1.0])


OKX = [(0, 4), (50_000, 5), (300_000, 10), (1_200_000, 15), (2_400_000, 20)]
OKX += [(3_600_000, 25), (4_800_000, 30), (6_000_000, 35), (7_200_000, 40), (8_400_000, 45)]


@pytest.mark.parametrize("maintenance", ["step", "marginal"])
@settings(max_examples=25, deadline=None)
@given(side=sides, size=st.floats(4.8, 6.9), share=st.floats(0.06, 0.4))
@example(side=1.0, size=6.78871, share=0.2423)
def test_where_margin_jumps_the_nearest_price_is_found(
    maintenance: str, side: float, size: float, share: float
) -> None:
    """A falling long is liquidatable just above a floor and healthy at it, as a search confirms."""
    rule = load_config(
        "engines/okx", [f"requirement.inner.maintenance_rule={maintenance}"], EngineConfig
    ).requirement
    quantity, wallet = round(10**size / 100, 1), round(share * 10**size, 2)
    engine = {"requirement": rule.model_dump()}
    account = Account(wallet, {"X": Leg(side * quantity, 100.0)}, engine)
    marks = 100 * np.exp(np.linspace(0, -0.6 if side > 0 else 0.6, 100_001))
    notional, off = quantity * marks, 0.0
    kept = np.zeros(marks.size)
    for number, (floor, rate) in enumerate(OKX):
        off += floor * (rate - OKX[max(number - 1, 0)][1]) / 1_000 * (maintenance == "marginal")
        kept = np.where(notional > floor, notional * rate / 1_000 - off, kept)
    bad = np.flatnonzero(wallet + side * quantity * (marks - 100) - kept - 0.0005 * notional < 0)
    also = (
        find_tier_edges(account.engine.requirement, account.book)[0] * account.book.market.mark[0]
    )
    below, above = find_liquidation_prices(account.engine.assess, account.book, 0, also)
    got = account.price(below if side > 0 else above)
    assert 0 < bad[0] < marks.size
    assert got == pytest.approx(marks[bad[0]], rel=1e-5)
