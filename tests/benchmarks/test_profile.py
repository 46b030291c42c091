"""Cost of the liquidation profile in a run (LIQ-7): a market with it, hourly, and without."""

import numpy as np
import pytest
from benchmarks.markets import DT, baseline
from benchmarks.timing import ratio, seconds, spread

pytestmark = pytest.mark.benchmark

HOUR = 3600.0
STEPS = round(HOUR / DT)


@pytest.mark.parametrize("traders", [2_000, 20_000])
def test_the_profile_costs_less_than_a_tenth(traders: int) -> None:
    with_it, without = (baseline(traders, 20 * STEPS, profile_every=clock) for clock in (HOUR, 0.0))
    ours, theirs = seconds([with_it.advance, without.advance], [STEPS, STEPS], blocks=11)
    found = ratio(ours, theirs)
    print(f"\n{traders} traders, ms a step: with profile {spread(1e3 * np.array(ours))}", end="")
    print(f", without {spread(1e3 * np.array(theirs))}; ratio {found:.3f}, gate 1.1")
    assert with_it.recorder.summary() == without.recorder.summary()
    assert found <= 1.1
