"""The compiled and the plain step of one market, held equal to the last bit."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from pandas.testing import assert_frame_equal

from agents import populate
from experiments.config import RunConfig
from experiments.price_files.bars import read_replays
from sim.market import Market


def build(config: RunConfig, seed: int) -> Market:
    """Return a market before its first step."""
    bars = read_replays(config.underlyings, config.history)
    return Market(config, populate(config.populations), seed=seed, bars=bars)


def run_twins(
    config: RunConfig, seed: int = 1, *, steps: int = 10**9, batches: Sequence[int] = (10**9,)
) -> tuple[Market, Market]:
    """Return two markets after the same steps: made one by one in plain Python, and compiled.

    Args:
        config: the run.
        seed: root seed.
        steps: steps to make, at most those of the run.
        batches: sizes of the batches in which the compiled steps are made, repeated.
    """
    plain, compiled = build(config, seed), build(config, seed)
    last = min(steps, plain.steps_planned)
    while plain.tick < last:
        plain.step()
    for size in cycle(batches):
        if compiled.tick >= last:
            return plain, compiled
        compiled.advance(min(size, last - compiled.tick))
    raise AssertionError("no batches")


def assert_same(plain: Market, compiled: Market) -> None:
    """Check that two markets are in the same state and recorded the same frames."""
    assert plain.tick == compiled.tick
    for name in ("balance", "position", "entry", "leverage"):
        np.testing.assert_array_equal(
            getattr(plain.ledger, name), getattr(compiled.ledger, name), err_msg=name
        )
    np.testing.assert_array_equal(
        plain.order_books.resting_totals, compiled.order_books.resting_totals
    )
    for venue, other in zip(plain.venues, compiled.venues, strict=True):
        np.testing.assert_array_equal(venue.net_paid_in, other.net_paid_in)
    expected, made = plain.recorder.frames(), compiled.recorder.frames()
    assert expected.keys() == made.keys()
    for name, frame in expected.items():
        assert_frame_equal(frame, made[name], check_exact=True, obj=name)
    compiled.ledger.check_conservation()
