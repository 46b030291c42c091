"""Messages of measures and statistics to calls from Python: raised, and the remedy tried."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from experiments.statistics.fits import fit_crossing
from experiments.statistics.intervals import Estimate
from experiments.statistics.paired import compare_with_reference
from experiments.statistics.precision import count_further_runs
from experiments.statistics.screening import (
    compute_effects,
    define_problem,
    estimate_sobol_indices,
    screen_by_morris,
)
from experiments.statistics.sharing import compute_shapley_values, decompose_outcome
from experiments.statistics.tails import estimate_quantile
from sim.errors import DataError, DeleverageError
from sim.metrics.calm_benchmarks import compare_facts
from sim.metrics.cascades import measure_amplification, measure_fall
from sim.metrics.coverage import run_proportion_test
from sim.metrics.impact import estimate_impact_exponent, measure_impact
from sim.metrics.inputs import require_columns
from sim.metrics.shock_losses import measure_shock_losses
from sim.metrics.shortfall import compute_z2
from sim.metrics.traffic_light import classify_breaches
from sim.types import F8

Act = Callable[[], object]


def frames(
    marks: tuple[float, ...] = (100, 90, 80), names: tuple[str, ...] = ("P",), held: int = 5
) -> dict[str, pd.DataFrame]:
    """A run's frames: the same marks of each instrument of one venue."""
    rows = [
        {
            "venue": "v",
            "instrument": name,
            "kind": "perpetual",
            "step": step,
            "seconds": 60 * step,
            "mark": mark,
        }
        | {
            "open_interest": held,
            "gross": 2.0 * held * mark,
            "liquidated": 0,
            "adl": 0,
            "exogenous": mark,
        }
        for step, mark in enumerate(marks)
        for name in names
    ]
    losses = pd.DataFrame(columns=["venue", "step", "layer", "lots", "absorbed"])
    closeouts = pd.DataFrame(columns=["venue", "step", "owner", "instrument", "filled", "route"])
    return {"steps": pd.DataFrame(rows), "losses": losses, "closeouts": closeouts}


RUN, UP = frames(), frames((100, 110, 120))
LONG = frames(tuple(range(100, 140, 3)))
RUNS = pd.DataFrame({"x": [1.0, 1.0, 2.0, 2.0], "seed": [1, 2, 1, 2], "lost": [0.0, 0.1, 0.9, 1.0]})
TABLE = pd.DataFrame(
    {"a": [False, True, False, True], "b": [False, False, True, True], "lost": [0.0, 1.0, 2.0, 4.0]}
)
TWICE = pd.concat([TABLE, TABLE], keys=[1, 2], names=["seed"]).reset_index(0)
BOX = define_problem({"x": (0.0, 1.0), "y": (0.0, 1.0)})
POINTS = np.array([[0.0, 0.0], [2 / 3, 0.0], [2 / 3, 2 / 3]])


def sobol_values(varied: bool) -> F8:
    return np.arange(32.0) % 7 if varied else np.zeros(32)


