"""Warnings judged on readings small enough to count by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.studies import early_warning
from sim.metrics.indicator_roc import (
    WarningLead,
    compute_roc,
    compute_roc_area,
    find_threshold,
    measure_leads,
)

SCORE = np.array([0.1, 0.4, 0.35, 0.8])
EVENT = np.array([False, False, True, True])


def test_an_area_by_hand() -> None:
    """Three of four pairs are in order; a tie counts half."""
    assert compute_roc_area(SCORE, EVENT) == 0.75
    assert compute_roc_area(np.zeros(4), EVENT) == 0.5
    assert np.isnan(compute_roc_area(SCORE, np.zeros(4, dtype=bool)))


def test_the_curve_and_its_threshold() -> None:
    curve = compute_roc(SCORE, EVENT)
    assert curve[["false", "true"]].to_numpy().tolist() == [
        [0, 0],
        [0, 0.5],
        [0.5, 0.5],
        [0.5, 1],
        [1, 1],
    ]
    assert find_threshold(SCORE, EVENT, 0.1) == 0.8
    assert find_threshold(SCORE, EVENT, 0.5) == 0.35
    assert find_threshold(np.ones(4), EVENT, 0.1) == np.inf


def test_a_lead_is_as_long_as_the_alarm_stood() -> None:
    times, alarm = np.arange(5) * 10.0, np.array([True, False, True, True, False])
    assert measure_leads(times, alarm, np.array([5.0, 15.0, 35.0, 45.0, 0.0])) == [
        *(
            WarningLead(True, 5.0),
            WarningLead(False, 0.0),
            WarningLead(True, 15.0),
            WarningLead(False, 0.0),
            WarningLead(False, 0.0),
        ),
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_that_under_the_curve_and_turns_with_the_score(
    rows: list[tuple[int, bool]],
) -> None:
    score, event = (np.array(column) for column in zip(*rows, strict=True))
    if event.all() or not event.any():
        return
    curve = compute_roc(score.astype(float), event)
    assert compute_roc_area(score, event) == pytest.approx(
        np.trapezoid(curve["true"], curve["false"])
    )
    assert compute_roc_area(-score, event) == pytest.approx(1 - compute_roc_area(score, event))
    assert (curve[["false", "true"]].diff().iloc[1:] >= 0).all(axis=None)


def readings(seed: int, good: bool) -> pd.DataFrame:
    """Forty readings of one run; an event follows the last six. ``good``: R(1%) knows."""
    seconds = np.arange(40) * 600.0 + 7200
    until = np.maximum(seconds[-1] + 300 - seconds, 0.0)
    noise = np.random.default_rng(seed).random((len(early_warning.INDICATORS), 40))
    reported = dict(zip(early_warning.INDICATORS, noise, strict=True))
    reported["r_1"] = np.where(until <= 3600, 2.0, 0.5) if good else reported["r_1"]
    setting = {"capital": 1e5 * (1 + seed % 2), "cap": 40.0, "seed": seed}
    return pd.DataFrame(
        {
            **setting,
            "step": np.arange(40),
            "seconds": seconds,
            **reported,
            "until": until,
            "size": 0.01,
        }
    )


def test_an_indicator_that_knows_is_found_and_told(tmp_path) -> None:
    runs = pd.concat([readings(seed, True) for seed in range(12)], ignore_index=True)
    table = early_warning.tables(runs)["indicators"].set_index("indicator")
    assert table.loc["r_1", ["area", "within", "warned"]].tolist() == [1, 1, 1]
    assert table.loc["r_1", "lead"] == pytest.approx(55)
    assert table.loc["spread", "area"] < 0.7
    report = early_warning.report(runs)
    assert report.startswith(
        "- For a cascade within the hour, R(1%) has the largest area over all markets, 1.\n"
    )
    warned = "before 100% (95% CI 100 to 100) of 12 cascades, with a median lead of 55 min"
    assert warned in report
    early_warning.figures(runs, tmp_path)
    assert {path.name for path in tmp_path.glob("*.pdf")} == {
        "early_warning.pdf",
        "phase_diagram.pdf",
    }


@pytest.mark.slow
def test_markets_that_share_their_draws_are_no_evidence_of_their_own() -> None:
    """The same days in twelve markets carry no more information than in one; other days do."""
    once = pd.concat([readings(seed, False) for seed in range(4)], ignore_index=True)
    copies = pd.concat([once.assign(cap=float(cap)) for cap in range(12)], ignore_index=True)
    others = pd.concat([readings(seed, False) for seed in range(24)], ignore_index=True)
    width = {}
    for name, runs in (("once", once), ("copies", copies), ("others", others)):
        table = early_warning.tables(runs)["indicators"].set_index("indicator")
        width[name] = table["area_high"] - table["area_low"]
    pd.testing.assert_series_equal(width["once"], width["copies"])
    assert (width["others"] < 0.7 * width["once"]).mean() > 0.7


def test_a_study_without_cascades_says_so() -> None:
    runs = readings(1, False).assign(until=np.inf, size=0.0)
    assert early_warning.report(runs).startswith(
        "- No cascade of the required size followed any reading"
    )
