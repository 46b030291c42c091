"""Options: Black's formula against QuantLib and its plain twin, its inversion, smiles, expiry."""

import math
from typing import Any

import numpy as np
import pytest
import QuantLib as ql  # noqa: N813  (its own short name)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim.component import build_union
from sim.instruments import Asset, Instrument, build_contracts
from sim.pricing import instrument_values
from sim.pricing.black import (
    CALL,
    PUT,
    OptionTerms,
    compute_black76,
    compute_black76_greeks,
    compute_greeks,
    price_options,
    solve_black76_vol,
    solve_implied_vol,
)
from sim.pricing.smiles import SMILES, QuadraticSmile, SviSmile, apply_smiles
from sim.types import F8, MarketView

DAY = 86_400.0


def drawn(count: int, seed: int = 1, moneyness: float = 4.0) -> tuple[OptionTerms, F8, F8]:
    """Draw contracts at any price, for one day to three years, on and off the money."""
    rng = np.random.default_rng(seed)
    spot, rate, held = (
        np.exp(rng.uniform(0, 11, count)),
        rng.uniform(-0.02, 0.15, count),
        rng.uniform(-0.05, 0.1, count),
    )
    years, vol = rng.uniform(1 / 365, 3, count), rng.uniform(0.05, 2, count)
    forward = spot * np.exp((rate - held) * years)
    strike = forward * np.exp(vol * np.sqrt(years) * rng.uniform(-moneyness, moneyness, count))
    side = rng.choice([CALL, PUT], count).astype(float)
    return OptionTerms(forward, strike, years, rate, side), vol, spot


def test_quantlib_agrees() -> None:
    """Value and Greeks of 1,000 random contracts, each within 1e-8 of QuantLib's."""
    options, vols, spots = drawn(1_000)
    expected = []
    for forward, strike, years, rate, side, vol, spot in zip(*options, vols, spots, strict=True):
        right = ql.PlainVanillaPayoff(ql.Option.Call if side == CALL else ql.Option.Put, strike)
        theirs = ql.BlackCalculator(right, forward, vol * math.sqrt(years), math.exp(-rate * years))
        moves = (
            theirs.delta(spot),
            theirs.gamma(spot),
            theirs.vega(years),
            theirs.theta(spot, years),
        )
        expected.append([theirs.value(), *moves, theirs.rho(years)])
    np.testing.assert_allclose(
        np.array(compute_greeks(options, vols, spots)).T, expected, rtol=1e-8
    )
    np.testing.assert_allclose(price_options(options, vols), np.array(expected)[:, 0], rtol=1e-8)


def test_kernels_equal_their_plain_twins() -> None:
    options, vol, spot = drawn(300)
    options.years[:20] = 0.0  # type: ignore[index]
    vol[20:40] = 0.0
    worth = compute_black76(*options, vol)
    np.testing.assert_array_equal(worth, compute_black76.py_func(*options, vol))  # type: ignore[attr-defined]
    got, plain = (
        compute_black76_greeks(*options, vol, spot),
        compute_black76_greeks.py_func(*options, vol, spot),
    )  # type: ignore[attr-defined]
    np.testing.assert_array_equal(got, plain)
    found, plain = solve_black76_vol(*options, worth), solve_black76_vol.py_func(*options, worth)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found, plain)


def test_implied_volatility_is_the_volatility() -> None:
    options, vol, _ = drawn(5_000, moneyness=3.0)
    worth = price_options(options, vol)
    found = solve_implied_vol(options, worth)
    # deep in the money, a price carries little information on volatility
    informative = worth - price_options(options, 0.0) > 1e-6 * worth
    assert informative.mean() > 0.9
    np.testing.assert_allclose(found[informative], vol[informative], rtol=1e-7)
    repriced = price_options(options, found)[informative]
    np.testing.assert_allclose(repriced, worth[informative], rtol=1e-12)


@pytest.mark.parametrize(
    ("price", "years"),
    [
        (0.0, 1.0),
        (20.0, 1.0),
        (19.9, 1.0),
        (120.0, 1.0),
        (130.0, 1.0),
        (-1.0, 1.0),
        (25.0, 0.0),
        (math.nan, 1.0),
    ],
)
def test_prices_that_no_volatility_gives_have_none(price: float, years: float) -> None:
    """A call at 100 on a forward of 120: above 20, below 120, before expiry."""
    assert np.isnan(solve_implied_vol(OptionTerms(120, 100, years), price))


