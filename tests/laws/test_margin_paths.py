"""A margin engine requires the same in a market as in a backtest on its oracle returns."""

from typing import Any

import numpy as np
import pytest
from papers import crash
from pydantic import TypeAdapter

from sim.margin.base import AnyRequirement
from sim.margin.probe_portfolio import compute_margin_rates
from sim.margin.tail.margin_path import compute_margin_path

STEPS = 90
TAIL: dict[str, Any] = {"kind": "tail", "every": 120, "horizon": 600, "opening_rate": 0.05}
RULES: dict[str, dict[str, Any]] = {
    "steadied": {
        "kind": "buffered",
        "every": 120,
        "window": 2400,
        "least": 600,
        "inner": {
            "kind": "stressed",
            "every": 120,
            "inner": {
                **TAIL,
                "model": {"kind": "filtered", "window": 3600, "least": 1800, "seed": 10},
            },
        },
    },
    "clocked": {
        "kind": "clocked",
        "every": 600,
        "delay": 180,
        "inner": {
            **TAIL,
            "measure": "es",
            "model": {"kind": "student_t", "window": 3600, "least": 1800, "seed": 10},
        },
    },
    "garch": {
        **TAIL,
        "every": 60,
        "model": {"kind": "garch", "window": 3600, "refit_interval": 1200},
    },
}


@pytest.mark.parametrize("name", RULES)
def test_market_and_backtest_agree(name: str) -> None:
    exchange = {**crash.EXCHANGE, "engine": {"requirement": RULES[name]}}
    market = crash.market(3, crash.config(steps=STEPS, venues=[exchange, crash.OUTSIDE]))
    venue = market.venues[0]
    state = next(iter(venue.pool_states.values()))
    seen = [compute_margin_rates(state.engine.requirement, venue.view)[0, 0]]
    while market.tick < market.steps_planned:
        market.step()
        seen.append(compute_margin_rates(state.engine.requirement, venue.view)[0, 0])
    rule = TypeAdapter(AnyRequirement).validate_python(RULES[name])
    returns = np.append(
        venue.view.returns, [[0.0]], axis=0
    )  # the last is not known yet, and plays no part
    path = compute_margin_path(rule, returns, dt=market.config.dt)
    np.testing.assert_allclose(path, seen, rtol=1e-9)
    assert np.unique(np.round(seen, 12)).size > 3
    assert market.recorder.summary()["trades"] > 0
