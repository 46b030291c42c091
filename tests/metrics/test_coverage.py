"""Coverage tests, tails and procyclicality: what they claim, on samples made to fit or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.margin.tail.risk_measures import (
    ReturnLaw,
    compute_parametric_var,
    compute_tail_weights,
    measure_sample_tail,
)
from sim.margin.tail.volatility import compute_half_life, update_ewma
from sim.metrics import coverage, procyclicality, shortfall
from sim.metrics.traffic_light import GREEN, RED, YELLOW, classify_breaches

samples = st.lists(st.floats(-1, 1), min_size=2, max_size=60).map(np.array)
levels = st.floats(0.5, 0.999)
few = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize("p", [0.01, 0.05])
def test_no_breach_and_nothing_but_breaches_have_a_verdict(p: float) -> None:
    """Likelihoods of a certain outcome: by hand."""
    assert coverage.run_proportion_test(250, 0, p).statistic == pytest.approx(-500 * np.log(1 - p))
    assert coverage.run_proportion_test(250, 250, p).statistic == pytest.approx(-500 * np.log(p))
    assert coverage.run_first_failure_test(1, p).statistic == pytest.approx(-2 * np.log(p))
    assert coverage.run_first_failure_test(None, p, days=250) == coverage.run_proportion_test(
        250, 0, p
    )
    for breaches in (np.zeros(250, dtype=bool), np.ones(250, dtype=bool)):
        assert coverage.run_independence_test(
            coverage.count_transitions(breaches)
        ) == coverage.BacktestResult(0.0, 1.0)


def test_the_right_number_of_breaches_is_accepted_at_any_confidence() -> None:
    assert coverage.run_proportion_test(1000, 10, 0.01).p_value == pytest.approx(1.0)
    assert not coverage.run_proportion_test(1000, 10, 0.01).is_rejected(0.0001)
    assert coverage.find_accepted_range(20, 0.01)[0] == -1


@pytest.mark.parametrize(
    ("days", "breaches", "p"), [(0, 0, 0.01), (10, 11, 0.01), (10, -1, 0.01), (10, 1, 0.0)]
)
def test_impossible_samples_are_refused(days: int, breaches: int, p: float) -> None:
    with pytest.raises(ValueError, match=r"must be|must lie"):
        coverage.run_proportion_test(days, breaches, p)
    with pytest.raises(ValueError, match="no such sample"):
        classify_breaches(days, breaches, p)


def test_tests_reject_as_often_as_they_say() -> None:
    """Under the claim 5% of samples, more or less (discrete); a clustered series nearly always."""
    rng = np.random.default_rng(3)
    hits = rng.random((1500, 1000)) < 0.1  # rarer ones leave too few pairs for the second test
    rejected = np.zeros(3)
    for row in hits:
        counts = coverage.count_transitions(row)
        verdicts = (
            coverage.run_proportion_test(1000, int(row.sum()), 0.1),
            coverage.run_independence_test(counts),
            coverage.run_conditional_test(1000, int(row.sum()), 0.1, counts),
        )
        rejected += [verdict.is_rejected() for verdict in verdicts]
    assert (np.abs(rejected / len(hits) - 0.05) < 0.025).all(), rejected / len(hits)
    clustered = np.repeat(rng.random(250) < 0.05, 4)
    assert coverage.run_independence_test(coverage.count_transitions(clustered)).p_value < 1e-6


def test_transitions_are_counted() -> None:
    row = np.array([0, 1, 1, 0, 0, 1], dtype=bool)
    assert coverage.count_transitions(row) == coverage.BreachTransitions(
        calm=1, ended=1, began=2, stayed=1
    )
    assert (coverage.find_first_breach(row), coverage.find_first_breach(row[:1])) == (2, None)


def test_lights_of_other_samples_keep_their_zones() -> None:
    """Twice as long, or another level: zones by probability, multipliers never falling."""
    for days, p in ((500, 0.01), (250, 0.025), (1043, 0.05)):
        lights = [classify_breaches(days, x, p) for x in range(days // 4)]
        for zone, low, high in ((GREEN, 3.0, 3.0), (YELLOW, 3.4, 3.85), (RED, 4.0, 4.0)):
            found = [light.multiplier_1996 for light in lights if light.zone == zone]
            assert (min(found), max(found)) == (low, high)
        multipliers = [light.multiplier_frtb for light in lights]
        assert multipliers == sorted(multipliers)


def test_z2_is_nil_on_average_and_falls_when_losses_are_larger_than_told() -> None:
    law, rng = ReturnLaw(), np.random.default_rng(1)
    var, es = law.value_at_risk(0.975), law.expected_shortfall(0.975)
    right = [
        shortfall.compute_z2(x, np.full(250, var), np.full(250, es), 0.025)
        for x in rng.normal(0, 1, (3000, 250))
    ]
    assert abs(np.mean(right)) < 0.03
    assert np.quantile(right, 0.05) == pytest.approx(
        shortfall.find_critical_z2(250, 0.025, 0.05), abs=0.06
    )
    wild = rng.normal(0, 2, 250)
    assert shortfall.run_z2_test(wild, np.full(250, var), np.full(250, es), 0.025).p_value < 1e-4


@pytest.mark.parametrize("df", [3.0, 6.0, np.inf])
@pytest.mark.parametrize("level", [0.95, 0.975, 0.99])
def test_closed_forms_agree_with_integration(df: float, level: float) -> None:
    law = stats.norm() if np.isinf(df) else stats.t(df, scale=np.sqrt((df - 2) / df))
    q = law.ppf(level)
    assert ReturnLaw(df).value_at_risk(level) == pytest.approx(q, rel=1e-9)
    assert ReturnLaw(df).expected_shortfall(level) == pytest.approx(
        law.expect(lambda x: x, lb=q) / (1 - level), rel=1e-6
    )


@few
@given(losses=samples, level=levels)
def test_conventions(losses: np.ndarray, level: float) -> None:
    """``linear`` is NumPy's default, ``order`` its inverted distribution; ES is at least either."""
    linear, order = (
        measure_sample_tail(losses, level, "var", name) for name in ("linear", "order")
    )  # type: ignore[arg-type]
    assert linear == pytest.approx(np.quantile(losses, level), abs=1e-12)
    assert order == pytest.approx(np.quantile(losses, level, method="inverted_cdf"), abs=1e-12)
    assert measure_sample_tail(losses, level, "es") >= max(linear, order) - 1e-12
    assert compute_tail_weights(losses.size, level, "es", "linear").sum() == pytest.approx(1)


