"""Crossings of a level: known truth, none or several crossings, settings to run next."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from experiments.results.sentences import describe_crossing
from experiments.statistics import (
    StatisticsError,
    choose_refinements,
    compare_crossings,
    find_crossing,
    tabulate_crossings,
)
from experiments.statistics.fits import fit_isotonic
from sim.types import F8

GRID = np.linspace(1, 2, 6)


def runs_of(chances: F8, seeds: int, root: int = 0) -> pd.DataFrame:
    """Return truth values with common random numbers: one draw of a seed at every setting."""
    draws = np.random.default_rng(root).random(seeds)
    rows = [
        (k, seed, draws[seed] < p)
        for k, p in zip(GRID, chances, strict=True)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["kappa", "seed", "lost"])


def logistic(centre: float) -> F8:
    return np.asarray(1 / (1 + np.exp(-8 * (GRID - centre))))


def test_the_crossing_of_a_line_is_where_it_is() -> None:
    rows = [
        (x, seed, 2 * x + noise)
        for x in (0, 1, 2, 3)
        for seed, noise in enumerate((-0.1, 0.0, 0.1))
    ]
    found = find_crossing(pd.DataFrame(rows, columns=["x", "seed", "y"]), "x", "y", 3)
    assert (found.at, found.below, found.above, found.verdict) == (
        pytest.approx(1.5),
        1,
        2,
        "reached",
    )
    assert (found.low, found.high) == (1, 2), "never narrower than the settings beside it"
    assert found.rising
    assert found.p_monotone == 1


def test_a_falling_outcome_is_crossed_from_above() -> None:
    runs = runs_of(1 - logistic(1.5), 200)
    found = find_crossing(runs, "kappa", "lost", 0.5)
    assert not found.rising
    assert found.at == pytest.approx(1.5, abs=0.07)
    assert found.low <= 1.5 <= found.high


def test_what_is_not_reached_is_said_with_the_range() -> None:
    below = find_crossing(runs_of(np.linspace(0, 0.2, 6), 40), "kappa", "lost", 0.5)
    assert below.format_cell() == "not reached in [1, 2]: below it throughout"
    assert (below.low, below.high) == (math.inf, math.inf)
    above = find_crossing(runs_of(np.linspace(0.9, 1, 6), 40), "kappa", "lost", 0.5)
    assert above.format_cell() == "not reached in [1, 2]: above it throughout"
    assert (above.low, above.high) == (-math.inf, -math.inf)
    near = find_crossing(runs_of(np.linspace(0.1, 0.45, 6), 40), "kappa", "lost", 0.5)
    assert near.verdict == "not reached"
    assert near.format_cell().endswith("to above 2)"), "resamples that reach it are not hidden"
    assert (
        describe_crossing("P", below)
        == "P, level 0.5 along kappa: not reached in [1, 2]: below it throughout, 40 seeds."
    )


def test_every_crossing_of_what_is_not_monotone_is_reported() -> None:
    runs = runs_of(np.array([0.1, 0.9, 0.1, 0.1, 0.9, 0.9]), 100)
    found = find_crossing(runs, "kappa", "lost", 0.5)
    assert found.verdict == "several"
    assert found.p_monotone < 0.01
    assert found.crossings == pytest.approx([1.1, 1.3, 1.7], abs=0.02)
    assert found.format_cell().startswith("not monotone (p = 0.0005): crosses at 1.11, 1.29, 1.71")
    assert choose_refinements(runs, found, 0.01, most=9) == pytest.approx((1.1, 1.3, 1.7))


def test_crossings_on_the_same_draws_are_told_apart_though_their_intervals_overlap() -> None:
    """The level is crossed 0.1 earlier, which only the interval of the difference shows."""
    late, early = runs_of(logistic(1.5), 60), runs_of(logistic(1.4), 60)
    one, other = (find_crossing(each, "kappa", "lost", 0.5) for each in (early, late))
    assert one.high > other.low
    found = compare_crossings(early, late, "kappa", "lost", 0.5)
    assert found.n == 60
    assert found.mean == pytest.approx(one.at - other.at)
    assert found.low < -0.1 < found.high < 0
    assert found.p < 0.01
    back = compare_crossings(late, early, "kappa", "lost", 0.5)
    assert (back.mean, back.p) == pytest.approx((-found.mean, found.p))
    none = compare_crossings(late, late, "kappa", "lost", 0.5)
    assert (none.mean, none.low, none.high, none.p) == (0, 0, 0, 1)


def test_a_shift_covers_the_truth_as_often_as_it_says() -> None:
    hits = 0
    for root in range(60):
        found = compare_crossings(
            runs_of(logistic(1.4), 40, root),
            runs_of(logistic(1.55), 40, root),
            "kappa",
            "lost",
            0.5,
        )
        hits += found.low <= -0.15 <= found.high
    assert 50 <= hits <= 60


def test_what_is_not_crossed_is_not_shifted() -> None:
    never = runs_of(np.linspace(0, 0.2, 6), 40)
    assert np.isnan(
        compare_crossings(never, runs_of(logistic(1.5), 40), "kappa", "lost", 0.5)[1:]
    ).all()
    seldom = compare_crossings(
        runs_of(np.linspace(0, 0.62, 6), 40), runs_of(logistic(1.5), 40), "kappa", "lost", 0.5
    )
    assert seldom.high == np.inf, "resamples that never cross it are not hidden"


def test_the_test_of_monotonicity_holds_its_level() -> None:
    """Under the hardest truth, the same chance everywhere with draws that settings do not share."""
    generator, wrong = np.random.default_rng(3), 0
    for _ in range(60):
        table = pd.DataFrame(generator.random((40, 6)) < 0.5, columns=GRID)
        runs = (
            table.rename_axis("seed")
            .reset_index()
            .melt("seed", var_name="kappa", value_name="lost")
        )
        wrong += not find_crossing(runs.astype({"kappa": float}), "kappa", "lost", 0.9).is_monotone
    assert wrong <= 9, "5% of 60 are 3; 9 would be seen once in a thousand"


@pytest.mark.slow
def test_the_interval_covers_at_its_level() -> None:
    covered = 0
    for root in range(200):
        found = find_crossing(runs_of(logistic(1.43), 30, root), "kappa", "lost", 0.5)
        covered += found.low <= 1.43 <= found.high
    assert covered >= 182, "91% of 200; the interval is conservative by the width of the grid"


def test_missing_runs_do_not_move_the_others() -> None:
    runs = runs_of(logistic(1.5), 60)
    fewer = runs.drop(runs.index[[3, 70, 71, 200]])
    assert find_crossing(fewer, "kappa", "lost", 0.5).at == pytest.approx(
        find_crossing(runs, "kappa", "lost", 0.5).at, abs=0.03
    )
    with pytest.raises(StatisticsError, match=r"^kappa: no run at 1\.2 has lost"):
        find_crossing(
            runs.assign(lost=runs["lost"].where(runs["kappa"].round(1) != 1.2)),
            "kappa",
            "lost",
            0.5,
        )
    with pytest.raises(StatisticsError, match=r"^kappa: 1 settings, a crossing needs two"):
        find_crossing(runs[runs["kappa"] == 1], "kappa", "lost", 0.5)


def test_refinement_halves_the_gaps_that_may_hold_the_crossing() -> None:
    runs = runs_of(logistic(1.5), 200)
    found = find_crossing(runs, "kappa", "lost", 0.5)
    assert choose_refinements(runs, found, 0.05) == pytest.approx((1.5,))
    assert choose_refinements(runs, found, 0.2) == ()
    missed = find_crossing(runs_of(np.zeros(6), 20), "kappa", "lost", 0.5)
    assert choose_refinements(runs, missed, 0.05) == ()


def test_every_setting_gets_its_crossing() -> None:
    both = pd.concat(
        [runs_of(logistic(c), 100).assign(engine=name) for name, c in (("a", 1.3), ("b", 1.7))]
    )
    table = tabulate_crossings(both, ["engine"], "kappa", "lost", 0.5)
    assert table["engine"].tolist() == ["a", "b"]
    assert table["at"].tolist() == [pytest.approx(1.3, abs=0.08), pytest.approx(1.7, abs=0.08)]
    assert table["verdict"].tolist() == ["reached", "reached"]


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 9)), min_size=1, max_size=9))
def test_the_fit_is_scipys(settings: list[tuple[float, int]]) -> None:
    means, weights = np.array(settings, dtype=float).T
    both = fit_isotonic(np.stack([means, -means]), np.stack([weights, weights]))
    assert both[0] == pytest.approx(isotonic_regression(means, weights=weights).x, abs=1e-9)
    assert -both[1] == pytest.approx(
        isotonic_regression(means, weights=weights, increasing=False).x, abs=1e-9
    )


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8), st.floats(-5, 5))
def test_the_crossing_lies_between_its_neighbours(means: list[float], level: float) -> None:
    runs = pd.DataFrame({"x": np.arange(float(len(means))), "seed": 1, "y": means})
    found = find_crossing(runs, "x", "y", level)
    assert math.isnan(found.low), "one seed has no interval"
    assert found.side in (-1, 1) if math.isnan(found.at) else found.below <= found.at <= found.above
    assert all(0 <= at <= len(means) - 1 for at in found.crossings)
