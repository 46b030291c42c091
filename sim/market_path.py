"""Exogenous path of a market and its length in steps, from the configuration of the market."""

from collections.abc import Mapping

from sim.config import MarketConfig
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars
from sim.prices.past import PastLengths, PastReturns, draw_past, measure_past
from sim.prices.path import (
    ExogenousInputs,
    ExogenousPath,
    Times,
    compute_exchange_times,
    count_path_steps,
    draw_exogenous_path,
)


def count_steps(config: MarketConfig, bars: Mapping[str, Bars]) -> int:
    """Return the number of steps of a run.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.draw_exogenous_path`.
    """
    return count_path_steps(
        _make_exogenous_inputs(config), dt=config.dt, steps=_configured_steps(config), bars=bars
    )


def times_of(config: MarketConfig, bars: Mapping[str, Bars]) -> tuple[Times, float]:
    """Return the exchange time of each step of a run, (0,) without a replay, and its length (s).

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.draw_exogenous_path`.
    """
    stamps = compute_exchange_times(
        _make_exogenous_inputs(config), dt=config.dt, steps=_configured_steps(config), bars=bars
    )
    return stamps, count_steps(config, bars) * config.dt


def draw_path(
    config: MarketConfig, streams: RandomStreams, bars: Mapping[str, Bars]
) -> ExogenousPath:
    """Draw the exogenous part of all prices of a run.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.path.draw_exogenous_path`.
    """
    return draw_exogenous_path(
        _make_exogenous_inputs(config),
        streams=streams,
        dt=config.dt,
        steps=_configured_steps(config),
        bars=bars,
    )


def draw_history(
    config: MarketConfig, streams: RandomStreams, bars: Mapping[str, Bars]
) -> PastReturns | None:
    """Draw the returns before the start, None without a history.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.past.draw_past`.
    """
    if config.history is None:
        return None
    return draw_past(
        config.history,
        config.underlyings,
        config.correlation,
        streams=streams,
        dt=config.dt,
        bars=bars,
    )


def measure_history(config: MarketConfig, bars: Mapping[str, Bars]) -> PastLengths | None:
    """Return the lengths of the past, None without a history.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.past.measure_past`.
    """
    if config.history is None:
        return None
    return measure_past(config.history, config.underlyings, config.dt, bars)


def _make_exogenous_inputs(config: MarketConfig) -> ExogenousInputs:
    return ExogenousInputs(
        config.underlyings,
        config.correlation,
        config.stresses,
        [asset.name for asset in config.assets],
    )


def _configured_steps(config: MarketConfig) -> int | None:
    return None if config.duration is None else max(1, round(config.duration / config.dt))
