"""Cost of admission against the number of spot instruments of one account (MAR-1)."""

import numpy as np
import pytest
from benchmarks.markets import baseline
from benchmarks.timing import ratio, seconds, spread

pytestmark = pytest.mark.benchmark

FEW, MANY, GATE = 3, 16, 1.5


def test_cost_of_a_step_per_instrument_does_not_grow_with_their_number() -> None:
    """Arbitrageurs hedge in all spot instruments in one account of a separate venue."""
    few, many = (baseline(2_000, 400, instruments=count) for count in (FEW, MANY))
    for market in (few, many):
        market.advance(20)
    ours = seconds([few.advance, many.advance], [60, 20], blocks=9)
    each = [np.array(taken) / count for taken, count in zip(ours, (FEW, MANY), strict=True)]
    found = 1 / ratio(list(each[0]), list(each[1]))
    print(f"\n{MANY} spot instruments, ms a step {spread(1e3 * np.array(ours[1]))}", end="")
    print(f"; per instrument over that of {FEW}: {found:.2f}, gate {GATE}")
    assert found <= GATE
