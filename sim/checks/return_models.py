"""Laws of models of returns, for the requirement ``tail`` (MAR-5)."""

from typing import NamedTuple

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_equal, require_methods
from sim.errors import ConfigError
from sim.margin.tail.models.base import ModelComponent, ReturnForecast, TailSpec
from sim.types import F8

DAY = 86_400.0
"""Seconds between the returns that a model is fed."""

MAX_RETURNS = 3_000
"""Returns that a model may need at most to be checked."""

VAR, ES = TailSpec("var", 0.95, "linear"), TailSpec("es", 0.95, "linear")


class ReturnWorld(NamedTuple):
    """Source of returns and portfolios."""

    seed: int
    columns: int  # underlyings
    every: float = DAY  # seconds between returns

    def draw_returns(self, rows: int) -> F8:
        """Return correlated returns with fat tails, (rows, columns)."""
        rng = np.random.default_rng(self.seed)
        common = rng.standard_t(5, (rows, 1))
        return 0.01 * (0.5 * common + rng.standard_t(5, (rows, self.columns)))

    def draw_portfolios(self, count: int) -> F8:
        """Return exposures of some accounts, the last of which has none, (count, columns)."""
        portfolios = np.random.default_rng(self.seed + 1).normal(0, 1, (count, self.columns))
        portfolios[-1] = 0.0
        return portfolios


def make_return_world(seed: int) -> ReturnWorld:
    """Return one to three underlyings."""
    return ReturnWorld(seed, 1 + seed % 3)


def make_smaller_worlds(world: ReturnWorld) -> "list[ReturnWorld]":
    """Return the world with one underlying."""
    return [world._replace(columns=1)] if world.columns > 1 else []


def count_returns(model: ModelComponent, world: ReturnWorld) -> int:
    """Return how many returns a model is to be fed.

    Raises:
        BrokenLawError: its number is no count.
        ConfigError: it needs more than are generated.
    """
    needed = model.n_returns_needed(world.every)
    is_count = isinstance(needed, int) and needed >= 0
    require(is_count, f"n_returns_needed returns {needed!r}, must be a count")
    if needed > MAX_RETURNS:
        told = (
            f"{type(model).__name__}: needs {needed} returns, at most {MAX_RETURNS} are generated"
        )
        raise ConfigError([f"{told}, shorten what it needs"])
    return needed + 5


def forecast_returns(model: ModelComponent, world: ReturnWorld, rows: F8) -> ReturnForecast:
    """Return the forecast after some returns.

    Raises:
        BrokenLawError: there is none.
    """
    forecaster = model.bind(world.columns, world.every)
    for row in rows:
        forecaster.learn(row.copy())
    forecast = forecaster.forecast()
    require(forecast is not None, f"there is no forecast after {len(rows)} returns")
    assert forecast is not None
    return forecast


def _check_methods(model: ModelComponent, world: ReturnWorld) -> None:
    methods = {"bind": "columns, every", "n_returns_needed": "every"}
    require_methods(model, methods, type(model).__name__)
    forecaster = model.bind(world.columns, world.every)
    bound = f"what bind returns, {type(forecaster).__name__},"
    require_methods(forecaster, {"learn": "row", "forecast": ""}, bound)
    count_returns(model, world)


def _check_start(model: ModelComponent, world: ReturnWorld) -> None:
    rows, needed = (
        world.draw_returns(count_returns(model, world)),
        model.n_returns_needed(world.every),
    )
    forecaster = model.bind(world.columns, world.every)
    for number, row in enumerate(rows):
        if number in (0, needed - 1, needed):
            has_forecast = forecaster.forecast() is not None
            told = f"n_returns_needed is {needed}, and forecast is {'' if has_forecast else 'not '}"
            require(has_forecast == (number >= needed), f"{told}there after {number} returns")
        forecaster.learn(row)


