"""The calm table's figures on frames small enough to work by hand."""

import numpy as np
import pandas as pd
import pytest

from sim.metrics.calm import facts, health, returns_of
from sim.metrics.returns import autocorrelation, hill, hill_interval, jackknife_interval, kurtosis


def frames() -> dict[str, pd.DataFrame]:
    steps = {
        "step": [1, 2, 3, 4],
        "seconds": [21_600.0, 43_200.0, 64_800.0, 86_400.0],
        "instrument": "P",
        "mark": [100.0, 110.0, 100.0, 110.0],
        "exogenous": [100.0, 110.0, 121.0, 110.0],
        "oracle": [100.0, 100.0, 100.0, 110.0],
        "bid": [99.0, 108.0, 98.0, 109.0],
        "ask": [101.0, 112.0, 102.0, 111.0],
        "mid": [100.0, 110.0, 100.0, 110.0],
        "depth": [40, 50, 60, 70],
        "depth_near": [10, 10, 10, 10],
        "open_interest": [20, 20, 20, 20],
        "volume": [5, 10, 15, 10],
        "markout": [-10, 20, -30, 0],
        "liquidated": [0, 1, 0, 1],
        "adl": [0, 0, 2, 0],
        "equity": [4_000, 4_400, 4_000, 4_400],
    }
    losses = {"step": [1, 3, 4, 4], "layer": ["bad_debt", "fund", "adl_queue", "bad_debt"], "absorbed": [9, 5, 3, 1]}
    return {"steps": pd.DataFrame(steps), "losses": pd.DataFrame(losses)}


def test_health_of_a_day_of_four_steps() -> None:
    found = health(frames(), "P", worth=1.0)
    assert found.volatility == pytest.approx(1.0)
    assert found.closed_out == pytest.approx(2 / 20)
    assert found.deleveraged == 2
    assert found.beyond_fund == 13
    assert found.basis == pytest.approx(0.1)
    assert found.spread == pytest.approx(np.median([2 / 100, 4 / 110, 4 / 100, 2 / 110]))
    assert found.depth_ratio == pytest.approx(5.5)
    assert found.turnover == pytest.approx(2.0)
    assert found.leverage == pytest.approx(0.5)
    assert found.markout == pytest.approx(-20 / (5 * 100 + 10 * 110 + 15 * 100 + 10 * 110))


def test_what_came_before_does_not_count() -> None:
    found = health(frames(), "P", worth=1.0, since=3)
    assert found.beyond_fund == 4
    assert found.turnover == pytest.approx(25 / 20 / 0.5)


def test_a_run_too_short_is_named() -> None:
    with pytest.raises(ValueError, match="'P' has 1 steps from 4 on"):
        health(frames(), "P", worth=1.0, since=4)
    with pytest.raises(ValueError, match="'Q' is not one of P"):
        returns_of(frames(), "Q")


def test_autocorrelation_by_hand() -> None:
    """Offs 1, -1, 1, -1: three products of -1 over four squares."""
    assert autocorrelation(np.array([3.0, 1.0, 3.0, 1.0]), 1) == pytest.approx(-0.75)
    assert np.isnan(autocorrelation(np.ones(5), 1))


def test_kurtosis_by_hand() -> None:
    """Two of eight at +-1: fourth moment 1/4, variance 1/4."""
    assert kurtosis(np.array([1.0, -1.0, 0, 0, 0, 0, 0, 0])) == pytest.approx(4.0)


def test_hill_of_a_power_law_is_its_exponent() -> None:
    """Quantiles of P(size > s) = s ** -3: within the interval, and the interval is as wide as the count says."""
    sizes = ((np.arange(20_000) + 0.5) / 20_000) ** (-1 / 3)
    low, high = hill_interval(sizes)
    assert hill(sizes) == pytest.approx(3.0, rel=0.01)
    assert high - low == pytest.approx(2 * 1.96 * hill(sizes) / np.sqrt(1000), rel=1e-4)
    assert hill(np.array([8.0, -4.0, 2.0, 1.0]), share=0.5) == pytest.approx(1 / np.log(np.sqrt(8)))


def test_the_jackknife_of_a_mean_is_the_standard_error() -> None:
    """Blocks of one value: the classical s / sqrt(n)."""
    values = np.array([1.0, 4.0, 2.0, 9.0])
    low, high = jackknife_interval(lambda some: float(some.mean()), values, blocks=4)
    assert (high + low) / 2 == pytest.approx(4.0)
    assert (high - low) / 2 == pytest.approx(1.959964 * values.std(ddof=1) / 2)


def test_daily_volatility_is_per_day_whatever_the_step() -> None:
    rng = np.random.default_rng(1)
    prices = np.exp(np.cumsum(0.01 * rng.standard_normal(20_001)))
    assert facts(prices, 21_600.0).daily_volatility == pytest.approx(0.02, rel=0.02)
    assert facts(prices[::4], 86_400.0).daily_volatility == pytest.approx(0.02, rel=0.03)


def test_x_is_measured_beside_the_mark() -> None:
    rng = np.random.default_rng(2)
    x = np.exp(np.cumsum(0.001 * rng.standard_normal(400)))
    steps = pd.DataFrame({"step": np.arange(1, 401), "seconds": 60.0 * np.arange(1, 401), "instrument": "P"})
    steps["mark"], steps["exogenous"] = x**2, x
    mark, exogenous = returns_of({"steps": steps}, "P")
    assert mark.daily_volatility == pytest.approx(2 * exogenous.daily_volatility)
    assert mark[1:] == pytest.approx(exogenous[1:])
