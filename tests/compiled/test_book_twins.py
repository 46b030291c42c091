"""Members who hold books decide in compiled code as in plain Python, to the byte."""

import json
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from twins import assert_same, build

from agents.leveraged import LeveragedPopulation
from experiments.config import load_run
from sim.market import Market

PEOPLE: dict[str, Any] = {"count": 60, "venue": "exchange", "wealth": 50_000}
PEOPLE |= {"entries_per_day": 40, "initial_entry_share": 0.6, "warm_up": 600}
PEOPLE |= {"holding_time": 7200, "elasticity": 0.7, "leverage": 8}
CAPITAL: dict[str, Any] = {"margin_buffer": 0.5, "reaction": 120, "trim_probability": 0.5}
CAPITAL |= {"top_up_probability": 0.3, "replacement_time": 600}
DIVERSIFIED = PEOPLE | {"kind": "diversified", "rebalance_time": 600, "rebalance_band": 0.02}
PAIRS = PEOPLE | {"kind": "pairs", "entry_threshold": 0.02, "exit_threshold": 0.0}
PAIRS |= {"spread_half_life": 1800, "entries_per_day": 300, "leverage": 3, "wealth": 5_000}
MAKERS = {"kind": "makers", "count": 4, "venue": "exchange", "wealth": 2_000_000}
CRASH = "stresses=[{kind: move, at: 900, duration: 900, size: -0.12}]"

KINDS: dict[str, dict[str, Any]] = {
    "diversified": DIVERSIFIED,
    "mixed views": DIVERSIFIED | {"mixed_share": 1, "capital": CAPITAL, "leverage": 25},
    "stops": DIVERSIFIED | {"equity_stop_loss": 0.1, "take_profit": 0.02},
    "pairs": PAIRS,
    "pairs by beta": PAIRS | {"leg_weights": "beta", "capital": CAPITAL, "leverage": 30},
    "entries that respond": DIVERSIFIED | {"entry_elasticity": 1.0, "initial_entry_share": 0.3},
    "exits that respond": DIVERSIFIED | {"exit_elasticity": 1.5, "holding_time": 2400},
    "pairs that respond": PAIRS | {"entry_elasticity": 0.5, "exit_elasticity": 0.5},
    "pairs that never mend": PAIRS | {"abandon_probability": 1, "rebalance_band": 0},
}
ENGINES = ["cross", "isolated", "span", "derive", "fhs_es"]


def count_books(people: dict[str, Any], *given: str, name: str = "two_coins") -> int:
    """Make a run by plain and by compiled steps, compare, and return the most books at a time."""
    chosen = json.dumps([MAKERS, people])
    config = load_run(name, [f"populations={chosen}", "duration=3000", CRASH, *given])
    plain, compiled = build(config, 3), build(config, 3)
    while plain.tick < plain.steps_planned:
        plain.step()
    with ExitStack() as stack:
        stack.enter_context(patch.object(LeveragedPopulation, "decide", side_effect=AssertionError))
        kind = type(config.populations[1])
        stack.enter_context(patch.object(kind, "decide", side_effect=AssertionError))
        compiled.advance(21)
    compiled.step()  # state passes from one kind of step to the other
    most = 0
    while compiled.tick < compiled.steps_planned:
        compiled.advance(7)
        most = max(most, count_held(compiled))
    assert_same(plain, compiled)
    return most


def count_held(market: Market) -> int:
    """Return the members of the last population who hold two positions or more."""
    held = market.ledger.position[:, market.member_slices[-1]]
    return int((np.count_nonzero(held, axis=0) > 1).sum())


@pytest.mark.parametrize("netting", ["cross", "isolated"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_book_is_the_same(kind: str, netting: str) -> None:
    assert count_books(KINDS[kind], f"venues.0.engine.netting.kind={netting}") > 2


@pytest.mark.parametrize("engine", ENGINES)
def test_books_are_the_same_under_every_kind_of_engine(engine: str) -> None:
    assert count_books(KINDS["mixed views"], f"venues.0.engine={engine}") > 2


def test_a_named_pair_may_be_a_basis() -> None:
    """A perpetual against the spot of the same underlying."""
    legs = ["BTC-PERP", "BTC-SPOT"]
    people = PAIRS | {"instruments": legs, "pairs": [legs], "leverage": 1}
    assert count_books(people, name="hedged") > 2
