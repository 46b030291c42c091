"""Messages of measures and statistics to calls from Python: each is raised, and the remedy that it names is tried."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from experiments.statistics.fits import read_off
from experiments.statistics.intervals import Estimate
from experiments.statistics.paired import against
from experiments.statistics.precision import further
from experiments.statistics.screening import effects, morris, problem, sobol
from experiments.statistics.sharing import decompose, shapley
from experiments.statistics.tails import quantile
from sim.errors import DataError, DeleverageError
from sim.metrics.calm import returns_of
from sim.metrics.cascades import amplification, fall
from sim.metrics.coverage import proportion
from sim.metrics.impact import exponent, impact
from sim.metrics.inputs import require
from sim.metrics.shortfall import z2
from sim.metrics.toll import toll
from sim.metrics.traffic_light import traffic_light
from sim.types import F8

Act = Callable[[], object]


def frames(
    marks: tuple[float, ...] = (100, 90, 80), names: tuple[str, ...] = ("P",), held: int = 5
) -> dict[str, pd.DataFrame]:
    """A run's frames: the same marks of each instrument of one venue."""
    rows = [
        {"venue": "v", "instrument": name, "kind": "perpetual", "step": step, "seconds": 60 * step, "mark": mark}
        | {"open_interest": held, "gross": 2.0 * held * mark, "liquidated": 0, "adl": 0, "exogenous": mark}
        for step, mark in enumerate(marks)
        for name in names
    ]
    losses = pd.DataFrame(columns=["venue", "step", "layer", "lots", "absorbed"])
    closeouts = pd.DataFrame(columns=["venue", "step", "owner", "instrument", "filled", "route"])
    return {"steps": pd.DataFrame(rows), "losses": losses, "closeouts": closeouts}


RUN, UP = frames(), frames((100, 110, 120))
LONG = frames(tuple(range(100, 140, 3)))
RUNS = pd.DataFrame({"x": [1.0, 1.0, 2.0, 2.0], "seed": [1, 2, 1, 2], "lost": [0.0, 0.1, 0.9, 1.0]})
TABLE = pd.DataFrame({"a": [False, True, False, True], "b": [False, False, True, True], "lost": [0.0, 1.0, 2.0, 4.0]})
TWICE = pd.concat([TABLE, TABLE], keys=[1, 2], names=["seed"]).reset_index(0)
BOX = problem({"x": (0.0, 1.0), "y": (0.0, 1.0)})
POINTS = np.array([[0.0, 0.0], [2 / 3, 0.0], [2 / 3, 2 / 3]])


def sobol_values(varied: bool) -> F8:
    return np.arange(32.0) % 7 if varied else np.zeros(32)


