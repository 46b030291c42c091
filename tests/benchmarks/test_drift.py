"""Exactness over a long run: a billion fills, after which cash and lots sum to zero (LED-1)."""

from time import process_time

import pytest
from benchmarks.markets import crowd

pytestmark = pytest.mark.benchmark

FILLS, MEMBERS, STEPS = 1_000_000_000, 10_000, 200_000


def test_a_billion_fills_lose_nothing() -> None:
    """Some six minutes; sums are of whole numbers, so that one unit too many is found."""
    market = crowd(MEMBERS, STEPS)
    market.advance(1)
    began, fills = process_time(), 0
    while fills < FILLS:
        assert market.tick < STEPS, "the run is too short for so many fills"
        market.advance(2_000)
        market.ledger.check_conservation()
        fills = market.recorder.summary()["trades"]
    taken = process_time() - began
    print(f"\n{fills:,} fills in {market.tick:,} steps, {taken:.0f} s", end="")
    print(f" ({fills / taken / 1e6:.1f} M fills/s): drift exactly zero")