@few
@given(
    pair=st.integers(2, 60).flatmap(
        lambda n: st.tuples(*[st.lists(st.floats(-1, 1), min_size=n, max_size=n)] * 2)
    )
)
def test_shortfall_of_a_sample_is_subadditive(pair: tuple[list[float], list[float]]) -> None:
    one, other = map(np.array, pair)
    apart = measure_sample_tail(one, 0.9, "es") + measure_sample_tail(other, 0.9, "es")
    assert measure_sample_tail(one + other, 0.9, "es") <= apart + 1e-12


def test_value_at_risk_is_not() -> None:
    """Two bonds default in 4 days of 100 each, never together: 95% VaR is zero for each alone."""
    one, other = np.zeros(100), np.zeros(100)
    one[:4], other[4:8] = 1.0, 1.0
    assert (
        measure_sample_tail(one, 0.95)
        == measure_sample_tail(other, 0.95)
        == 0.0
        < measure_sample_tail(one + other, 0.95)
    )


def test_procyclicality_by_hand() -> None:
    margin = np.array([4.0, 2.0, 3.0, 5.0, 4.0])
    assert procyclicality.compute_peak_to_trough(margin) == 2.5
    assert [procyclicality.find_largest_rise(margin, days) for days in (1, 2, 30)] == [
        2.0,
        3.0,
        3.0,
    ]
    assert procyclicality.find_largest_rise(margin[:2], 5) == 0.0
    stressed = np.array([False, False, True, False, False])
    assert procyclicality.find_stressed_rise(margin, stressed, 3) == 1.0
    assert procyclicality.find_stressed_rise(margin, ~stressed, 3) == 3.0
    assert procyclicality.average_margin(margin) == 3.6
    assert procyclicality.average_excess(margin, 3.0) == pytest.approx(0.8)


def test_stressed_days_are_the_volatile_ones() -> None:
    losses = np.random.default_rng(0).normal(0, 1, 1000)
    losses[600:690] *= 10
    stressed = procyclicality.select_stressed_days(losses)
    assert stressed[620:690].all()
    assert not stressed[:600].any()
    assert stressed.mean() == pytest.approx(0.1, abs=0.005)


def test_diversification_needs_correlation_below_one() -> None:
    values, spread = np.array([10e6, -5e6]), np.array([0.02, 0.01])
    for rho, saved in ((-1.0, 0.0), (0.0, 1.0)):
        reported = compute_parametric_var(values, spread, np.array([[1, rho], [rho, 1]]), 10, 2.33)
        assert (reported[2] > 1e-6) == bool(saved)


@given(decay=st.floats(0.5, 0.999))
def test_a_weight_halves_after_its_half_life(decay: float) -> None:
    assert decay ** compute_half_life(decay) == pytest.approx(0.5)
    assert update_ewma(4.0, 4.0, decay) == pytest.approx(4.0)
