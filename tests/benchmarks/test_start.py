"""Time from the import to the first step of a run, with and without compiled kernels on disk."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.timing import spread

pytestmark = pytest.mark.benchmark

GATE, BLOCKS = 1.0, 5

FIRST_STEP = """
import time
from experiments.imports import pause_garbage_collection
with pause_garbage_collection():
    from experiments.config import load_run
    from experiments.price_files.bars import read_replays
    from agents import populate
    from sim.market import Market
imported = time.process_time()
config = load_run("small_crash")
market = Market(config, populate(config.populations), seed=1, bars=read_replays(config.underlyings))
market.advance(1)
print(imported, time.process_time() - imported)
"""
"""Prints the CPU seconds of the import, and from then to the end of the first step."""


def start_run(cache: Path) -> tuple[float, float]:
    """Return the CPU seconds of the import and of the first step in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported, stepped = map(float, done.stdout.split())
    return imported, stepped


def test_the_first_step_takes_less_than_the_import(tmp_path: Path) -> None:
    """The first process compiles, and is only printed; all later ones load what it compiled."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    cold = start_run(cache)[1]
    imported, stepped = np.array([start_run(cache) for _ in range(BLOCKS)]).T
    shares = stepped / imported
    print(
        f"\nfirst step of small_crash, CPU s: compiled before {spread(stepped)}, required 1; "
        f"compiling {cold:.1f}, required 20; import {spread(imported)}; "
        f"first step over import {spread(shares)}, gate {GATE:g}"
    )
    assert float(np.median(shares)) <= GATE
