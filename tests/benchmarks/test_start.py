"""Time from the import to the first step of a run, with and without compiled kernels on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from benchmarks.timing import spread

pytestmark = pytest.mark.benchmark

IMPORT_GATE, COLD_GATE, WARM_GATE, BLOCKS = 1.0, 600.0, 12.0, 5

FIRST_STEP = """
import json, time, warnings
warnings.simplefilter("ignore")
from experiments.imports import pause_garbage_collection
with pause_garbage_collection():
    from experiments.config import load_run
    from experiments.price_files.bars import read_replays
    from agents import populate
    from sim.market import Market
imported = time.process_time()

import numba

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
began = time.process_time()
config = load_run("small_crash")
market = Market(config, populate(config.populations), seed=1, bars=read_replays(config.underlyings))
built = time.process_time()
market.advance(1)
stepped = time.process_time()
references += [compile_reference() for _ in range(9)]
print(json.dumps([imported, built - began, stepped - built, sorted(references)[9]]))
"""


class Start(NamedTuple):
    """CPU seconds of a new process up to the end of its first step, and of a plain loop."""

    imported: float
    built: float  # configuration and market
    stepped: float
    reference: float  # numba compiles a function of one loop


def start_run(cache: Path) -> Start:
    """Make the first step of ``small_crash`` in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEP],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Start(*json.loads(done.stdout))


def test_the_first_step_takes_less_than_the_import(tmp_path: Path) -> None:
    """The first process compiles all kernels of a market; all later ones load them from disk."""
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    first = start_run(cache)
    imported, built, stepped, reference = np.array([start_run(cache) for _ in range(BLOCKS)]).T
    shares, loaded = (built + stepped) / imported, float(np.median(stepped / reference))
    compiled = first.stepped / first.reference
    print(
        f"\nfirst step of small_crash, CPU s: compiled before {spread(built + stepped)}, required "
        f"1; compiling {first.built + first.stepped:.1f}, required 20; import {spread(imported)}; "
        f"first step over import {spread(shares)}, gate {IMPORT_GATE:g}"
    )
    print(
        f"over numba's {np.median(reference):.3f} s for one loop: compiling {compiled:.0f}, gate "
        f"{COLD_GATE:g}; compiled before {loaded:.1f}, gate {WARM_GATE:g}"
    )
    assert float(np.median(shares)) <= IMPORT_GATE
    assert compiled <= COLD_GATE
    assert loaded <= WARM_GATE
