"""Comparisons on cases of known truth: pairs, tails, families, frontiers, screening, sentences."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from SALib.sample import morris as morris_points
from SALib.sample import sobol as sobol_points

from experiments.results import sentences
from experiments.statistics import (
    Estimate,
    StatisticsError,
    adjust_by_holm,
    compare_pairs,
    compare_with_reference,
    compute_shapley_values,
    count_further_runs,
    count_pairs_needed,
    decompose_outcome,
    define_problem,
    estimate_mean,
    estimate_probability,
    estimate_quantile,
    estimate_relative_change,
    estimate_shortfall,
    estimate_sobol_indices,
    find_smallest_p_value,
    mark_frontier,
    measure_precision,
    screen_by_morris,
    summarise_tails,
    tabulate_frontier,
)
from experiments.statistics.families import adjust_p_values
from experiments.statistics.screening import compute_effects
from sim.types import B1, F8

VALUES = st.floats(-100, 100)


def test_newcombe_on_a_published_table() -> None:
    """The table is of Fagerland, Lydersen & Laake (2014, Statistics in Medicine 33), 21 pairs."""
    before = np.repeat([True, True, False, False], [1, 1, 7, 12])
    after = np.repeat([True, False, True, False], [1, 1, 7, 12])
    found = compare_pairs(before, after)
    assert (found.mean, found.low, found.high) == pytest.approx((-6 / 21, -0.507, -0.026), abs=6e-4)
    assert found.p == pytest.approx(0.0703, abs=1e-4), "McNemar's exact test"


def test_shares_without_a_difference_have_an_interval() -> None:
    """Without a loss in 20 pairs the probability of a loss still has an interval."""
    found = compare_pairs(np.zeros(20, dtype=bool), np.zeros(20, dtype=bool))
    assert found.mean == 0
    assert found.p == 1
    assert found.low < 0 < found.high
    assert found.high == pytest.approx(estimate_probability(np.zeros(20, dtype=bool)).high)


@given(arrays(bool, st.tuples(st.just(2), st.integers(1, 40))))
def test_turning_pairs_round_turns_their_interval_round(
    both: B1,
) -> None:
    one, other = compare_pairs(both[0], both[1]), compare_pairs(both[1], both[0])
    assert (one.mean, one.low, one.high, one.p) == pytest.approx(
        (-other.mean, -other.high, -other.low, other.p)
    )
    assert one.low <= one.mean <= one.high


def test_a_relative_change_is_as_uncertain_as_what_it_is_relative_to() -> None:
    """An interval with the base held fixed would cover only 79% of the time."""
    generator, hits = np.random.default_rng(4), 0
    for _ in range(120):
        base, other = generator.lognormal(0, 0.5, 20), 2 * generator.lognormal(0, 0.5, 20)
        found = estimate_relative_change(other, base)
        hits += found.low <= 1 <= found.high
    assert 0.87 <= hits / 120 <= 0.99
    assert estimate_relative_change(3 * np.arange(1.0, 6), np.arange(1.0, 6))[1:] == pytest.approx(
        (2, 2, 2)
    ), "a fixed share is exact"
    assert math.isnan(estimate_relative_change(np.ones(3), np.zeros(3)).mean)


def test_signs_flipped_are_counted_exactly() -> None:
    """One of the 64 sign patterns of six positive differences is as large, and one as small."""
    found = compare_pairs(np.array([2.0, 3, 4, 5, 6, 7]), np.ones(6))
    assert found.p == 2 / 64
    assert compare_pairs(np.ones(4), np.ones(4)).p == 1
    assert math.isnan(compare_pairs(np.ones(1), np.zeros(1)).p)


@pytest.fixture(scope="module")
def engines() -> pd.DataFrame:
    """Losses of three engines on 30 shared draws: b loses 2 more than a, c as much."""
    draws = np.random.default_rng(5)
    common, rows = draws.normal(10, 5, 30), []
    for engine, extra in (("a", 0), ("b", 2), ("c", 0)):
        noise = draws.normal(extra, 1, 30)
        rows += [
            (engine, seed, common[seed] + noise[seed], bool(common[seed] + extra > 12))
            for seed in range(30)
        ]
    return pd.DataFrame(rows, columns=["engine", "seed", "loss", "broke"])


def test_pairs_find_what_shared_draws_hide(engines: pd.DataFrame) -> None:
    table = compare_with_reference(
        engines.sample(frac=1, random_state=1), "engine", "a", [], ["loss", "broke"]
    ).set_index(["engine", "measure"])
    assert table["n"].eq(30).all()
    assert table.loc["b", "loss"]["low"] > 1.2
    assert table.loc["b", "loss"]["p"] < 0.001
    assert table.loc["c", "loss"]["low"] < 0 < table.loc["c", "loss"]["high"]
    with pytest.raises(KeyError, match="no run at 'z'"):
        compare_with_reference(engines, "engine", "z", [], ["loss"])


def test_a_pair_that_lacks_a_run_is_left_out(engines: pd.DataFrame) -> None:
    fewer = engines.drop(engines.index[[0, 31]])
    table = compare_with_reference(fewer, "engine", "a", [], ["loss", "broke"])
    assert table["n"].tolist() == [28, 28, 29, 29]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_rejects_what_its_steps_reject(p: list[float]) -> None:
    """The procedure of Holm: smallest first, each against the level over the remaining number."""
    found, left = adjust_p_values(np.array([*p, math.nan])), len(p)
    assert math.isnan(found[-1])
    for k in np.argsort(p, kind="stable"):
        level = 0.05 / left
        if p[k] > level:
            assert (found[:-1][np.array(p) >= p[k]] > 0.05).all()
            break
        assert found[k] <= 0.05 + 1e-12
        left -= 1


def test_holm_on_a_worked_case() -> None:
    assert adjust_p_values(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )


def test_families_are_adjusted_apart() -> None:
    table = pd.DataFrame({"measure": ["x", "x", "y"], "p": [0.01, 0.04, 0.04]})
    assert adjust_by_holm(table, ["measure"])["p_holm"].tolist() == [0.02, 0.04, 0.04]
    assert adjust_by_holm(table)["p_holm"].tolist() == pytest.approx([0.03, 0.08, 0.08])


def test_tails_of_known_laws() -> None:
    draws = np.random.default_rng(7).exponential(size=1000)
    ninety, short = estimate_quantile(draws, 0.9), estimate_shortfall(draws, 0.9)
    assert ninety.low < math.log(10) < ninety.high
    assert short.low < math.log(10) + 1 < short.high
    assert short.mean == pytest.approx(np.sort(draws)[-100:].mean())
    assert estimate_shortfall(np.arange(25.0), 0.5).mean == pytest.approx(
        (np.arange(13, 25).sum() + 0.5 * 12) / 12.5
    )
    ties = estimate_shortfall(np.r_[np.zeros(80), np.ones(20)], 0.85)
    assert ties.low < ties.mean == pytest.approx(1), (
        "leaving any one out changes nothing, yet there is an interval"
    )


@pytest.mark.parametrize("figure", [estimate_quantile, estimate_shortfall])
def test_a_level_needs_ten_beyond_it(figure: "type[None]") -> None:
    assert figure(np.arange(100.0), 0.9).n == 100
    with pytest.raises(
        StatisticsError,
        match=r"^level: 0\.91 of 100 .*, at most 0\.9 leaves 10 beyond it, make 112",
    ):
        figure(np.arange(100.0), 0.91)
    with pytest.raises(
        StatisticsError, match=r"^level: 0\.99 of 30 replications, at most 0\.667 .*make 1000 rep"
    ):
        figure(np.arange(30.0), 0.99)
    with pytest.raises(StatisticsError, match="must lie between 0 and 1"):
        figure(np.arange(30.0), 1.0)


def test_tails_of_every_setting(engines: pd.DataFrame) -> None:
    table = summarise_tails(engines, ["engine"], ["loss"], 0.5)
    assert table[["engine", "figure"]].to_numpy().tolist()[:2] == [
        ["a", "quantile"],
        ["a", "shortfall"],
    ]
    assert (table["low"] <= table["mean"]).all()
    assert (table["mean"] <= table["high"]).all()


@pytest.mark.slow
def test_intervals_of_tails_cover() -> None:
    """Order statistics of 200 draws cover at least 95%; the bootstrap of a tail of 20 nearly."""
    draws = np.random.default_rng(8).exponential(size=(200, 200))
    truth = math.log(10)
    assert (
        np.mean(
            [
                found.low <= truth <= found.high
                for found in (estimate_quantile(each, 0.9) for each in draws)
            ]
        )
        >= 0.93
    )
    covered = [
        found.low <= truth + 1 <= found.high
        for found in (estimate_shortfall(each, 0.9) for each in draws)
    ]
    assert 0.84 <= np.mean(covered) <= 0.98


@pytest.mark.slow
def test_intervals_of_pairs_cover() -> None:
    generator, numbers, shares = np.random.default_rng(9), 0, 0
    for _ in range(400):
        common = generator.exponential(size=30)
        found = compare_pairs(common + generator.normal(0.3, 1, 30), common)
        numbers += found.low <= 0.3 <= found.high
        draws = generator.random(30)
        share = compare_pairs(draws < 0.5, draws < 0.3)
        shares += share.low <= 0.2 <= share.high
    assert 0.91 <= numbers / 400 <= 0.98
    assert 0.92 <= shares / 400 <= 1


def test_precision_and_what_it_would_take() -> None:
    found = Estimate(30, 10.0, 8.0, 12.0)
    assert measure_precision(found) == (30, 2.0, 0.2)
    assert count_further_runs(found, 1.0) == 90
    assert count_further_runs(found, 2.5) == 0
    assert count_further_runs(Estimate(5, 1.0, 1.0, 1.0), 0.1) is None, (
        "equal values have no spread to measure"
    )
    assert count_further_runs(estimate_mean(np.array([1.0])), 0.1) is None
    assert count_further_runs(Estimate(5, math.inf, 1.0, math.inf), 0.1) is None
    with pytest.raises(ValueError, match="a width must be above 0"):
        count_further_runs(found, 0.0)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 0.5))
def test_as_many_as_asked_give_wilson_its_width(count: int, extra: int, half: float) -> None:
    happened = np.arange(count + extra) < count
    more = count_further_runs(estimate_probability(happened), half, share=True)
    assert more is not None
    total = happened.size + more
    p, z = happened.mean(), 1.959964
    width = z / (1 + z**2 / total) * math.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    assert width <= half * (1 + 1e-6)


@given(arrays(float, 16, elements=VALUES))
def test_shapley_shares_out_all_and_is_the_mean_over_orders(
    worth: F8,
) -> None:
    found = compute_shapley_values(worth)
    assert found.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)
    by_hand = np.zeros(4)
    for order in itertools.permutations(range(4)):
        on = 0
        for k in order:
            by_hand[k] += (worth[on | 1 << k] - worth[on]) / 24
            on |= 1 << k
    assert found == pytest.approx(by_hand, abs=1e-9)


def test_shapley_of_a_glove_game() -> None:
    """One left glove and two right: 2/3 and 1/6 each (Shapley's own kind of example)."""
    worth = np.array([float((on & 1) and (on & 6) != 0) for on in range(8)])
    assert compute_shapley_values(worth) == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_an_outcome_is_shared_out_by_seed() -> None:
    rows = [
        (seed, bool(a), bool(b), seed + 3 * a + b + 2 * a * b)
        for seed, a, b in itertools.product((1, 2), (0, 1), (0, 1))
    ]
    runs = pd.DataFrame(rows, columns=["seed", "netting", "model", "capital"])
    found = decompose_outcome(
        runs.sample(frac=1, random_state=2), ["netting", "model"], "capital", ["seed"]
    )
    assert sorted(found["value"]) == [2, 2, 4, 4]
    assert sorted(found["in_order"]) == [3, 3, 3, 3]
    with pytest.raises(StatisticsError, match=r"^coalition netting: 0 rows"):
        decompose_outcome(runs.drop(2), ["netting", "model"], "capital", ["seed"])


@given(
    arrays(float, st.tuples(st.just(2), st.integers(1, 8)), elements=st.integers(0, 4).map(float))
)
def test_the_frontier_is_what_nothing_beats(points: F8) -> None:
    cost, harm = points
    for k, inside in enumerate(mark_frontier(cost, harm)):
        beaten = any(
            cost[j] <= cost[k] and harm[j] <= harm[k] and (cost[j] < cost[k] or harm[j] < harm[k])
            for j in range(cost.size)
        )
        assert inside != beaten


def test_the_frontier_says_how_sure_it_is(engines: pd.DataFrame) -> None:
    table = tabulate_frontier(
        engines.assign(cost=engines["engine"].map({"a": 1, "b": 2, "c": 1})),
        ["engine"],
        "cost",
        "loss",
    )
    shares = table.set_index("engine")["share"]
    assert shares["b"] == 0
    assert shares["a"] + shares["c"] == pytest.approx(1)
    assert table["on_frontier"].sum() == 1


def test_morris_finds_the_linear_effects_and_the_floor_of_noise() -> None:
    asked = define_problem({"strong": (0, 2), "weak": (0, 1), "none": (-1, 1)})
    points = morris_points.sample(asked, 20, num_levels=4, seed=1)
    truth = 5 * points[:, 0] + points[:, 1]
    exact = screen_by_morris(asked, points, truth)
    assert exact["mu_star"].to_numpy() == pytest.approx([10, 1, 0])
    assert exact["sigma"].to_numpy() == pytest.approx([0, 0, 0], abs=1e-9)
    assert exact["noise"].isna().all()
    noisy = screen_by_morris(
        asked, points, truth[:, None] + np.random.default_rng(2).normal(0, 1, (len(points), 10))
    )
    one_step = math.sqrt(2 / 10) / (2 / 3)  # two points' means of ten, over the step
    assert noisy["noise"].to_numpy() == pytest.approx([one_step] * 3, rel=0.2)
    assert noisy["screened_in"].tolist() == [True, True, False]
    assert noisy["sigma_net"].max() < noisy["sigma"].max()
    assert noisy["mu_star"].iloc[2] == pytest.approx(noisy["floor"].iloc[2], rel=0.5)


def test_elementary_effects_are_salibs() -> None:
    asked = define_problem({"x": (0, 1), "y": (0, 1), "z": (0, 1)})
    points = morris_points.sample(asked, 6, num_levels=4, seed=3)
    outcome = points[:, 0] ** 2 + points[:, 1] * points[:, 2]
    table, ours = (
        screen_by_morris(asked, points, outcome),
        compute_effects(points, outcome[:, None])[..., 0],
    )
    assert np.abs(ours).mean(axis=0) == pytest.approx(table["mu_star"].to_numpy())
    assert ours.std(axis=0, ddof=1) == pytest.approx(table["sigma"].to_numpy())
    with pytest.raises(StatisticsError, match="trajectories have 4 points each"):
        screen_by_morris(asked, points, outcome[:-1])
    with pytest.raises(StatisticsError, match="point 3 has none"):
        screen_by_morris(asked, points, np.where(np.arange(outcome.size) == 3, np.nan, outcome))


def test_sobol_of_a_sum() -> None:
    """In 2 x + y with uniform inputs, x has four fifths of the variance."""
    asked = define_problem({"x": (0, 1), "y": (0, 1)})
    points = sobol_points.sample(asked, 256, calc_second_order=False, seed=1)
    noise = np.random.default_rng(4).normal(0, 0.1, (len(points), 4))
    table = estimate_sobol_indices(asked, (2 * points[:, 0] + points[:, 1])[:, None] + noise)
    assert table["first"].to_numpy() == pytest.approx([0.8, 0.2], abs=0.05)
    assert table["total"].to_numpy() == pytest.approx([0.8, 0.2], abs=0.05)
    assert table["noise"].iloc[0] == pytest.approx(0.1**2 / 4 / (5 / 12), rel=0.2)
    with pytest.raises(StatisticsError, match="at every point, indices need values that vary"):
        estimate_sobol_indices(asked, np.ones(len(points)))


def test_titles_say_when_nothing_was_found() -> None:
    shown = sentences.describe_comparison("Bad debt", "span", "tiered", Estimate(30, 1.2, 0.4, 2.0))
    assert shown == "Bad debt: span above tiered (+1.2 (+0.4 to +2.0), 30 pairs)."
    text = sentences.describe_comparison("Bad debt", "span", "tiered", Estimate(30, 1.2, -0.4, 2.8))
    assert "no significant difference between span and tiered; the interval covers zero" in text
    family = sentences.describe_comparison(
        "Bad debt", "span", "tiered", Estimate(30, 1.2, 0.4, 2.0), p_holm=0.08
    )
    assert "no significant difference" in family
    assert "p = 0.08 by Holm" in family
    four = sentences.describe_comparison(
        "Bad debt", "span", "tiered", Estimate(4, 0.67, 0.47, 0.75), p_holm=0.125
    )
    assert four == (
        "Bad debt: 4 pairs cannot distinguish span from tiered (+0.67 (+0.47 to +0.75)): "
        "the smallest p-value that 4 pairs can give is 0.125, and 6 are the fewest that could "
        "fall below 0.05."
    )
    many = Estimate(7, 1.2, 0.4, 2.0)
    assert "by Holm over 6 comparisons, and 8 are" in sentences.describe_comparison(
        "x", "a", "b", many, p_holm=sentences.HolmAdjustedP(0.1, 6)
    )
    assert "cannot" not in sentences.describe_comparison("x", "a", "b", many, p_holm=0.1)
    assert "5 replications cannot show that it differs" in sentences.describe_estimate(
        "Bad debt", Estimate(5, 0.5, -0.1, 1.0)
    )
    assert "1 pair, too few" in sentences.describe_comparison(
        "Bad debt", "span", "tiered", estimate_mean(np.array([1.0]))
    )
    assert "covers it" in sentences.describe_estimate("Bad debt", Estimate(30, 0.5, 0.0, 1.0))
    assert (
        sentences.describe_estimate("Bad debt", Estimate(30, 0.5, 0.2, 1.0))
        == "Bad debt: 0.50 (0.20 to 1.00), 30 replications."
    )


@pytest.mark.parametrize(("family", "fewest"), [(1, 6), (2, 7), (6, 8), (12, 9), (40, 11)])
def test_so_few_pairs_can_never_be_significant(family: int, fewest: int) -> None:
    """Differences of one sign give the smallest p; Holm multiplies it by the size of the family."""
    assert count_pairs_needed(family) == fewest
    for n in (fewest - 1, fewest):
        alike = np.linspace(1, 2, n)
        one = compare_pairs(alike, np.zeros(n)).p
        truth = compare_pairs(np.ones(n, dtype=bool), np.zeros(n, dtype=bool)).p
        assert one == truth == pytest.approx(find_smallest_p_value(n))
        adjusted = adjust_by_holm(pd.DataFrame({"p": [one] * family}))["p_holm"]
        assert (adjusted.max() < 0.05) == (n >= fewest)
        assert adjusted.max() == pytest.approx(find_smallest_p_value(n, family))


def test_sentences_of_a_table(engines: pd.DataFrame) -> None:
    table = adjust_by_holm(compare_with_reference(engines, "engine", "a", [], ["loss"]))
    told = sentences.describe_comparisons(table, "Loss", "engine")
    assert told[0].startswith("Loss: b above a (+")
    assert told[1].startswith("Loss: no significant difference between c and a")
