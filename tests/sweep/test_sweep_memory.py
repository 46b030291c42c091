"""Memory of the driver of ten thousand short runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DRIVER = """
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from experiments.results.provenance import measure_peak_memory
from experiments.sweep import runner
from experiments.sweep.config import load_study
from experiments.sweep.messages import COMPLETE, JobResult, RunStatus


class Workers:
    n_slots, most = 2, 0

    def submit(self, order):
        future = Future()
        future.set_result([self.done(job) for job in order.jobs])
        return future

    def done(self, job):
        states = {role: RunStatus(spec.hash, COMPLETE) for role, spec in job.runs.items()}
        measures = {f"measure_{k}": [float(job.number * k)] for k in range(20)}
        rows = pd.DataFrame(measures | {"low": 1.0, "alone": 1.0, "closed": 0})
        return JobResult(job.number, states, rows, "", (), 0.05)

    def collect_results(self, future):
        return future.result()


@contextmanager
def open_pool(executor, jobs):
    yield Workers()


runner.open_pool = open_pool
study = load_study(Path("tiny.yaml"), seeds=2500).model_copy(update={"metrics": ()})
outcome = runner.run_sweep(study, out=Path(OUT))
print(len(outcome.runs), measure_peak_memory())
"""


@pytest.mark.slow
def test_ten_thousand_runs_fit_a_small_driver(tmp_path: Path) -> None:
    """The driver plans, collects and tabulates 10,000 runs; workers and bootstraps are left out."""
    settings = os.environ | {"PYTHONPATH": str(ROOT)}
    code = f"OUT = {str(tmp_path / 'x')!r}\n{DRIVER}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT / "tests" / "studies", env=settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows, megabytes = done.stdout.split()[-2:]
    print(f"driver of 10,000 settings and replications: {float(megabytes):.0f} MB at most")
    assert int(rows) == 20_000, "each with its twin"
    assert float(megabytes) < 500
