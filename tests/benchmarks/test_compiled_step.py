"""The compiled step beside the plain one: the market of studies, sizes, rounds, a million owners.

Both make the same steps of the same market, in turns, and CPU time is measured. The plain step of
this version is the base of all ratios.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import yaml
from benchmarks.markets import baseline
from benchmarks.timing import ratio, repeat, seconds, spread
from twins import assert_same, build

from experiments.config import RunConfig, load_run

pytestmark = pytest.mark.benchmark

CONFIGS = Path(__file__).parents[2] / "configs"
RULES = {
    value["label"]: value["set"]["venues.0.engine"]
    for value in yaml.safe_load((CONFIGS / "axes" / "rules.yaml").read_text())
}
"""Margin rules of the study `compression`, by name."""

FORMER_MS = 135.0
"""CPU time of a step of a million traders in version 0.2.0, on two shared cores."""

MILLION = """
from time import process_time
import numpy as np
from benchmarks.markets import baseline
from experiments.results.provenance import measure_peak_memory

market = baseline(1_000_000, 40)
market.advance(8)
taken = []
for _ in range(5):
    began = process_time()
    market.advance(4)
    taken.append((process_time() - began) / 4)
print(1e3 * float(np.median(taken)), measure_peak_memory())
"""


def time_whole_runs(config: RunConfig, runs: int = 3) -> tuple[list[float], list[float]]:
    """Return the CPU seconds of whole runs by plain and by compiled steps, without the first step.

    The first run warms up and is not returned; the twins of the last one are compared.
    """
    plain_seconds, compiled_seconds = [], []
    for seed in range(runs + 1):
        plain, compiled = build(config, seed), build(config, seed)
        plain.step()
        compiled.advance(1)
        began = process_time()
        while plain.running:
            plain.step()
        between = process_time()
        compiled.advance(plain.steps_planned)
        plain_seconds.append(between - began)
        compiled_seconds.append(process_time() - between)
    assert_same(plain, compiled)
    return plain_seconds[1:], compiled_seconds[1:]


def report(what: str, plain: list[float], compiled: list[float], gate: float) -> float:
    found = ratio(plain, compiled)
    print(f"\n{what}, ms: plain {spread(1e3 * np.array(plain))}", end="")
    print(f", compiled {spread(1e3 * np.array(compiled))}; ratio {found:.1f}, gate {gate:g}")
    return found


@pytest.mark.parametrize("rule", RULES)
def test_step_of_a_study(rule: str) -> None:
    """Runs of the market of `compression`: 500 traders, a fall of 10%."""
    engine = json.dumps(RULES[rule]).replace("../engines", "engines")
    config = load_run(
        "small_crash", [f"venues.0.engine={engine}", "venues.0.engine.compression=0.5"]
    )
    gate = 20
    assert report(f"{rule}, 94 steps", *time_whole_runs(config), gate) >= gate


@pytest.mark.parametrize(("traders", "gate"), [(100, 20), (500, 20), (1_000, 20), (10_000, 5)])
def test_step_of_the_baseline(traders: int, gate: float) -> None:
    plain, compiled = baseline(traders, 4_000), baseline(traders, 4_000)
    plain_step, times = repeat(plain.step), max(40, 200_000 // (traders + 2_000))
    for market in (plain, compiled):
        market.advance(20)
    slow, fast = seconds([plain_step, compiled.advance], [times, times], blocks=7)
    found = report(f"baseline, {traders} traders, a step", slow, fast, gate)
    print(f"M agent-steps/s: {spread(1e-6 * traders / np.array(fast))}")
    assert_same(plain, compiled)
    assert found >= gate


def test_step_with_liquidation_rounds() -> None:
    """Runs with bankruptcies, whose steps with rounds are timed alone."""
    config = load_run("small_crash", ["stresses.0.size=-0.3"])
    plain_seconds, compiled_seconds = [], []
    for seed in range(4):
        plain, compiled = build(config, seed), build(config, seed)
        taken = np.zeros((2, plain.steps_planned))
        for row, make in enumerate((plain.step, partial(compiled.advance, 1))):
            for step in range(plain.steps_planned):
                began = process_time()
                make()
                taken[row, step] = process_time() - began
        has_rounds = plain.recorder.rounds > 0
        assert has_rounds.sum() >= 10
        assert len(plain.recorder.frames()["losses"]) >= 10
        assert_same(plain, compiled)
        plain_seconds.append(float(taken[0, has_rounds].mean()))
        compiled_seconds.append(float(taken[1, has_rounds].mean()))
    gate = 10
    found = report("step with rounds", plain_seconds[1:], compiled_seconds[1:], gate)
    assert found >= gate


def test_step_and_memory_of_a_million() -> None:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", MILLION],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])},
        capture_output=True,
        text=True,
        check=True,
    )
    step, megabytes = map(float, done.stdout.split())
    print(f"\na million traders: {step:.1f} ms a step, {step / FORMER_MS:.2f} of 0.2.0's", end="")
    print(f"; {megabytes * 2**20 / 1e9:.2f} GB at most, gate 1.2")
    assert megabytes * 2**20 / 1e9 <= 1.2
