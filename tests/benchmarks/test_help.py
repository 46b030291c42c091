"""Time of ``deleverage --help`` beside an interpreter without a program."""

import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from benchmarks.timing import spread

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]
PASS, HELP = ["-c", "pass"], ["-m", "experiments", "--help"]


def taken(arguments: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of a process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        perf_counter() - began,
    )


def test_help_is_instant() -> None:
    bare, ours = zip(*((taken(PASS), taken(HELP)) for _ in range(9)), strict=True)
    (nothing, _), (cpu, wall) = np.array(bare).T, np.array(ours).T
    found = float(np.median(cpu / nothing))
    print(
        f"\n--help, s: CPU {spread(cpu)}, wall {spread(wall)}, required 0.3; "
        f"interpreter alone {spread(nothing)}",
        end="",
    )
    print(f"; ratio {found:.1f}, gate 20")
    assert found <= 20