@given(
    forward=st.floats(0.01, 1e6),
    distance=st.floats(-2, 2),
    vol=st.floats(0, 5),
    years=st.floats(0, 5),
    rate=st.floats(-0.1, 0.5),
)
def test_calls_less_puts_are_forwards(
    forward: float, distance: float, vol: float, years: float, rate: float
) -> None:
    strike, discount = forward * math.exp(distance), math.exp(-rate * years)
    call, put = price_options(OptionTerms(forward, strike, years, rate, np.array([CALL, PUT])), vol)
    assert call - put == pytest.approx(
        discount * (forward - strike), abs=1e-12 * (forward + strike)
    )
    assert 0 <= call <= discount * forward * (1 + 1e-15)
    assert 0 <= put <= discount * strike * (1 + 1e-15)


def test_greeks_are_slopes() -> None:
    """Against central differences, the forward carried from spot at rate less yield."""
    spot, strike, vol, years, rate, held = 100.0, 110.0, 0.6, 0.4, 0.07, 0.02

    def at(spot: float = spot, vol: float = vol, years: float = years, rate: float = rate) -> float:
        return float(
            price_options(
                OptionTerms(spot * math.exp((rate - held) * years), strike, years, rate, PUT), vol
            )
        )

    got = compute_greeks(
        OptionTerms(spot * math.exp((rate - held) * years), strike, years, rate, PUT), vol, spot
    )
    step = 1e-4
    assert got.delta == pytest.approx(
        (at(spot=spot + step) - at(spot=spot - step)) / (2 * step), rel=1e-6
    )
    assert got.gamma == pytest.approx(
        (at(spot=spot + 0.01) - 2 * at() + at(spot=spot - 0.01)) / 1e-4, rel=1e-5
    )
    assert got.vega == pytest.approx(
        (at(vol=vol + step) - at(vol=vol - step)) / (2 * step), rel=1e-6
    )
    assert got.theta == pytest.approx(
        (at(years=years - step) - at(years=years + step)) / (2 * step), rel=1e-6
    )
    assert got.rho == pytest.approx(
        (at(rate=rate + step) - at(rate=rate - step)) / (2 * step), rel=1e-6
    )


def test_at_expiry_greeks_are_those_of_the_payoff() -> None:
    call, put = (
        compute_greeks(OptionTerms(120.0, 100.0, 0.0, 0.1, side), 0.5) for side in (CALL, PUT)
    )
    assert (call.value, call.delta, call.gamma, call.vega) == (20, 1, 0, 0)
    assert (put.value, put.delta, put.gamma, put.vega) == (0, 0, 0, 0)


# Smiles


def test_svi_by_hand() -> None:
    """w(0.5) = 0.04 + 0.4 (-0.4 x 0.4 + sqrt(0.16 + 0.09)) = 0.176."""
    smile = SviSmile(underlying="BTC", expiry=DAY, a=0.04, b=0.4, rho=-0.4, m=0.1, sigma=0.3)
    assert smile.compute_vol(0.5, 0.44) == pytest.approx(math.sqrt(0.176 / 0.44), rel=1e-15)


def test_a_parabola_keeps_its_floor() -> None:
    smile = QuadraticSmile(
        underlying="BTC", expiry=DAY, level=0.5, skew=-2.0, curvature=1.0, floor=0.1
    )
    np.testing.assert_allclose(smile.compute_vol([-0.1, 0.0, 0.5], 1.0), [0.71, 0.5, 0.1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "svi", "a": -0.5, "b": 0.1, "rho": 0, "sigma": 0.1}, "above 0: raise a"),
        ({"kind": "svi", "a": 0.5, "b": 1.9, "rho": 0.5, "sigma": 0.1}, "may not exceed 2"),
        ({"kind": "svi", "a": 0.5, "b": 1.0, "rho": 1, "sigma": 0.1}, "less than 1"),
        ({"kind": "quadratic", "level": -0.5}, "greater than 0"),
    ],
)
def test_smiles_that_are_none_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(build_union(SMILES)).validate_python(
            {"underlying": "BTC", "expiry": 1, **wrong}
        )


# Instruments


def listed(*instruments: dict[str, Any]) -> MarketView:
    """A view of instruments on one underlying at 100, each marked there."""
    grain = {"underlying": "BTC", "tick": 0.5, "lot": 0.1, "max_price": 10_000}
    components = [(0, Instrument.model_validate({**grain, **each})) for each in instruments]
    contracts = build_contracts(components, ["BTC"], [Asset(name="USD")])
    count = len(contracts.names)
    flat, whole = np.full(count, 200.0), np.zeros(count, dtype=np.int64)
    return MarketView(
        *(0, contracts, flat, flat, flat, flat, flat, flat, whole, np.array([100.0]), np.ones(1)),
        *(np.full(count, 0.6), np.ones(1), np.zeros((0, 1))),
        seconds=10 * DAY,
    )


