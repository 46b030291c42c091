"""Memory of a large run (performance.md): 100,000 traders, 16 instruments, 1,000 steps."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

RUN = """
from benchmarks.markets import baseline
from experiments.results.provenance import measure_peak_memory

market = baseline(100_000, 1_000, instruments=8)
market.advance(1_000)
market.recorder.record_accounts("end")
print(sum(map(len, market.recorder.frames().values())))
print(len(market.contracts.names), measure_peak_memory())
"""
"""Eight perpetuals and eight spot instruments."""


def test_peak_memory() -> None:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests.parent), str(tests)])
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    instruments, megabytes = done.stdout.split()[-2:]
    gigabytes = float(megabytes) * 2**20 / 1e9
    print(
        f"\n100,000 traders, {instruments} instruments, 1,000 steps: "
        f"{gigabytes:.2f} GB at most, gate 1"
    )
    assert int(instruments) == 16
    assert gigabytes <= 1
