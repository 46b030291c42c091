"""Cost of contagion measures (LIQ-8): 100,000 close-outs, and measures of runs."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import pandas as pd
import pytest
from papers import crash

from experiments.config import load_run
from experiments.figures.style import find_most_liquidated
from experiments.paper import run_tables as tables
from experiments.paper.load_results import RunFrames, RunResult
from experiments.simulation import simulate_run
from sim.metrics.cascades import Frames
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import (
    compute_reach,
    estimate_branching,
    tabulate_cascades,
    tabulate_generations,
)
from sim.metrics.graphs import build_graph

pytestmark = pytest.mark.benchmark


def many(count: int, rounds: int = 20) -> Frames:
    """Return about 100 close-outs a round, caused by the index and by the round before."""
    rng, number = np.random.default_rng(0), np.arange(count)
    slot = np.sort(rng.integers(0, count // 100, count))
    step, turn = slot // rounds + 1, slot % rounds
    closeouts = {
        "id": number,
        "action": number,
        "step": step,
        "round": turn,
        "instrument": "P",
        "venue": "V",
        "pool": 0,
    }
    closeouts |= {
        "owner": rng.permutation(count),
        "population": "t",
        "filled": 1,
        "notional": rng.integers(1, 9, count),
    }
    closeouts |= {
        "mark_before": 100.0,
        "mark_after": 100 - rng.random(count),
        "equity": 1.0,
        "maintenance": 2.0,
    }
    index = {
        "action": number,
        "kind": "index",
        "step": step,
        "round": -1,
        "instrument": "",
        "amount": -1.0,
    }
    pushed = index | {
        "kind": "close_out",
        "round": turn - 1,
        "instrument": "P",
        "amount": -rng.random(count),
    }
    causes = pd.concat([pd.DataFrame(index), pd.DataFrame(pushed)[turn > 0]], ignore_index=True)
    return {"closeouts": pd.DataFrame(closeouts), "causes": causes}


def measured(frames: Frames) -> int:
    links = build_contagion(frames)
    estimate_branching(links), tabulate_generations(links), compute_reach(links)
    return len(tabulate_cascades(links))


def timed(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def test_a_graph_of_100_000_close_outs_takes_less_than_ten_seconds() -> None:
    frames = many(100_000)
    began = process_time()
    found = build_graph(build_contagion(frames))
    linked = process_time() - began
    began = process_time()
    measured(frames)
    print(
        f"\n{found}: {linked:.2f} s, gate 10; "
        f"all measures without it: {process_time() - began:.2f} s"
    )
    assert linked < 10


def test_contagion_costs_less_than_a_tenth_of_a_short_crash() -> None:
    crash.run(crash.market(0))
    began = process_time()
    frames = crash.run(crash.market(1)).recorder.frames()
    run = process_time() - began
    spent = median(timed(lambda: measured(frames)) for _ in range(5))
    print(
        f"\n{len(frames['closeouts'])} close-outs: run {run:.2f} s, measures {spent:.3f} s, "
        f"{spent / run:.1%}, gate 10%"
    )
    assert spent < 0.1 * run


def test_all_measures_cost_less_than_a_tenth_of_a_run_of_days() -> None:
    """Each table of a run is timed alone, from contagion to tails."""
    config = load_run("crash_2008", quick=True)
    simulate_run(config)
    began = process_time()
    frames = RunFrames(simulate_run(config))
    run = process_time() - began
    each = tables.RunTableInput(
        RunResult(Path(), config, frames, {}, ()), find_most_liquidated(frames["steps"])
    )
    spent = {}
    for name, make in tables.TABLE_MAKERS.items():
        make(each)  # what is imported or compiled on the way is not its cost
        spent[name] = timed(lambda make=make: make(each))
    told = ", ".join(f"{name} {part / run:.1%}" for name, part in spent.items())
    print(f"\nrun {run:.2f} s, all tables {sum(spent.values()) / run:.1%}, gate 10%: {told}")
    assert sum(spent.values()) < 0.1 * run