def _check_form(model: ModelComponent, world: ReturnWorld) -> None:
    forecast = forecast_returns(model, world, world.draw_returns(count_returns(model, world)))
    name = "what the forecast returns"
    methods = {"compute_tail_loss": "exposure, tail", "scenario_returns": ""}
    require_methods(forecast, methods, name)
    portfolios = world.draw_portfolios(8)
    for tail in (VAR, ES):
        loss = forecast.compute_tail_loss(portfolios, tail)
        require_array(loss, f"the {tail.measure} of the forecast", (8,), FLOAT)
        require((loss >= 0).all(), f"the {tail.measure} of a portfolio is {loss.min():.6g}")
        require(loss[-1] == 0, f"the {tail.measure} of an empty portfolio is {loss[-1]:.6g}")
    scenarios = forecast.scenario_returns()
    shape = (*np.shape(scenarios)[:1], world.columns)
    require_array(scenarios, "what scenario_returns returns", shape, FLOAT)


def _check_scale(model: ModelComponent, world: ReturnWorld) -> None:
    forecast = forecast_returns(model, world, world.draw_returns(count_returns(model, world)))
    portfolios = world.draw_portfolios(8)
    for tail in (VAR, ES):
        one = forecast.compute_tail_loss(portfolios, tail)
        three = forecast.compute_tail_loss(3 * portfolios, tail)
        for row in np.flatnonzero(~np.isclose(three, 3 * one, rtol=1e-12)):
            losses = f"{one[row]:.8g}, and of three times the portfolio {three[row]:.8g}"
            require(False, f"the {tail.measure} of a portfolio is {losses}")


def _check_measures(model: ModelComponent, world: ReturnWorld) -> None:
    forecast = forecast_returns(model, world, world.draw_returns(count_returns(model, world)))
    one, other = world.draw_portfolios(40), world.draw_portfolios(41)[:40]
    first, second = (forecast.compute_tail_loss(each, ES) for each in (one, other))
    both = forecast.compute_tail_loss(one + other, ES)
    require((both <= (first + second) * (1 + 1e-12)).all(), "es of a sum exceeds the sum of es")
    least = forecast.compute_tail_loss(one, VAR) * (1 - 1e-12)
    require((first >= least).all(), "es is less than var")


def _check_memory(model: ModelComponent, world: ReturnWorld) -> None:
    rows = world.draw_returns(count_returns(model, world))
    shown, forecaster = rows.copy(), model.bind(world.columns, world.every)
    for row in shown:
        forecaster.learn(row)
        row *= 100.0
    forecast, portfolios = forecaster.forecast(), world.draw_portfolios(8)
    assert forecast is not None
    kept = forecast.compute_tail_loss(portfolios, VAR)
    expected = forecast_returns(model, world, rows).compute_tail_loss(portfolios, VAR)
    require_equal((kept,), (expected,), "learn keeps an array that it was shown")
    forecaster.learn(np.full(world.columns, 0.5))
    again = forecast.compute_tail_loss(portfolios, VAR)
    require_equal((kept,), (again,), "a forecast changes with what is learnt after it")


def _check_still(model: ModelComponent, world: ReturnWorld) -> None:
    still = np.zeros((count_returns(model, world), world.columns))
    loss = forecast_returns(model, world, still).compute_tail_loss(world.draw_portfolios(4), VAR)
    require(loss.max() == 0, f"with returns of zero, var is {loss.max():.6g}")


LAWS = (
    Law("methods", "MAR-5", "It has the methods of a model of returns.", _check_methods),
    Law(
        "start",
        "MAR-5",
        "There is a forecast as soon as the returns that it needs are known, and none before.",
        _check_start,
        is_cheap=False,
        n_worlds=10,
    ),
    Law(
        "form of losses",
        "MAR-5",
        "Tail losses are one finite float for each portfolio, zero for an empty one.",
        _check_form,
        n_worlds=10,
    ),
    Law(
        "scale",
        "MAR-5",
        "The tail loss of three times a portfolio is three times its tail loss.",
        _check_scale,
        is_cheap=False,
        n_worlds=10,
    ),
    Law(
        "risk measures",
        "MAR-5",
        "Expected shortfall is subadditive and no less than value at risk.",
        _check_measures,
        is_cheap=False,
        n_worlds=10,
    ),
    Law(
        "own memory",
        "MAR-5",
        "What is learnt is copied, and a forecast does not change afterwards.",
        _check_memory,
        is_cheap=False,
        n_worlds=10,
    ),
    Law(
        "still prices",
        "MAR-5",
        "Prices that do not move have no tail loss.",
        _check_still,
        is_cheap=False,
        n_worlds=1,
    ),
)

SUITE = Suite("return model", LAWS, make_return_world, make_smaller_worlds)
