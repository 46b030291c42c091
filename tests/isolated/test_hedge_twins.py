"""Hedge mode made by compiled and by plain steps: the same bytes (ISO-1)."""

import numpy as np
import pytest
from twins import assert_same, run_twins

from experiments.config import load_run


@pytest.mark.parametrize("netting", ["isolated", "cross"])
def test_both_sides_are_the_same_in_compiled_steps(netting: str) -> None:
    """Hedges open and close, longs are closed out, margin is added and taken back."""
    config = load_run(
        "hedge_mode", [f"venues.0.engine.netting.kind={netting}", "duration=15000"], quick=True
    )
    plain, compiled = run_twins(config, 3, batches=(40, 7))
    assert_same(plain, compiled)
    is_isolated = netting == "isolated"
    assert (compiled._compiled is not None) is is_isolated
    pairs = plain.state.sides.pairs
    assert len(pairs) == 60
    closed = plain.recorder.frames()["closeouts"].query("population == 'two_sided'")
    assert bool(len(closed)) is is_isolated
    venues = plain.recorder.frames()["venues"]
    assert bool(venues["margin_removed"].sum()) is is_isolated
    if is_isolated:
        chosen = plain.ledger.leverage[0, pairs]
        assert (np.isfinite(chosen).sum(axis=0) > 40).all(), "most have opened both sides"
