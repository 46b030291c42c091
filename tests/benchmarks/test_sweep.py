"""Two workers of the runner beside one, and all that a run does beside its steps."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from benchmarks.timing import spread

from agents import populate
from experiments.config import RunConfig
from experiments.results import provenance
from experiments.simulation import iterate_batches
from experiments.sweep.config import BASE, StudyConfig, load_study
from experiments.sweep.driver import run_jobs
from experiments.sweep.executors import open_pool
from experiments.sweep.messages import COMPLETE, SweepContext
from experiments.sweep.plan import JobPlanner, PlannedJob
from sim.market import Market

pytestmark = pytest.mark.benchmark

GATE, BLOCKS, RUNS = 0.925, 5, 100


def study() -> StudyConfig:
    """Small crashes in steps of 15 s, a run of which takes about 0.05 s on one core."""
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
    return StudyConfig.model_validate(base | {"seeds": 2 * RUNS + 4})


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


OVERHEAD_GATE, JOBS_TIMED = 0.25, 6
"""Largest time outside steps of a run over that of the same steps made plainly."""


def execute_seconds(units: Sequence[PlannedJob], folder: Path) -> float:
    """Return the CPU seconds in which jobs are made, written and scored in this process."""
    (folder / "runs").mkdir(parents=True)
    module = "experiments.studies.compression"
    version = provenance.read_version()
    place = SweepContext(str(folder), module, (), "", version, (), math.inf, apart=False)
    with open_pool("serial", 1) as pool:
        began = time.process_time()
        results = list(run_jobs(units, pool, place))
        taken = time.process_time() - began
    assert all(result.rows is not None for result in results)
    return taken


def step_seconds(units: Sequence[PlannedJob], *, plain: bool) -> float:
    """Return the CPU seconds in which the markets of jobs make their steps."""
    taken = 0.0
    for unit in units:
        config = RunConfig.model_validate_json(unit.dump_config(BASE))
        market = Market(config, populate(config.populations), seed=config.seed)
        began = time.process_time()
        for _ in iterate_batches(market, plain=plain):
            pass
        taken += time.process_time() - began
    return taken


def test_a_sweep_does_little_but_simulate(tmp_path: Path) -> None:
    """Markets, files, checksums and scores of ``compression`` beside the steps of its runs."""
    units = JobPlanner(load_study("compression", (), quick=True)).plan_first_jobs()
    shares, rates, outside = [], [], []
    for block in range(BLOCKS + 1):
        own = units[block * JOBS_TIMED : (block + 1) * JOBS_TIMED]
        step_seconds(own, plain=False)  # compiles, and loads what is compiled
        made = execute_seconds(own, tmp_path / str(block))
        compiled, plain = (step_seconds(own, plain=each) for each in (False, True))
        if block:
            shares.append((made - compiled) / plain)
            rates.append(len(own) / made)
            outside.append(1 - compiled / made)
    print(
        f"\nruns of compression, a CPU second: {spread(rates)}, share outside steps "
        f"{spread(outside)}; time outside steps over that of plain steps {spread(shares)}, "
        f"gate {OVERHEAD_GATE:g}"
    )
    assert sorted(shares)[len(shares) // 2] <= OVERHEAD_GATE
