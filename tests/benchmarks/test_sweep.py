"""Two workers of the runner beside one, on runs of about a second."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks.timing import spread

from experiments.results import provenance
from experiments.sweep.config import StudyConfig
from experiments.sweep.driver import run_jobs
from experiments.sweep.executors import open_pool
from experiments.sweep.messages import COMPLETE, SweepContext
from experiments.sweep.plan import JobPlanner, PlannedJob

pytestmark = pytest.mark.benchmark

GATE, BLOCKS, RUNS = 0.9, 5, 8


def study() -> StudyConfig:
    """Small crashes in steps of 15 s, a run of which takes about a second on one core."""
    axis = {
        "name": "cap",
        "values": [20],
        "paths": {"venues.0.engine.requirement.tiers.0.max_leverage": 1},
    }
    base = {
        "name": "refinement",
        "base": "small_crash",
        "overrides": {"profile_every": 0, "dt": 15},
        "axes": [axis],
    }
    return StudyConfig.model_validate(base | {"seeds": BLOCKS * 3 * RUNS + 10})


def rate(folder: Path, units: Sequence[PlannedJob], jobs: int) -> float:
    """Runs a second, from when all workers have imported and compiled what they need."""
    (folder / "runs").mkdir(parents=True)
    place = SweepContext(
        str(folder),
        "experiments.studies.refinement",
        (),
        "",
        provenance.read_version(),
        (),
        600.0,
        apart=True,
    )
    with open_pool("loky", jobs) as pool:
        warm, timed = units[: 2 * jobs], units[2 * jobs :]
        assert len(list(run_jobs(warm, pool, place))) == len(warm)
        began = time.perf_counter()
        results = list(run_jobs(timed, pool, place))
        taken = time.perf_counter() - began
    assert all(result.states["base"].status == COMPLETE for result in results)
    return len(timed) / taken


def test_two_workers_do_nearly_twice_the_work(tmp_path: Path) -> None:
    units = JobPlanner(study()).plan_first_jobs()
    one, two = [], []
    for block in range(BLOCKS):
        one.append(rate(tmp_path / f"{block}-1", units[: RUNS + 2], 1))
        two.append(rate(tmp_path / f"{block}-2", units[: 2 * RUNS + 4], 2))
    shares = [double / (2 * single) for single, double in zip(one, two, strict=True)]
    print(
        f"runs a second: one worker {spread(one)}, two {spread(two)}; "
        f"share of twice {spread(shares)}"
    )
    assert sorted(shares)[len(shares) // 2] >= GATE
