"""The full step (performance.md): beside its peers, over sizes, with baseline behaviours.

Ratios are asserted; absolute figures depend on the box and are printed.
"""

import gc
from time import process_time

import numpy as np
import pytest
from benchmarks.markets import baseline, crowd
from benchmarks.peers import mesa_crowd
from benchmarks.timing import ratio, repeat, seconds, spread

pytestmark = pytest.mark.benchmark

MEMBERS = 10_000


@pytest.mark.parametrize("members", [1_000, MEMBERS])
def test_step_beside_bourse(members: int) -> None:
    pytest.importorskip(
        "bourse.core", reason="bourse is an optional peer: pip install 'deleverage[peers]'"
    )
    from benchmarks.peers import bourse_crowd

    ours, peer = crowd(members, 1_000), bourse_crowd.crowd(members)
    mine, theirs = seconds([ours.advance, repeat(peer)], [20, 20], blocks=15)
    found = ratio(theirs, mine)
    print(f"\ncrowd of {members}, ms a step: ours {spread(1e3 * np.array(mine))}", end="")
    print(f", bourse {spread(1e3 * np.array(theirs))}; ratio {found:.2f}, gate 1")
    ours.ledger.check_conservation()
    assert found >= 1


def test_step_beside_mesa() -> None:
    ours, peer = crowd(MEMBERS, 1_000), mesa_crowd.crowd(MEMBERS)
    mine, theirs = seconds([ours.advance, repeat(peer)], [10, 3], blocks=9)
    found = ratio(theirs, mine)
    print(f"\ncrowd of {MEMBERS}, ms a step: ours {spread(1e3 * np.array(mine))}", end="")
    print(f", Mesa {spread(1e3 * np.array(theirs))}; ratio {found:.2f}, gate 4")
    assert found >= 4


def test_step_beside_pams() -> None:
    pytest.importorskip(
        "pams.runners",
        reason="PAMS below 0.1 has no agents; above, it wants Python 3.13 or numpy 1",
    )
    from benchmarks.peers import pams_crowd

    ours, run = crowd(MEMBERS, 1_000), pams_crowd.crowd(MEMBERS, steps=1)
    seconds([ours.advance], [20], blocks=1)
    mine = seconds([ours.advance], [20], blocks=5)[0]
    began = process_time()
    run()
    theirs = process_time() - began
    mine += seconds([ours.advance], [20], blocks=5)[0]
    found = theirs / float(np.median(mine))
    print(
        f"\ncrowd of {MEMBERS}, ms a step: ours {spread(1e3 * np.array(mine))}, "
        f"PAMS {1e3 * theirs:.0f}",
        end="",
    )
    print(f"; ratio {found:.0f}, gate 4000")
    assert found >= 4_000


def test_cost_per_agent_does_not_grow() -> None:
    small, large = crowd(1_000, 4_000), crowd(100_000, 200)
    few, many = seconds([small.advance, large.advance], [200, 8], blocks=9)
    found = float(np.median(np.array(many) / np.array(few))) / 100
    print(
        f"\nns an agent-step: {spread(1e6 * np.array(few))} at 1k, "
        f"{spread(1e4 * np.array(many))} at 100k",
        end="",
    )
    print(f"; ratio {found:.2f}, gate 1.25")
    assert found <= 1.25


def test_baseline_behaviours() -> None:
    ours = baseline(MEMBERS, 1_500)
    ours.advance(200)
    taken = seconds([ours.advance], [50], blocks=15)[0]
    rate = ours.state.is_margined.sum() / np.array(taken)
    print(
        f"\nbaseline behaviours, {MEMBERS} traders, M agent-steps/s: {spread(rate / 1e6)}; "
        "required: order of 5"
    )
    print(f"ms a step {spread(1e3 * np.array(taken))}; {ours.recorder.summary()}")
    ours.ledger.check_conservation()


def test_thousand_traders_three_underlyings() -> None:
    baseline(1_000, 10, instruments=3).advance(1)
    gc.collect()
    ours = baseline(1_000, 2_000, instruments=3)
    began = process_time()
    ours.advance(2_000)
    print(
        f"\n1,000 traders, 3 underlyings, 2,000 steps: {process_time() - began:.2f} s; "
        "required: order of 6 s"
    )
    print(ours.recorder.summary())
    ours.ledger.check_conservation()
