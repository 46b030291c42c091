"""A year of the run's clock is the time its market is open: rates per year do not depend on it."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.config import load_run
from experiments.price_files.bars import read_replays
from experiments.price_files.return_series import ReturnSeries
from experiments.simulation import simulate_market
from sim.margin.realised_volatility import RealisedVolatility
from sim.margin.tail.margin_path import build_perpetuals, iterate_views
from sim.margin.tail.volatility import RunningVolatility
from sim.prices.bars import validate_bars
from sim.prices.path import find_year_lengths
from sim.pricing.instrument_values import YEAR_SECONDS, find_seconds_per_year
from sim.types import NOT_GIVEN


@pytest.mark.parametrize(("day", "days"), [(86_400.0, 365.0), (23_400.0, 252.0), (82_800.0, 252.0)])
def test_volatility_is_that_of_the_year_on_any_clock(day: float, days: float) -> None:
    """Returns of 40% a year, a minute each of a market open for so long: both estimates say 40%."""
    year = day * days
    returns = np.random.default_rng(1).normal(0, 0.4 * math.sqrt(60 / year), (30_000, 1))
    first = next(iterate_views(returns, 60.0))._replace(clock=np.array([year]))
    running, realised = (
        RunningVolatility(60.0, find_seconds_per_year(first), half_life=3e5),
        RealisedVolatility(build_perpetuals(1), 3e5, 0.4),
    )
    for row in returns:
        (reported,) = running.learn(row)
    realised.observe(first._replace(returns=returns))
    # a half-life of 5,000 returns counts 14,400 of them: a deviation of 0.6%
    assert reported == pytest.approx(0.4, rel=0.025)
    assert realised.volatility[0] == pytest.approx(0.4, rel=0.025)


def test_a_clock_that_is_not_given_is_365_days() -> None:
    view = next(iterate_views(np.zeros((2, 3)), 60.0))
    assert view.clock is NOT_GIVEN
    assert (find_seconds_per_year(view) == YEAR_SECONDS).all()


@pytest.mark.parametrize(
    ("name", "words", "year"),
    [
        ("crash_2008", ["duration=1200"], 252 * 23_400),
        ("oil_2014", ["duration=3000"], 252 * 82_800),
        ("baseline", ["duration=600"], YEAR_SECONDS),
    ],
)
def test_markets_know_their_clock(name: str, words: list[str], year: float) -> None:
    """Volatility is the root mean square of the oracle's returns, on the market's own year."""
    config = load_run(name, [*words, "profile_every=0", "populations.0.count=50"])
    market = simulate_market(config, read_replays(config.underlyings))
    view = market.venues[0].view
    assert find_seconds_per_year(view).tolist() == [year] * len(view.mark)
    square = float(np.square(view.returns[:, 0]).mean()) * year / config.dt
    assert float(view.vol[0]) == pytest.approx(
        math.sqrt(square), rel=0.02
    )  # the half-life is far longer than the run


def test_a_backtest_counts_the_days_that_its_market_trades() -> None:
    returns = np.zeros((10, 1))
    dates = pd.bdate_range("2024-01-01", periods=10).to_numpy().astype("datetime64[D]")
    assert ReturnSeries(("a",), dates, returns).rows_per_year == 252
    assert (
        ReturnSeries(("a",), np.datetime64("2024-01-01") + np.arange(10), returns).rows_per_year
        == 365
    )
    assert ReturnSeries(("a",), dates[:0], returns).rows_per_year == 365


def test_replays_of_one_run_share_the_year_of_their_common_days(tmp_path: Path) -> None:
    """A coin beside a stock is replayed on the stock's 252 days a year, volatility included."""
    rng, words = np.random.default_rng(5), ["duration=null", "dt=3600", "populations.0.count=20"]
    for place, when in enumerate(
        (pd.date_range("2024-01-01", "2024-12-30"), pd.bdate_range("2024-01-01", periods=261))
    ):
        close = 100 * np.exp(np.cumsum(0.02 * rng.standard_normal(len(when))))
        file = tmp_path / f"{place}.csv"
        pd.DataFrame({"date": when.strftime("%Y-%m-%d"), "close": close}).to_csv(file, index=False)
        words += [
            f"underlyings.{place}.start=null",
            f"underlyings.{place}.process={{kind: replay, source: {file}}}",
        ]
        words += [
            f"underlyings.{place}.process.{each}"
            for each in ("day=86400", "opens=0", "days_per_year=365")
        ]
    config = load_run("two_coins", [*words, "underlyings.1.process.days_per_year=252"])
    bars = read_replays(config.underlyings)
    assert find_year_lengths(config.underlyings, bars).tolist() == [252 * 86_400] * 2
    assert find_year_lengths(config.underlyings[:1], bars).tolist() == [365 * 86_400]


@pytest.mark.parametrize(
    ("first", "bars", "open_time"), [(0, 30, 24), (20, 30, 24), (9, 5, 5), (18, 60, 24)]
)
def test_dates_that_a_file_holds_in_part_do_not_shorten_the_day(
    first: int, bars: int, open_time: float
) -> None:
    times = np.datetime64("2024-03-06T00:00:00") + 3600 * (first + np.arange(bars))
    found = validate_bars(
        "a.csv", times, np.column_stack([np.full((bars, 3), np.nan), np.ones(bars)]), 3600.0
    )
    assert found.open_time == open_time * 3600
