"""Returns before the start (IDX-5): what engines and agents learn from them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twins import assert_same, build, run_twins

from agents.shared.signals import LogPriceTracker
from experiments.config import RunConfig, load_run
from sim.errors import ConfigError
from sim.margin.tail.volatility import RunningVolatility
from sim.market_path import draw_history, draw_path
from sim.numerics.rng import RandomStreams
from sim.prices.past import History, PastLengths, PastReturns, measure_past

pytestmark = pytest.mark.usefixtures("without_figures")

SMALL = ("duration=1800", "populations.0.count=60")


def configure(*overrides: str, engine: str = "fhs_es", run: str = "small_crash") -> RunConfig:
    return load_run(run, [f"venues.0.engine={{include: engines/{engine}}}", *SMALL, *overrides])


def draw(config: RunConfig, seed: int = 1) -> PastReturns:
    past = draw_history(config, RandomStreams(seed), {})
    assert past is not None
    return past


def test_an_engine_that_learned_before_the_start_is_not_flat() -> None:
    rates = {}
    for days in (0, 3):
        history = [f"history={{days: {days}}}"] if days else []
        market = build(configure(*history), seed=1)
        market.advance(10)
        rates[days] = 1 / market.venues[0].max_leverage_long[0]
        assert bool(market.list_opening_values()) == (days == 0)
    assert rates[0] == pytest.approx(0.05)  # the opening rate
    assert 0.01 < rates[3] < 0.049


@pytest.mark.parametrize("engine", ["fhs_var", "scaled"])
def test_compiled_steps_after_a_past_are_the_plain_ones(engine: str) -> None:
    config = configure("history={days: 5}", "populations.1.count=20", engine=engine)
    assert_same(*run_twins(config, steps=30, batches=(7, 11)))


def test_the_past_depends_on_seed_and_underlyings_alone() -> None:
    few = draw(configure("history={days: 4}"))
    other = draw(configure("history={days: 4}", engine="span"))
    for name, column in few._asdict().items():
        np.testing.assert_array_equal(column, other._asdict()[name])
    assert (few.near != draw(configure("history={days: 4}"), seed=2).near).any()
    assert few.near.shape == (3 * 1440, 1)
    assert (few.far.shape, few.far_steps) == ((1, 1), 1440)


def test_the_run_itself_keeps_its_draws() -> None:
    """The same index after the start, whatever came before it."""
    paths = [
        draw_path(configure(*history), RandomStreams(1), {}).log_price
        for history in ((), ("history={days: 2}",))
    ]
    np.testing.assert_array_equal(*paths)


def test_a_longer_past_ends_with_the_shorter_one() -> None:
    process = "underlyings.0.process={kind: gbm, volatility: 0.5}"
    short, long = (draw(configure(process, f"history={{days: {n}}}")) for n in (30, 600))
    np.testing.assert_array_equal(short.far, long.far[-len(short.far) :])
    np.testing.assert_array_equal(short.near, long.near)


def test_the_past_has_the_volatility_and_correlation_of_the_market() -> None:
    plain = [f"underlyings.{n}.process={{kind: gbm, volatility: {0.5 + n}}}" for n in range(2)]
    config = configure("history={days: 3000, recent: 864000}", *plain, run="two_coins")
    past = draw(config)
    for returns, steps in ((past.far, 1440), (past.near, 1)):
        volatility = returns.std(axis=0) * np.sqrt(365 * 1440 / steps)
        np.testing.assert_allclose(volatility, [0.5, 1.5], rtol=0.05)
    assert config.correlation is not None
    for returns in (past.far, past.near):
        found = np.corrcoef(returns, rowvar=False)[0, 1]
        assert found == pytest.approx(config.correlation[0][1], abs=0.1)


@given(st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=40), st.integers(1, 3))
def test_an_average_with_a_past_is_that_of_a_trader_who_saw_it(
    returns: list[float], half_lives: int
) -> None:
    lags, price = [600.0 * 2**n for n in range(half_lives)], np.array([50.0])
    moves = np.array(returns)[:, None]
    told, lived = LogPriceTracker(60.0, lags), LogPriceTracker(60.0, lags)
    told.learn_past(PastReturns(np.empty((0, 1)), moves, 1440), price, np.zeros(1, dtype=np.int64))
    levels = np.append(np.cumsum(moves[::-1], axis=0)[::-1], np.zeros((1, 1)), axis=0)
    for before in levels:
        lived.add_prices(price * np.exp(-before))
    np.testing.assert_allclose(told.averages, lived.averages, rtol=1e-12)
    np.testing.assert_allclose(told.variance, lived.variance, rtol=1e-12)
    assert np.exp(told.log_prices[0]) == pytest.approx(50.0)


def test_a_venue_begins_with_the_volatility_of_the_past() -> None:
    moves = 0.001 * np.random.default_rng(0).standard_normal((500, 2))
    told, lived = RunningVolatility(60.0), RunningVolatility(60.0)
    told.learn_past(moves[:400], 1)
    for row in moves[:400]:
        lived.learn(row)
    for row in moves[400:]:
        np.testing.assert_array_equal(told.learn(row), lived.learn(row))
    coarse = RunningVolatility(60.0)
    days = 0.03 * np.random.default_rng(0).standard_normal((4000, 1))
    mean = np.mean([coarse.learn_past(days[n : n + 40], 1440) for n in range(0, 4000, 40)])
    assert mean == pytest.approx(0.03 * np.sqrt(365), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "spacing", "seconds"),
    [
        ({"days": 600}, 86_400.0, 600 * 86_400.0),
        ({"days": 600}, 60.0, 259_200.0),
        ({"days": 600, "recent": 0}, 60.0, 0.0),
        ({"days": 600, "interval": 3600}, 7200.0, 600 * 86_400.0),
        ({"days": 600, "interval": 3600}, 5400.0, 259_200.0),
        ({"days": 2}, 60.0, 172_800.0),
        ({"days": 600}, np.inf, 600 * 86_400.0),
    ],
)
def test_an_estimator_has_the_past_that_it_can_add_up(
    settings: dict[str, Any], spacing: float, seconds: float
) -> None:
    lengths = measure_past(History(**settings), configure().underlyings, 60.0, {})
    assert isinstance(lengths, PastLengths)
    assert lengths.count_seconds(spacing) == seconds


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ("{days: 3, interval: 90}", "history.interval: 90 s is no whole number of steps"),
        ("{days: 3, interval: 172800}", "history.interval: 'btc': process.day: 86400 s"),
        ("{days: 100000, interval: 60}", "shorten days or recent, or raise interval"),
        ("{days: 3, sources: {eth: x.csv}}", "history.sources: 'eth' is not an underlying"),
    ],
)
def test_a_past_that_cannot_be_is_refused(history: str, said: str) -> None:
    overrides = () if "sources" in history else (f"history={history}",)
    config = configure(*overrides)
    if not overrides:
        config = config.model_copy(update={"history": History(days=3, sources={"eth": "x.csv"})})
    if "172800" in history:
        config = configure("history={days: 30, interval: 172800}")
    with pytest.raises(ConfigError, match="history") as refused:
        draw(config)
    assert said in str(refused.value)
