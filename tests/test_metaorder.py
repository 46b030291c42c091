"""A metaorder keeps its schedule, and impact is measured against a twin with the same draws."""

import numpy as np
import pandas as pd
import pytest
from bazaar import SETTING, accounts, outlook

from agents.metaorder import Metaorder
from sim.metrics.impact import exponent, impact
from sim.types import I8, IOC


def metaorder(**fields: object) -> Metaorder:
    population = Metaorder.model_validate({"venue": "alpha", "at": 120.0, "duration": 240.0} | fields)
    population.start(SETTING, np.empty((population.count, 0)))
    return population


def parts(population: Metaorder, filled: float = 1.0) -> I8:
    """Lots sent at each of ten ticks when a share of every part fills."""
    held, sent = np.zeros((1, 5), dtype=np.int64), []
    for tick in range(1, 11):
        orders = population.decide(outlook(tick), accounts(1, 1e12, held.copy()), np.empty((1, 0)))
        sent.append(int(orders.quantity.sum()))
        held[0, 0] += round(sent[-1] * filled)
    return np.array(sent)


def test_an_order_is_worked_in_equal_parts() -> None:
    assert parts(metaorder(quantity=10)).tolist() == [0, 0, 2, 3, 3, 2, 0, 0, 0, 0]
    assert parts(metaorder(quantity=-400)).tolist() == [0, 0, -100, -100, -100, -100, 0, 0, 0, 0]
    assert not parts(metaorder(quantity=0)).any()


def test_what_was_refused_is_caught_up_with_until_the_end() -> None:
    assert parts(metaorder(quantity=400), filled=0.5).tolist() == [0, 0, 100, 150, 175, 187, 0, 0, 0, 0]


def test_parts_name_the_worst_price_they_accept() -> None:
    for quantity, worst in ((40, 101_000), (-40, 99_000)):
        population = metaorder(quantity=quantity, slippage=0.01, instrument="BTC-PERP")
        orders = population.decide(outlook(3), accounts(1), np.empty((1, 0)))
        assert (orders.limit.tolist(), orders.kind.tolist()) == ([worst], [IOC])


def frames(mark: float) -> dict[str, pd.DataFrame]:
    return {"steps": pd.DataFrame({"step": [1, 2], "instrument": ["P", "P"], "mark": [100.0, mark]})}


def test_impact_is_the_log_of_the_marks_ratio() -> None:
    assert impact(frames(101.0), frames(100.0), "P", 2) == pytest.approx(np.log(1.01))
    with pytest.raises(ValueError, match="step: 3, 'P' has marks at"):
        impact(frames(101.0), frames(100.0), "P", 3)


def test_the_exponent_of_a_power_law_with_noise_lies_in_its_interval() -> None:
    sizes = np.array([1.0, 2.0, 4.0, 8.0])
    noise = np.random.default_rng(4).normal(1.0, 0.1, (20, 4))
    exact, noisy = exponent(sizes, np.tile(3 * sizes**0.6, (5, 1))), exponent(sizes, 3 * sizes**0.6 * noise)
    assert exact == pytest.approx((0.6, 0.6, 0.6))
    assert noisy.low < 0.6 < noisy.high
    assert 0.01 < noisy.high - noisy.low < 0.1
    with pytest.raises(ValueError, match="must be above 0"):
        exponent(sizes, -np.ones((3, 4)))
