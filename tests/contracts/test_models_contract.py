"""Contracts of every registered model of returns, with short windows to leave warm-up soon."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from sim.checks.law import Law
from sim.checks.return_models import LAWS, make_return_world
from sim.margin import MODELS
from sim.margin.tail.margin_path import compute_margin_path
from sim.margin.tail.models.base import AnyModel, ModelComponent, ReturnForecast, TailSpec
from sim.margin.tail.risk_measures import compute_tail_weights, measure_sample_tail
from sim.margin.tail.tail import TailRisk
from sim.margin.tail.top_losses import sum_worst_losses
from sim.types import F8

SHORT: dict[str, dict[str, Any]] = {
    "historical": {"window": 120},
    "filtered": {"window": 120, "seed": 20},
    "ewma": {"seed": 20},
    "covariance": {"window": 120},
    "student_t": {"window": 120, "seed": 20},
    "garch": {"window": 120, "refit_interval": 60},
}
ES = TailSpec("es", 0.95, "linear")

every = pytest.mark.parametrize("kind", list(MODELS))


def model(kind: str) -> ModelComponent:
    return TypeAdapter(AnyModel).validate_python({"kind": kind, **SHORT.get(kind, {})})


def returns(columns: int, rows: int = 150, seed: int = 1) -> F8:
    rng = np.random.default_rng(seed)
    common = rng.standard_t(5, (rows, 1))
    return 0.01 * (0.5 * common + rng.standard_t(5, (rows, columns)))


def forecast_after(kind: str, rows: F8) -> ReturnForecast:
    forecaster = model(kind).bind(rows.shape[1], every=1.0)
    for row in rows:
        forecaster.learn(row)
    forecast = forecaster.forecast()
    assert forecast is not None
    return forecast


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@every
@pytest.mark.parametrize("seed", range(3))
def test_every_model_keeps_every_law(kind: str, law: Law, seed: int) -> None:
    law.check(model(kind), make_return_world(seed)._replace(every=1.0))


@every
def test_scales_with_the_book_and_the_returns(kind: str) -> None:
    rows, book = returns(2), np.array([[1.0, -2.0], [0.5, 0.5], [0.0, 0.0]])
    loss = forecast_after(kind, rows).compute_tail_loss(book, ES)
    np.testing.assert_allclose(
        forecast_after(kind, rows).compute_tail_loss(3 * book, ES), 3 * loss, rtol=1e-12
    )
    np.testing.assert_allclose(
        forecast_after(kind, 2 * rows).compute_tail_loss(book, ES),
        2 * loss,
        rtol=2e-3 if kind == "garch" else 1e-9,
    )
    assert (loss[:2] > 0).all()
    assert loss[2] == 0


@every
def test_follows_from_the_past_alone(kind: str) -> None:
    """Rows after t scrambled: no margin up to t moves."""
    rows = returns(2)
    rule, later = TailRisk(model=model(kind), every=1, horizon=1), rows.copy()
    later[140:] = np.random.default_rng(9).permutation(later[140:]) * -3
    np.testing.assert_array_equal(
        compute_margin_path(rule, rows, dt=1)[:141], compute_margin_path(rule, later, dt=1)[:141]
    )
    assert (
        compute_margin_path(rule, rows, dt=1)[141:] != compute_margin_path(rule, later, dt=1)[141:]
    ).any()


@every
def test_several_steps_make_one_return(kind: str) -> None:
    """The same clock: fed minute by minute or in whole returns, the same margin."""
    fine = np.repeat(returns(1), 4, axis=0) / 4
    rule = TailRisk(model=model(kind), every=1, horizon=2)
    quarters, whole = (
        compute_margin_path(rule, fine, dt=0.25),
        compute_margin_path(rule, returns(1), dt=1),
    )
    np.testing.assert_allclose(quarters[::4], whole, rtol=1e-9)


@pytest.mark.parametrize(
    ("scenarios", "columns"),
    [
        *((1, 1), (19, 2), (100, 3), (1000, 4), (1000, 7)),
        pytest.param(16_384, 1, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99, 0.999])
def test_the_kernel_finds_the_worst_of_each_row(scenarios: int, columns: int, level: float) -> None:
    """Rows of draws, of ties and of nothing; the same alone as in company, to the bit."""
    rng = np.random.default_rng(4)
    book, rows = rng.normal(0, 1, (33, columns)), rng.normal(0, 1, (scenarios, columns))
    book[0], book[1:9], rows[::3] = 0.0, np.rint(book[1:9]), np.rint(rows[::3])
    for tail in (
        TailSpec("var", level, "linear"),
        TailSpec("var", level, "order"),
        TailSpec("es", level, "linear"),
    ):
        weights = compute_tail_weights(scenarios, tail.level, tail.measure, tail.convention)
        expected = [
            max(measure_sample_tail(-(rows @ each), tail.level, tail.measure, tail.convention), 0)
            for each in book
        ]
        found = sum_worst_losses(book, rows, weights)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(
            [sum_worst_losses(each[None], rows, weights)[0] for each in book], found
        )
