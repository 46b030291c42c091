"""R, its distance to one and self-excitation, where the truth is known (LIQ-7)."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import frames

from sim.errors import DataError
from sim.metrics.criticality import (
    compute_distance,
    fit_hawkes,
    tabulate_density,
    tabulate_feedback,
    tabulate_rounds,
)
from sim.recording.liquidation_profile import MARK_MOVES


def test_r_is_fresh_over_resting_and_infinite_where_nothing_rests() -> None:
    made = frames(40)
    made["profile"].loc[made["profile"]["move"] == -0.05, "resting"] = 0
    found = tabulate_feedback(made, "SPX-PERP")
    assert found.index.tolist() == [10, 20, 30, 40]
    assert found.drop(columns=-0.05).to_numpy() == pytest.approx(0.7)
    assert (found[-0.05] == np.inf).all()
    assert compute_distance(found).tolist() == pytest.approx([0.3] * 4)
    assert compute_distance(found, 0.05).tolist() == [-np.inf] * 4
    made["profile"].loc[made["profile"]["move"] == -0.05, "fresh"] = 0
    assert tabulate_feedback(made, "SPX-PERP")[-0.05].isna().all()


LOTS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)),
    min_size=len(MARK_MOVES),
    max_size=len(MARK_MOVES),
)


@given(LOTS, st.integers(1, 1000), st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_r_knows_no_unit_no_order_of_rows_and_rises_with_who_goes_under(
    lots, times, more, rnd
) -> None:
    made = frames(10)["profile"].head(len(MARK_MOVES))
    fresh, resting = (np.array(each) for each in zip(*lots, strict=True))
    found = tabulate_feedback({"profile": made.assign(fresh=fresh, resting=resting)}, "SPX-PERP")
    scaled = made.assign(fresh=times * fresh, resting=times * resting)
    mixed = scaled.iloc[rnd.sample(range(len(made)), len(made))]
    np.testing.assert_allclose(tabulate_feedback({"profile": mixed}, "SPX-PERP"), found)
    worse = tabulate_feedback(
        {"profile": made.assign(fresh=fresh + more, resting=resting)}, "SPX-PERP"
    )
    assert (found >= 0).all(axis=None)
    assert (worse >= found).all(axis=None)
    assert (compute_distance(worse) <= compute_distance(found)).all()
    assert (compute_distance(found) <= 1).all()


def test_density_is_what_lies_between_two_moves() -> None:
    """With 1e8 per percent on both sides, half of it lies nearer than ½%, and so on."""
    found = tabulate_density(frames(10), "SPX-PERP")
    assert len(found) == len(MARK_MOVES)
    assert (found["low"] < found["high"]).all()
    width = 100 * (found["high"] - found["low"])
    assert (found["at_risk"] / width).to_numpy() == pytest.approx(np.full(len(MARK_MOVES), 1e8))
    assert found["at_risk"].sum() == pytest.approx(2 * 1e9)


def test_an_older_versions_frames_are_named() -> None:
    made = frames(10)
    with pytest.raises(
        DataError, match=r"profile: no such frame, R needs it, make the run again with this version"
    ):
        tabulate_feedback(
            {name: frame for name, frame in made.items() if name != "profile"}, "SPX-PERP"
        )
    with pytest.raises(DataError, match="profile: no column 'at_risk', the heat map needs it"):
        tabulate_density(made | {"profile": made["profile"].drop(columns="at_risk")}, "SPX-PERP")


def branching(
    ratio: float, steps: int, seed: int, shocks: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate counts of a branching process until none is left, begun again in each step."""
    rng = np.random.default_rng(seed)
    counts, outside = [], []
    for _ in range(steps):
        now, first = rng.poisson(shocks), True
        while True:
            counts.append(now)
            outside.append(first)
            if not now:
                break
            now, first = rng.poisson(ratio * now), False
    return np.array(counts, dtype=float), np.array(outside)


@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.9])
def test_an_inar_process_is_found_and_its_interval_holds_the_truth(ratio: float) -> None:
    found = [fit_hawkes(*branching(ratio, 400, seed)) for seed in range(60)]
    assert np.mean([each.ratio for each in found]) == pytest.approx(ratio, abs=0.02)
    assert np.mean([each.low <= ratio <= each.high for each in found]) >= 0.85
    assert np.mean([each.baseline for each in found]) == pytest.approx(2, abs=0.1)


def test_memory_of_several_slots_is_divided_among_them() -> None:
    """Half of the children come one slot later, half two; the outside acts in every slot."""
    rng, counts = np.random.default_rng(1), np.zeros(6_000)
    for slot in range(counts.size):
        counts[slot] = rng.poisson(
            1 + 0.3 * counts[max(slot - 1, 0)] + 0.3 * counts[max(slot - 2, 0)]
        )
    found = fit_hawkes(counts, np.ones(counts.size, dtype=bool), lags=3)
    assert found.weights == pytest.approx([0.3, 0.3, 0], abs=0.05)
    assert found.low <= 0.6 <= found.high


@given(st.lists(st.integers(0, 30), min_size=3, max_size=40), st.integers(1, 3))
def test_weights_are_not_below_nil_and_nothing_is_known_of_nothing(
    counts: list[int], lags: int
) -> None:
    lags = min(lags, len(counts) - 1)
    found = fit_hawkes(np.array(counts, dtype=float), np.ones(len(counts), dtype=bool), lags)
    assert np.isnan(found.ratio) or (found.weights >= 0).all()
    assert np.isnan(found.ratio) or found.low <= found.ratio <= found.high
    assert any(counts[lags:]) or np.isnan(found.ratio)


def test_event_time_ends_each_step_with_a_round_of_none() -> None:
    closeouts = {
        "step": [2, 2, 2, 4],
        "round": [0, 0, 1, 0],
        "venue": ["V", "V", "V", "W"],
        "filled": [5, 1, 3, 9],
    }
    steps = pd.DataFrame({"step": [1, 1, 2, 2, 3, 3, 4, 4]})
    found = tabulate_rounds({"closeouts": pd.DataFrame(closeouts), "steps": steps}, "V")
    assert found["step"].tolist() == [1, 2, 2, 2, 3, 4]
    assert found["count"].tolist() == [0, 2, 1, 0, 0, 0]
    assert found["outside"].tolist() == [True, True, False, False, True, True]
