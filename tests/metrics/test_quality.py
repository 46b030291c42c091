"""Market quality by hand, and tails of laws that are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.cascades.tails import fit_tail, measure_finite_size
from sim.errors import DataError
from sim.metrics.market_quality import measure_quality


def run() -> dict[str, pd.DataFrame]:
    step = np.arange(1, 7)
    steps = {"step": step, "seconds": 600.0 * step, "instrument": "P", "venue": "V", "gross": 1000}
    steps |= {
        "oracle": [100.0, 99, 98, 97, 98, 99],
        "mark": [100.0, 99, 98, 97, 98, 99],
    }
    steps |= {
        "bid": 99.0,
        "ask": [100.0, 100, 100, 103, 101, 100],
        "mid": 100.0,
        "depth": [10.0, 10, 8, 2, 6, 9],
    }
    reported = {"step": step, "venue": "V", "initial": [50, 50, 60, 100, 80, 50]}
    reported |= {"calls_met": [1, 0, 0, 0, 0, 0], "calls_missed": [0, 0, 3, 0, 0, 0]}
    worth = {"step": step, "venue": "V", "population": "makers", "equity": [90, 90, 70, 10, 50, 80]}
    return {
        name: pd.DataFrame(each)
        for name, each in (("steps", steps), ("venues", reported), ("populations", worth))
    }


def test_a_spiral_by_hand() -> None:
    found = measure_quality(run(), "P", ("makers",))
    assert found.margin_peak_to_trough == 2
    assert found.margin_rise == pytest.approx(0.05)
    assert found.calls_met == 0.25
    assert found.depth_trough == pytest.approx(2 / 8.5)
    assert found.spread_peak == 4
    assert found.efficiency == 1
    assert found.spiral == pytest.approx(1)


def test_nothing_held_and_nothing_recorded_are_nan() -> None:
    made = run()
    made["steps"]["gross"] = 0
    found = measure_quality(made | {"populations": made["populations"].iloc[:0]}, "P", ("makers",))
    assert np.isnan(found.margin_peak_to_trough)
    assert np.isnan(found.spiral)
    with pytest.raises(DataError, match="populations: no such frame, quality needs it"):
        measure_quality({"steps": made["steps"], "venues": made["venues"]}, "P", ("makers",))
    with pytest.raises(DataError, match="'Q' has no step from 2 on, name a perpetual of the run"):
        measure_quality(made, "Q", ("makers",), since=2)


@given(
    st.lists(st.tuples(*[st.integers(1, 10**6)] * 4), min_size=6, max_size=6),
    st.integers(2, 1000),
    st.randoms(use_true_random=False),
)
def test_quality_has_bounds_and_knows_neither_units_nor_order(rows, times, rnd) -> None:
    made = run()
    initial, depth, equity, width = (
        np.array(each, dtype=float) for each in zip(*rows, strict=True)
    )
    steps = made["steps"].assign(depth=depth, gross=10**6, bid=99.0, ask=99.0 + width / 10**6)
    reported = made["venues"].assign(initial=initial)
    people = made["populations"].assign(equity=equity)
    found = measure_quality(
        {"steps": steps, "venues": reported, "populations": people}, "P", ("makers",)
    )
    assert found.margin_peak_to_trough >= 1
    assert 0 <= found.depth_trough <= 1 <= found.spread_peak
    assert 0 <= found.calls_met <= 1
    assert found.efficiency <= 1
    assert np.isnan(found.spiral) or -1 - 1e-9 <= found.spiral <= 1 + 1e-9
    larger = steps.assign(gross=times * 10**6, depth=times * depth)
    raised = reported.assign(initial=times * initial)
    mixed = people.assign(equity=times * equity).iloc[rnd.sample(range(6), 6)]
    again = measure_quality(
        {"steps": larger, "venues": raised, "populations": mixed}, "P", ("makers",)
    )
    assert again == pytest.approx(found, nan_ok=True)


def test_an_exponent_beyond_three_is_found() -> None:
    """The package alone would stop at 3, and call every rival the better."""
    draws = (1 - np.random.default_rng(2).random(2000)) ** (-1 / 3.0)
    found = fit_tail(draws).set_index("rival")
    assert found["exponent"].iloc[0] == pytest.approx(4, abs=0.4)
    assert (found.loc[["lognormal", "truncated_power_law"], "p"] > 0.05).all()


def test_sizes_that_hardly_differ_are_told() -> None:
    with pytest.raises(
        DataError, match="tail: 2 different of 20 sizes above 0, too few for laws to differ"
    ):
        fit_tail(np.repeat([1.0, 2.0], 10), discrete=True)


def test_a_power_law_is_told_from_an_exponential() -> None:
    draws = np.random.default_rng(1)
    heavy = fit_tail((1 - draws.random(1000)) ** (-1 / 1.5)).set_index("rival")
    assert heavy["exponent"].iloc[0] == pytest.approx(2.5, abs=0.2)
    assert heavy.loc["exponential", "ratio"] > 0
    assert heavy.loc["exponential", "p"] < 0.05
    light = fit_tail(1 + draws.exponential(1.0, 1000)).set_index("rival")
    assert light.loc["exponential", "ratio"] <= 0.0 or light.loc["exponential", "p"] > 0.05
    with pytest.raises(
        DataError, match="tail: 3 different of 3 sizes above 0, 20 that are not all"
    ):
        fit_tail(np.array([1.0, 2, 3, 0]))


def test_a_cutoff_that_grows_with_the_system_keeps_its_share() -> None:
    table = measure_finite_size({100: np.array([1.0, 1, 50]), 1000: np.array([1.0, 1, 500])})
    assert table["cutoff"].tolist() == pytest.approx([2502 / 52, 250_002 / 502])
    assert table["share"].round(2).tolist() == [0.48, 0.5]
