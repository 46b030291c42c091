"""Time to compile the kernels of a first run, and to load them again from the disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.benchmark

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, time, warnings
warnings.simplefilter("ignore")
import numba
from agents import populate
from experiments.config import load_run
from sim.market import Market

def plain(values, rows):
    total = 0.0
    for row in rows:
        if values[row] > 0.5:
            total += values[row]
        else:
            values[row] = total
    return total

def compile_reference():
    began = time.process_time()
    numba.njit(plain).compile("f8(f8[::1], i8[::1])")
    return time.process_time() - began

compile_reference()  # numba loads its own modules
references = [compile_reference() for _ in range(9)]
config = load_run("small_crash", [])
began = time.process_time()
market = Market(config, populate(config.populations), seed=1)
built = time.process_time() - began
began = time.process_time()
market.advance(1)
first = time.process_time() - began
references += [compile_reference() for _ in range(9)]
reference, program = sorted(references)[9], market._compiled._program
print(json.dumps([built, first, reference, len(program.instructions)]))
"""


def first_step(folder: Path) -> tuple[float, float, float, int]:
    """Run the first step of ``small_crash`` in a process of its own.

    Returns:
        CPU seconds to build the market, of the step, and of compiling a function of one loop; and
        the number of instructions of the step.
    """
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    built, first, reference, instructions = json.loads(run.stdout.splitlines()[-1])
    return built, first, reference, instructions


def test_first_run_compiles_in_seconds(tmp_path: Path) -> None:
    """All kernels of a market, over a plain loop compiled by numba in the same process."""
    built, cold, reference, instructions = first_step(tmp_path)
    warm = np.array([first_step(tmp_path) for _ in range(5)])
    found, loaded = cold / reference, float(np.median(warm[:, 1] / warm[:, 2]))
    print(
        f"\nfirst step of small_crash ({instructions} instructions), CPU s: cold {cold:.1f} "
        f"(required 20), warm {np.median(warm[:, 1]):.2f} (required 1); market built in "
        f"{built:.1f} cold, {np.median(warm[:, 0]):.2f} warm; one loop {reference:.3f}"
    )
    print(f"cold over one loop {found:.0f}, gate 600; warm over one loop {loaded:.1f}, gate 12")
    assert found <= 600
    assert loaded <= 12