CALLS: list[tuple[Act, str, Act]] = [
    (lambda: returns_of(RUN, "Q"), "instrument: 'Q' is not one of P, use one of them", lambda: returns_of(LONG, "P")),
    (
        lambda: returns_of(RUN, "P", since=2),
        "'P' has 1 steps from 2 on, at least 2 are needed: choose an earlier step, or run longer",
        lambda: returns_of(LONG, "P", since=1),
    ),
    (lambda: fall(RUN, "PP", 1), "instrument: 'PP' is not one of P (did you mean 'P'?)", lambda: fall(RUN, "P", 1)),
    (
        lambda: fall(RUN, "P", 0),
        "since: 0, 'P' has no marks at it and at the step before: choose one of 1 to 2",
        lambda: fall(RUN, "P", 1),
    ),
    (
        lambda: fall(RUN, "P", 9),
        "since: 9, 'P' has no marks at it and at the step before: choose one of 1 to 2",
        lambda: fall(RUN, "P", 2),
    ),
    (
        lambda: amplification(RUN, UP, "P", 1),
        "'P' does not fall from step 1 on in the twin run; choose a falling market",
        lambda: amplification(RUN, RUN, "P", 1),
    ),
    (
        lambda: impact(RUN, UP, "Q", 1),
        "instrument: 'Q' is not one of P, use one of them",
        lambda: impact(RUN, UP, "P", 1),
    ),
    (
        lambda: impact(RUN, UP, "P", 7),
        "step: 7, 'P' has marks at 0 to 2: choose a step of both runs",
        lambda: impact(RUN, UP, "P", 2),
    ),
    (
        lambda: exponent(np.array([1.0, 2.0]), np.array([[-1.0, 1.0], [-1.0, 2.0]])),
        "mean impacts [-1.0, 1.5] must be above 0; take larger orders or more seeds",
        lambda: exponent(np.array([1.0, 2.0]), np.array([[1.0, 1.5], [1.0, 2.0]]), 10),
    ),
    (lambda: toll(RUN, "Q", 1), "instrument: 'Q' is not one of P, use one of them", lambda: toll(RUN, "P", 1)),
    (
        lambda: toll(RUN, "P", 0),
        "since: 0, 'P' has no step before it: choose one of 1 to 2",
        lambda: toll(RUN, "P", 1),
    ),
    (
        lambda: toll(frames(names=("P", "Q")), "P", 1),
        "'v' lists P, Q; take-overs are told of venues with one perpetual only: name the perpetual of such a venue",
        lambda: toll(RUN, "P", 1),
    ),
    (
        lambda: toll(frames(held=0), "P", 1),
        "'P' has no open interest at step 0; choose a later shock",
        lambda: toll(RUN, "P", 2),
    ),
    (lambda: proportion(0, 0, 0.01), "days: 0, must be at least 1, give more", lambda: proportion(1, 0, 0.01)),
    (
        lambda: proportion(5, 6, 0.01),
        "breaches: 6, must lie between 0 and the 5 days, count them again",
        lambda: proportion(5, 5, 0.01),
    ),
    (
        lambda: proportion(5, 1, 1.0),
        "p: 1.0, must lie strictly between 0 and 1, give a share of days",
        lambda: proportion(5, 1, 0.5),
    ),
    (
        lambda: traffic_light(5, 6),
        "6 breaches of 5 days at p = 0.01: no such sample, there must be at least 1 day, 0 to that many breaches, and "
        "a p between 0 and 1: correct them",
        lambda: traffic_light(5, 5),
    ),
    (
        lambda: z2(np.zeros(2), np.ones(2), np.array([1.0, 0.0]), 0.1),
        "z2: needs days, and an expected shortfall above 0 on each, leave out the others",
        lambda: z2(np.zeros(1), np.ones(1), np.array([1.0]), 0.1),
    ),
    (
        lambda: require({"steps": RUN["steps"]}, {"stepz": ["mark"]}, "warning"),
        "stepz: no such frame, warning needs it (did you mean 'steps'?)",
        lambda: require({"steps": RUN["steps"]}, {"steps": ["mark"]}, "warning"),
    ),
    (
        lambda: require(RUN, {"steps": ["marke"]}, "warning"),
        "steps: no column 'marke' (did you mean 'mark'?), warning needs it, make the run again with this version",
        lambda: require(RUN, {"steps": ["mark"]}, "warning"),
    ),
    (
        lambda: require({"steps": RUN["steps"].astype({"mark": str})}, {"steps": ["mark"]}, "warning"),
        "steps: no numbers in 'mark' (",
        lambda: require(RUN, {"steps": ["mark"]}, "warning"),
    ),
    (
        lambda: require(frames((1, np.nan)), {"steps": ["mark"]}, "warning", gaps=False),
        "steps: nan or infinite in 'mark', warning needs every number, make the run again with this version",
        lambda: require(RUN, {"steps": ["mark"]}, "warning", gaps=False),
    ),
    # statistics
    (
        lambda: quantile(np.arange(9.0), 1.5),
        "level: 1.5, must lie between 0 and 1, write 0.95",
        lambda: quantile(np.arange(200.0), 0.95),
    ),
    (
        lambda: quantile(np.arange(50.0), 0.95),
        "level: 0.95 of 50 replications, at most 0.8 leaves 10 beyond it, make 200 replications or ask "
        "for a lower level",
        lambda: quantile(np.arange(50.0), 0.8),
    ),
    (
        lambda: quantile(np.arange(50.0), 0.95),
        "level: 0.95 of 50 replications, at most 0.8 leaves 10 beyond it, make 200 replications or ask "
        "for a lower level",
        lambda: quantile(np.arange(200.0), 0.95),
    ),
    (
        lambda: read_off(RUNS[RUNS["x"] == 1], "x", "lost", 0.5),
        "x: 1 settings, a crossing needs two, add values of the axis",
        lambda: read_off(RUNS, "x", "lost", 0.5),
    ),
    (
        lambda: read_off(RUNS.assign(lost=[np.nan, np.nan, 1.0, 1.0]), "x", "lost", 0.5),
        "x: no run at 1 has lost, every setting needs one, make them",
        lambda: read_off(RUNS, "x", "lost", 0.5),
    ),
    (
        lambda: against(RUNS, "x", 3.0, [], ["lost"]),
        "x: no run at 3.0, choose one of 1.0, 2.0, or make some",
        lambda: against(RUNS, "x", 1.0, [], ["lost"]),
    ),
    (
        lambda: shapley(np.zeros(3)),
        "worth: 3 coalitions, must be a power of two: give every one",
        lambda: shapley(np.zeros(4)),
    ),
    (
        lambda: decompose(TABLE[:3], ["a", "b"], "lost", []),
        "coalition a + b: 0 rows, every coalition needs one, add the missing runs or name more "
        "columns that make a setting",
        lambda: decompose(TABLE, ["a", "b"], "lost", []),
    ),
    (
        lambda: decompose(TWICE, ["a", "b"], "lost", []),
        "coalition none: 2 rows, every coalition needs one, add the missing runs or name more "
        "columns that make a setting",
        lambda: decompose(TWICE, ["a", "b"], "lost", ["seed"]),
    ),
    (
        lambda: morris(BOX, POINTS, np.zeros(2)),
        "outcome: 2 for 3 points, trajectories have 3 points each, give one of each",
        lambda: effects(POINTS, np.array([[0.0], [1.0], [2.0]])),
    ),
    (
        lambda: morris(BOX, POINTS, np.array([0.0, np.nan, 1.0])),
        "outcome: point 1 has none, every point needs all its runs, make them",
        lambda: effects(POINTS, np.array([[0.0], [1.0], [2.0]])),
    ),
    (
        lambda: sobol(BOX, sobol_values(varied=False)),
        "outcome: 0 at every point, indices need values that vary: widen the ranges, or choose another outcome",
        lambda: sobol(BOX, sobol_values(varied=True)),
    ),
    (
        lambda: sobol(BOX, np.where(np.arange(32) == 3, np.nan, sobol_values(varied=True))),
        "outcome: point 3 has none, every point needs all its runs, make them",
        lambda: sobol(BOX, sobol_values(varied=True)),
    ),
]


@pytest.mark.parametrize(("wrong", "told", "mended"), CALLS, ids=[told[:50] for _, told, _ in CALLS])
def test_the_remedy_of_a_wrong_call_works(wrong: Act, told: str, mended: Act) -> None:
    with pytest.raises((DeleverageError, DataError, ValueError, KeyError)) as raised:
        wrong()
    assert str(raised.value.args[0]).startswith(told), raised.value
    mended()


def test_a_width_is_above_zero() -> None:
    found = Estimate(100, 0.5, 0.4, 0.6)
    with pytest.raises(ValueError, match="half: 0, a width must be above 0: raise it"):
        further(found, 0)
    assert further(found, 0.05) == 300
