"""Intervals against closed forms and published values, and how they are written."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.results.markdown import format_estimate
from experiments.statistics import (
    Estimate,
    compare_neighbours,
    estimate_difference,
    estimate_mean,
    estimate_probability,
    jackknife_clusters,
    summarise_measures,
)


def test_wilson_on_the_published_example() -> None:
    """Brown, Cai & DasGupta 2001 state the closed form; here with 1 of 10."""
    z, n, p = 1.959964, 10, 0.1
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = estimate_probability(np.arange(10) < 1)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (0.1, centre - half, centre + half), abs=1e-5
    )
    assert estimate_probability(np.zeros(20, dtype=bool)).high == pytest.approx(
        z**2 / (20 + z**2), abs=1e-5
    )


def test_the_bootstrap_covers_at_its_level() -> None:
    """BCa intervals of skewed samples of 20 cover slightly less than 95%."""
    draws = np.random.default_rng(1).exponential(size=(300, 20))
    covered = np.mean([found.low <= 1 <= found.high for found in map(estimate_mean, draws)])
    assert 0.88 <= covered <= 0.98


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    values = np.random.default_rng(5).normal(size=7)
    without = np.array([np.delete(values, k).mean() for k in range(7)])
    found = stats.ttest_1samp(values, 0).confidence_interval(0.99)
    assert jackknife_clusters(values.mean(), without, 0.99)[1:] == pytest.approx(
        (values.mean(), found.low, found.high)
    )
    assert math.isnan(jackknife_clusters(1.0, np.array([1.0])).low), "one cluster has no interval"


def test_the_bootstrap_is_the_same_each_time() -> None:
    values = np.random.default_rng(2).normal(size=20)
    assert estimate_mean(values) == estimate_mean(values.copy())


def test_few_or_equal_values() -> None:
    assert estimate_mean(np.full(5, 2.0)) == (5, 2.0, 2.0, 2.0)
    assert math.isnan(estimate_mean(np.array([1.0])).low)
    assert math.isnan(estimate_mean(np.empty(0)).mean)
    assert math.isnan(estimate_probability(np.empty(0, dtype=bool)).mean)


def test_infinite_values_have_no_interval() -> None:
    found = estimate_mean(np.array([1.0, 2.0, math.inf]))
    assert found.mean == math.inf
    assert math.isnan(found.low)
    assert format_estimate(found) == "\N{INFINITY}"
    assert math.isnan(estimate_mean(np.array([-math.inf, math.inf])).mean)
    assert format_estimate(Estimate(3, 1.0, 0.5, math.inf)) == "1.00 (0.50 to \N{INFINITY})"


def test_welch_is_students_where_variances_are_equal() -> None:
    low, high = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    found = estimate_difference(high, low)
    half = 2.776445 * math.sqrt(2 / 3)  # t of 4 degrees of freedom
    assert (found.mean, found.low, found.high) == pytest.approx((1, 1 - half, 1 + half), abs=1e-5)
    assert estimate_difference(np.full(3, 2.0), np.full(3, 1.0)) == (3, 1.0, 1.0, 1.0)


def test_signs() -> None:
    assert [
        Estimate(2, 1, *ends).sign for ends in ((0.5, 1), (-1, 1), (-2, -1), (math.nan, math.nan))
    ] == [1, 0, -1, 0]


@pytest.fixture
def runs() -> pd.DataFrame:
    rows = [
        (e, cap, seed, cap * (1 + e) + seed, cap > 10)
        for e in (0, 1)
        for cap in (10, 20, 50)
        for seed in (1, 2, 3)
    ]
    return pd.DataFrame(rows, columns=["e", "cap", "seed", "share", "any"])


def test_every_setting_is_summarised(runs: pd.DataFrame) -> None:
    table = summarise_measures(runs, ("e", "cap"), ("share", "any"))
    assert len(table) == 12
    one = table.query("e == 1 and cap == 20")
    assert one["mean"].tolist() == [42, 1]
    assert one["high"].tolist() == [pytest.approx(42.67, abs=0.4), 1]
    assert one["low"].iloc[1] == pytest.approx(0.4385, abs=1e-4), "Wilson, for it is a probability"


def test_differences_are_paired_by_seed(runs: pd.DataFrame) -> None:
    table = compare_neighbours(runs.sample(frac=1, random_state=1), "cap", ["e"], ["share"])
    found = (
        table.sort_values(["e", "cap"])[["e", "cap", "versus", "mean", "low", "high"]]
        .to_numpy()
        .tolist()
    )
    assert found == [
        [0, 20, 10, 10, 10, 10],
        [0, 50, 20, 30, 30, 30],
        [1, 20, 10, 20, 20, 20],
        [1, 50, 20, 60, 60, 60],
    ]


@pytest.mark.parametrize(
    ("found", "signed", "text"),
    [
        (Estimate(3, 1.3512, 1.2811, 1.4091), False, "1.35 (1.28 to 1.41)"),
        (
            Estimate(3, -0.042, -0.11, 0.02),
            True,
            "\N{MINUS SIGN}0.04 (\N{MINUS SIGN}0.11 to +0.02)",
        ),
        (Estimate(3, 1234.5, 1000, 1500), False, "1,234 (1,000 to 1,500)"),
        (Estimate(3, 0.0, 0.0, 0.0), True, "0"),
        (Estimate(3, 0.0001, -0.2, 0.4), True, "0.00 (\N{MINUS SIGN}0.20 to +0.40)"),
        (Estimate(30, 2.000004, 2.000003, 2.000005), False, "2.0000"),
        (Estimate(1, 0.25, math.nan, math.nan), False, "0.25"),
    ],
)
def test_cells_show_the_digits_that_mean_something(
    found: Estimate, signed: bool, text: str
) -> None:
    assert format_estimate(found, signed=signed) == text


def test_units() -> None:
    assert Estimate(4, 0.5, 0.25, 1.0).rescale(100) == (4, 50, 25, 100)
