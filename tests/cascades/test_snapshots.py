"""Snapshots of markets, from which twins begin."""

import pickle

from twins import assert_same, build

from experiments.cascades.branching import MarketSnapshot, _pickle_market, advance_to
from experiments.config import load_run


def test_a_snapshot_is_a_market_of_its_own() -> None:
    """It is stored, not simulated again, and its compiled steps are bound to its own arrays."""
    config = load_run("small_crash", ["populations.0.count=60"], quick=True)
    plain = build(config, 1)
    while plain.tick < 40:
        plain.step()
    begun = []
    snapshot = MarketSnapshot(lambda: begun.append(1) or build(config, 1), 20)
    first, second = (advance_to(snapshot.restore_market(), 40) for _ in range(2))
    assert_same(plain, first)
    third = pickle.loads(_pickle_market(first))
    advance_to(first, 60)
    assert_same(plain, second)
    assert_same(plain, third)
    assert_same(first, advance_to(third, 60))
    assert begun == [1]