PERP = {"name": "P"}
FUTURE = {"name": "F", "kind": "future", "expiry": 100 * DAY}
OPTION = {"name": "C", "kind": "option", "expiry": 83 * DAY, "strike": 110, "option": "call"}


def test_what_is_linear_moves_in_proportion_and_options_by_the_formula() -> None:
    market = listed(PERP, FUTURE, OPTION, {**OPTION, "name": "P2", "option": "put"})
    market = market._replace(rate=np.full(4, 0.1))
    got = instrument_values.value_instruments(
        market, np.array([[100.0], [120.0]]), np.array([[0.6] * 4, [0.9] * 4])
    )
    years = 73 / 365
    forward = np.array([100.0, 120.0]) * math.exp(0.1 * years)
    np.testing.assert_allclose(got[:, :2], [[200, 200], [240, 240]])
    for column, side in ((2, CALL), (3, PUT)):
        worth = price_options(OptionTerms(forward, 110, years, 0.1, side), [0.6, 0.9])
        np.testing.assert_allclose(got[:, column], worth / 0.5)


def test_what_is_settled_of_a_forward_moves_no_more() -> None:
    """Twenty of the sixty minutes of averaging are left: a third of a move of 30% counts."""
    market = listed(OPTION)._replace(seconds=83 * DAY - 1_200.0, forward=np.array([115.0]))
    got = instrument_values.value_instruments(
        market, np.array([[130.0]]), np.array([[0.6]]), averaging=3_600.0
    )
    worth = price_options(OptionTerms(115 * 1.1, 110, 1_200 / instrument_values.YEAR_SECONDS), 0.6)
    np.testing.assert_allclose(got, [[worth / 0.5]])


def test_a_shifted_market_is_marked_at_its_values() -> None:
    market = instrument_values.mark_at_model(listed(PERP, OPTION))
    moved = instrument_values.shift_underlying(market, 0, 0.8)
    np.testing.assert_allclose(moved.oracle, [80.0])
    np.testing.assert_allclose(
        moved.mark,
        instrument_values.value_instruments(market, np.array([[80.0]]), market.vol[None])[0],
    )
    np.testing.assert_allclose(instrument_values.shift_underlying(moved, 0, 1.25).mark, market.mark)
    np.testing.assert_array_equal(market.replace_mark(1, 7.0).mark, [200.0, 7.0])


def test_sensitivities_of_linear_legs_and_options() -> None:
    market = listed(PERP, OPTION)._replace(mark=np.array([202.0, 200.0]))
    got = instrument_values.compute_sensitivities(market)
    option = compute_greeks(OptionTerms(100, 110, 73 / 365), 0.6)
    np.testing.assert_allclose(got.delta, [1.01, option.delta])
    np.testing.assert_allclose(got.vega, [0.0, option.vega])
    np.testing.assert_allclose(got.value, [101.0, option.value])


def test_expiry_settles_at_the_payoff() -> None:
    contracts = listed(PERP, FUTURE, OPTION, {**OPTION, "name": "P2", "option": "put"}).contracts
    np.testing.assert_array_equal(
        instrument_values.compute_settlement(contracts, np.array([120.0])),
        [np.nan, 240.0, 20.0, 0.0],
    )
    np.testing.assert_array_equal(
        instrument_values.compute_settlement(contracts, np.array([90.0])),
        [np.nan, 180.0, 0.0, 40.0],
    )
    late = listed(OPTION)._replace(seconds=90 * DAY)
    np.testing.assert_allclose(
        instrument_values.value_instruments(late, np.array([[120.0]]), late.vol[None]), [[20.0]]
    )


def test_smiles_give_options_their_volatility() -> None:
    market = listed(PERP, OPTION, {**OPTION, "name": "L", "expiry": 84 * DAY})
    smile = QuadraticSmile(underlying="BTC", expiry=83 * DAY, level=0.5, skew=1.0)
    np.testing.assert_allclose(apply_smiles(market, [smile]).vol, [0.6, 0.5 + math.log(1.1), 0.6])


@pytest.mark.parametrize(
    ("instrument", "message"),
    [
        ({**OPTION, "strike": None}, "strike: missing; 'C' is of kind 'option'"),
        ({**OPTION, "strike": -5}, "greater than 0"),
        ({**PERP, "expiry": 5}, "expiry: 5.0, 'P' is of kind 'perpetual' and has none: remove it"),
        ({**FUTURE, "option": "put"}, "option: 'put', 'F' is of kind 'future' and has none"),
    ],
)
def test_terms_fit_the_kind(instrument: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        listed(instrument)
