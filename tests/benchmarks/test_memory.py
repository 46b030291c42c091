"""Memory of a large run (performance.md, "What we ask"): 100,000 traders, 16 instruments, 1,000 steps recorded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

RUN = """
import resource
from benchmarks.markets import baseline

market = baseline(100_000, 1_000, instruments=8)
for _ in range(1_000):
    market.step()
market.recorder.accounts("end")
print(sum(map(len, market.recorder.frames().values())))
print(len(market.contracts.names), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""Eight perpetuals and eight spot instruments."""


def test_peak_memory() -> None:
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests.parent), str(tests)])
    done = subprocess.run(
        [sys.executable, "-c", RUN], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    instruments, kilobytes = map(int, done.stdout.split()[-2:])
    print(f"\n100,000 traders, {instruments} instruments, 1,000 steps: {kilobytes / 1e6:.2f} GB at most, gate 1")
    assert instruments == 16
    assert kilobytes <= 1e6
