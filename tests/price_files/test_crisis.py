"""Correlations that rise in a common fall: exceedance correlations, laws of a path (IDX-1)."""

from typing import Any

import numpy as np
import pytest
from markets import build as build_market
from markets import config, script, venue
from pydantic import ValidationError

from sim.numerics.rng import RandomStreams
from sim.prices.crisis import Crisis
from sim.prices.path import ExogenousInputs, draw_exogenous_path
from sim.prices.underlying import Underlying

CALM, HIGH = ((1.0, 0.3), (0.3, 1.0)), ((1.0, 0.95), (0.95, 1.0))
GBM = {"kind": "gbm", "volatility": 0.5}
BLOCK = 60


def draw_returns(crisis: Crisis | None, rows: int = 240_000) -> np.ndarray:
    """Return log returns of two underlyings, (rows, 2)."""
    names = [
        Underlying.model_validate({"name": name, "start": 100.0, "process": GBM}) for name in "AB"
    ]
    inputs = ExogenousInputs(names, CALM, crisis=crisis)
    path = draw_exogenous_path(inputs, streams=RandomStreams(3), dt=60.0, steps=rows)
    return np.diff(path.log_price, axis=0)


def exceedance(returns: np.ndarray, side: int, least: float = 0.8) -> float:
    """Return the correlation of hours in which both returns are beyond a multiple of their sd."""
    hours = returns.reshape(-1, BLOCK, returns.shape[1]).sum(axis=1)
    scaled = side * hours / hours.std(axis=0)
    beyond = scaled[(scaled > least).all(axis=1)]
    assert len(beyond) > 150
    return float(np.corrcoef(beyond.T)[0, 1])


def test_correlation_beyond_a_fall_is_higher_than_beyond_a_rise() -> None:
    """The asymmetry of Longin and Solnik (2001); a constant correlation has none of it."""
    crisis = Crisis(correlation=HIGH, threshold=1.0, recovery=0.2, half_life=1800.0)
    fallen, risen = (exceedance(draw_returns(crisis), side) for side in (-1, 1))
    assert fallen - risen > 0.25
    same = draw_returns(None)
    assert abs(exceedance(same, -1) - exceedance(same, 1)) < 0.2
    # beyond a threshold a normal has less correlation than its whole
    assert exceedance(same, -1) < np.corrcoef(same.T)[0, 1]


def test_each_regime_has_its_correlation() -> None:
    dated = Crisis(correlation=HIGH, threshold=None, at=60.0 * 60_000, duration=60.0 * 60_000)
    returns, calm = draw_returns(dated, 180_000), draw_returns(None, 180_000)
    found = [np.corrcoef(part.T)[0, 1] for part in np.split(returns, 3)]
    assert found == pytest.approx([0.3, 0.95, 0.3], abs=0.015)
    assert np.array_equal(returns[:60_000], calm[:60_000])
    assert np.array_equal(returns[120_000:, 0], calm[120_000:, 0])


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    crisis = Crisis(correlation=HIGH)
    assert np.array_equal(draw_returns(crisis, 3000)[:1000], draw_returns(crisis, 1000))


def test_equal_matrices_are_no_crisis() -> None:
    assert np.array_equal(draw_returns(Crisis(correlation=CALM), 2000), draw_returns(None, 2000))


def test_it_does_not_depend_on_the_market() -> None:
    rules = config(
        venue(),
        steps=50,
        process=GBM,
        correlation=CALM,
        crisis={"correlation": HIGH, "threshold": 0.3, "recovery": 0.1},
    )
    one, two = (build_market(rules, [script([wealth], {})]) for wealth in (1.0, 900.0))
    first, second = (each.state.exogenous_path.log_price for each in (one, two))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("crisis", "message"),
    [
        ({"correlation": [[1.0]]}, "crisis.correlation: rows of"),
        ({"correlation": [[1, 0.5], [0.4, 1]]}, "crisis.correlation.0.1: 0.5 is not 0.4"),
        ({"correlation": HIGH, "recovery": 2}, "recovery: 2, a crisis that begins at 1.5"),
        ({"correlation": HIGH, "threshold": None}, "threshold: none, and no dated crisis"),
    ],
)
def test_wrong_crises_are_refused(crisis: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(venue(), crisis=crisis)
