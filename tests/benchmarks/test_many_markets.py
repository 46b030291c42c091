"""Thousands of markets of ten agents: set-up, steps a second, and what a second thread gains."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import perf_counter, process_time

import numpy as np
import pytest
from benchmarks.markets import crowd, market, perpetuals
from benchmarks.timing import spread

from sim.compiled.many import advance_markets
from sim.market import Market
from sim.numerics.jit import kernel

pytestmark = pytest.mark.benchmark

GROUP, STEPS, THREADS = 1_000, 200, 2
GATE = 0.8
"""Least gain of a second thread ÷ what a loop without any Python gains on the same machine.

On two free processors the loop gains nearly 2. On a busy machine neither gains much.
"""


@kernel
def spin(count: int) -> float:
    """Add up sines."""
    total = 0.0
    for number in range(count):
        total += np.sin(number)
    return total


def measure_gain(count: int = 10_000_000) -> float:
    """Return the time of two loops one after another ÷ their time in two threads."""
    began = perf_counter()
    spin(count)
    spin(count)
    between = perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(spin, [count, count]))
    return (between - began) / (perf_counter() - between)


def make_crowd(seed: int) -> Market:
    """Return a market of ten members, each replacing one limit order each step."""
    return crowd(10, STEPS + 1, seed=seed)


def make_traders(seed: int) -> Market:
    """Return a market of seven traders, two makers with ladders of 20 orders, and a fund."""
    here = {"venue": "venue"}
    trader = {"wealth": 10_000, "leverage": 8, "reference_leverage": 40, "initial_entry_share": 0.6}
    people = [
        {"kind": "traders", "count": 7, "entries_per_day": 2, "holding_time": 93_600, **trader},
        {"kind": "makers", "count": 2, "wealth": 10_000, "half_spread": 2},
        {"kind": "insurance_fund", "wealth": 2_500},
    ]
    rules = perpetuals(1, funding={}, waterfall=[{"kind": "fund"}, {"kind": "socialised"}])
    return market(rules, [{**each, **here} for each in people], STEPS + 1, seed)


def advance_in_turn(markets: list[Market]) -> None:
    for each in markets:
        each.advance(STEPS)


def advance_together(markets: list[Market]) -> None:
    advance_markets(markets, STEPS, THREADS)


def measure(markets: list[Market], advance: Callable[[list[Market]], None]) -> tuple[float, float]:
    """Return wall and CPU seconds per step of a market."""
    gc.collect()
    began, worked = perf_counter(), process_time()
    advance(markets)
    made = len(markets) * STEPS
    return (perf_counter() - began) / made, (process_time() - worked) / made


@pytest.mark.parametrize(("make", "markets"), [(make_crowd, 10_000), (make_traders, 4_000)])
def test_many_small_markets(make: Callable[[int], Market], markets: int) -> None:
    """Half of each group is advanced one market after another, the other half in one call."""
    seeds, alone, together, prepared, gains = count(1), [], [], [], []
    advance_in_turn([make(0)])
    spin(1)
    for _ in range(markets // GROUP):
        worked = process_time()
        group = [make(next(seeds)) for _ in range(GROUP)]
        for each in group:
            each.advance(1)
        prepared.append((process_time() - worked) / GROUP)
        alone.append(measure(group[::2], advance_in_turn))
        together.append(measure(group[1::2], advance_together))
        for each in group[::100]:
            each.ledger.check_conservation()
        gains.append(measure_gain())
    (wall_alone, cpu_alone), (wall, cpu) = np.array(alone).T, np.array(together).T
    found = float(np.median(wall_alone / wall))
    print(f"\n{markets} markets of 10 agents, {make.__name__}: ms of set-up each", end=" ")
    print(f"{spread(1e3 * np.array(prepared))}; steps a second with {THREADS} threads", end=" ")
    print(f"{spread(1 / wall)}, of CPU time x {THREADS} {spread(THREADS / cpu)}", end="; ")
    ideal = float(np.median(gains))
    print(
        f"CPU together / alone {np.median(cpu / cpu_alone):.2f}; gain of the second thread", end=" "
    )
    print(
        f"{found:.2f}, of a loop without Python {ideal:.2f}; ratio {found / ideal:.2f}, gate {GATE}"
    )
    assert found >= GATE * ideal