CALLS: list[tuple[Act, str, Act]] = [
    (
        lambda: compare_facts(RUN, "Q"),
        "instrument: 'Q' is not one of P, use one of them",
        lambda: compare_facts(LONG, "P"),
    ),
    (
        lambda: compare_facts(RUN, "P", since=2),
        "'P' has 1 steps from 2 on, at least 2 are needed: choose an earlier step, or run longer",
        lambda: compare_facts(LONG, "P", since=1),
    ),
    (
        lambda: measure_fall(RUN, "PP", 1),
        "instrument: 'PP' is not one of P (did you mean 'P'?)",
        lambda: measure_fall(RUN, "P", 1),
    ),
    (
        lambda: measure_fall(RUN, "P", 0),
        "since: 0, 'P' has no marks at it and at the step before: choose one of 1 to 2",
        lambda: measure_fall(RUN, "P", 1),
    ),
    (
        lambda: measure_fall(RUN, "P", 9),
        "since: 9, 'P' has no marks at it and at the step before: choose one of 1 to 2",
        lambda: measure_fall(RUN, "P", 2),
    ),
    (
        lambda: measure_amplification(RUN, UP, "P", 1),
        "'P' does not fall from step 1 on in the twin run; choose a falling market",
        lambda: measure_amplification(RUN, RUN, "P", 1),
    ),
    (
        lambda: measure_impact(RUN, UP, "Q", 1),
        "instrument: 'Q' is not one of P, use one of them",
        lambda: measure_impact(RUN, UP, "P", 1),
    ),
    (
        lambda: measure_impact(RUN, UP, "P", 7),
        "step: 7, 'P' has marks at 0 to 2: choose a step of both runs",
        lambda: measure_impact(RUN, UP, "P", 2),
    ),
    (
        lambda: estimate_impact_exponent(
            np.array([1.0, 2.0]), np.array([[-1.0, 1.0], [-1.0, 2.0]])
        ),
        "mean impacts [-1.0, 1.5] must be above 0; take larger orders or more seeds",
        lambda: estimate_impact_exponent(
            np.array([1.0, 2.0]), np.array([[1.0, 1.5], [1.0, 2.0]]), 10
        ),
    ),
    (
        lambda: measure_shock_losses(RUN, "Q", 1),
        "instrument: 'Q' is not one of P, use one of them",
        lambda: measure_shock_losses(RUN, "P", 1),
    ),
    (
        lambda: measure_shock_losses(RUN, "P", 0),
        "since: 0, 'P' has no step before it: choose one of 1 to 2",
        lambda: measure_shock_losses(RUN, "P", 1),
    ),
    (
        lambda: measure_shock_losses(frames(names=("P", "Q")), "P", 1),
        "'v' lists P, Q; take-overs can be measured at venues with one perpetual only: name the "
        "perpetual of such a venue",
        lambda: measure_shock_losses(RUN, "P", 1),
    ),
    (
        lambda: measure_shock_losses(frames(held=0), "P", 1),
        "'P' has no open interest at step 0; choose a later shock",
        lambda: measure_shock_losses(RUN, "P", 2),
    ),
    (
        lambda: run_proportion_test(0, 0, 0.01),
        "days: 0, must be at least 1, give more",
        lambda: run_proportion_test(1, 0, 0.01),
    ),
    (
        lambda: run_proportion_test(5, 6, 0.01),
        "breaches: 6, must lie between 0 and the 5 days, count them again",
        lambda: run_proportion_test(5, 5, 0.01),
    ),
    (
        lambda: run_proportion_test(5, 1, 1.0),
        "p: 1.0, must lie strictly between 0 and 1, give a share of days",
        lambda: run_proportion_test(5, 1, 0.5),
    ),
    (
        lambda: classify_breaches(5, 6),
        "6 breaches of 5 days at p = 0.01: no such sample, there must be at least 1 day, 0 to "
        "that many breaches, and "
        "a p between 0 and 1: correct them",
        lambda: classify_breaches(5, 5),
    ),
    (
        lambda: compute_z2(np.zeros(2), np.ones(2), np.array([1.0, 0.0]), 0.1),
        "z2: needs days, and an expected shortfall above 0 on each, leave out the others",
        lambda: compute_z2(np.zeros(1), np.ones(1), np.array([1.0]), 0.1),
    ),
    (
        lambda: require_columns({"steps": RUN["steps"]}, {"stepz": ["mark"]}, "warning"),
        "stepz: no such frame, warning needs it (did you mean 'steps'?)",
        lambda: require_columns({"steps": RUN["steps"]}, {"steps": ["mark"]}, "warning"),
    ),
    (
        lambda: require_columns(RUN, {"steps": ["marke"]}, "warning"),
        "steps: no column 'marke' (did you mean 'mark'?), warning needs it, make the run again "
        "with this version",
        lambda: require_columns(RUN, {"steps": ["mark"]}, "warning"),
    ),
    (
        lambda: require_columns(
            {"steps": RUN["steps"].astype({"mark": str})}, {"steps": ["mark"]}, "warning"
        ),
        "steps: no numbers in 'mark' (",
        lambda: require_columns(RUN, {"steps": ["mark"]}, "warning"),
    ),
    (
        lambda: require_columns(frames((1, np.nan)), {"steps": ["mark"]}, "warning", gaps=False),
        "steps: nan or infinite in 'mark', warning needs every number, make the run again with "
        "this version",
        lambda: require_columns(RUN, {"steps": ["mark"]}, "warning", gaps=False),
    ),
    # statistics
    (
        lambda: estimate_quantile(np.arange(9.0), 1.5),
        "level: 1.5, must lie between 0 and 1, write 0.95",
        lambda: estimate_quantile(np.arange(200.0), 0.95),
    ),
    (
        lambda: estimate_quantile(np.arange(50.0), 0.95),
        "level: 0.95 of 50 replications, at most 0.8 leaves 10 beyond it, make 200 replications "
        "or ask "
        "for a lower level",
        lambda: estimate_quantile(np.arange(50.0), 0.8),
    ),
    (
        lambda: estimate_quantile(np.arange(50.0), 0.95),
        "level: 0.95 of 50 replications, at most 0.8 leaves 10 beyond it, make 200 replications "
        "or ask "
        "for a lower level",
        lambda: estimate_quantile(np.arange(200.0), 0.95),
    ),
    (
        lambda: fit_crossing(RUNS[RUNS["x"] == 1], "x", "lost", 0.5),
        "x: 1 settings, a crossing needs two, add values of the axis",
        lambda: fit_crossing(RUNS, "x", "lost", 0.5),
    ),
    (
        lambda: fit_crossing(RUNS.assign(lost=[np.nan, np.nan, 1.0, 1.0]), "x", "lost", 0.5),
        "x: no run at 1 has lost, every setting needs one, make them",
        lambda: fit_crossing(RUNS, "x", "lost", 0.5),
    ),
    (
        lambda: compare_with_reference(RUNS, "x", 3.0, [], ["lost"]),
        "x: no run at 3.0, choose one of 1.0, 2.0, or make some",
        lambda: compare_with_reference(RUNS, "x", 1.0, [], ["lost"]),
    ),
    (
        lambda: compute_shapley_values(np.zeros(3)),
        "payoffs: 3 coalitions, must be a power of two: give every one",
        lambda: compute_shapley_values(np.zeros(4)),
    ),
    (
        lambda: decompose_outcome(TABLE[:3], ["a", "b"], "lost", []),
        "coalition a + b: 0 rows, every coalition needs one, add the missing runs or name more "
        "columns that make a setting",
        lambda: decompose_outcome(TABLE, ["a", "b"], "lost", []),
    ),
    (
        lambda: decompose_outcome(TWICE, ["a", "b"], "lost", []),
        "coalition none: 2 rows, every coalition needs one, add the missing runs or name more "
        "columns that make a setting",
        lambda: decompose_outcome(TWICE, ["a", "b"], "lost", ["seed"]),
    ),
    (
        lambda: screen_by_morris(BOX, POINTS, np.zeros(2)),
        "outcome: 2 for 3 points, trajectories have 3 points each, give one of each",
        lambda: compute_effects(POINTS, np.array([[0.0], [1.0], [2.0]])),
    ),
    (
        lambda: screen_by_morris(BOX, POINTS, np.array([0.0, np.nan, 1.0])),
        "outcome: point 1 has none, every point needs all its runs, make them",
        lambda: compute_effects(POINTS, np.array([[0.0], [1.0], [2.0]])),
    ),
    (
        lambda: estimate_sobol_indices(BOX, sobol_values(varied=False)),
        "outcome: 0 at every point, indices need values that vary: widen the ranges, or choose "
        "another outcome",
        lambda: estimate_sobol_indices(BOX, sobol_values(varied=True)),
    ),
    (
        lambda: estimate_sobol_indices(
            BOX, np.where(np.arange(32) == 3, np.nan, sobol_values(varied=True))
        ),
        "outcome: point 3 has none, every point needs all its runs, make them",
        lambda: estimate_sobol_indices(BOX, sobol_values(varied=True)),
    ),
]


@pytest.mark.parametrize(
    ("wrong", "expected", "mended"), CALLS, ids=[expected[:50] for _, expected, _ in CALLS]
)
def test_the_remedy_of_a_wrong_call_works(wrong: Act, expected: str, mended: Act) -> None:
    with pytest.raises((DeleverageError, DataError, ValueError, KeyError)) as raised:
        wrong()
    assert str(raised.value.args[0]).startswith(expected), raised.value
    mended()


def test_a_width_is_above_zero() -> None:
    found = Estimate(100, 0.5, 0.4, 0.6)
    with pytest.raises(ValueError, match="half: 0, a width must be above 0: raise it"):
        count_further_runs(found, 0)
    assert count_further_runs(found, 0.05) == 300
