"""Exogenous path of a market and its length in steps, from the configuration of the market."""

import math
from collections.abc import Mapping

import numpy as np

from sim.config import MarketConfig
from sim.errors import ConfigError
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars
from sim.prices.past import (
    PastInputs,
    PastLengths,
    PastReturns,
    describe_short_past,
    draw_past,
    measure_past,
)
from sim.prices.path import (
    ExogenousInputs,
    ExogenousPath,
    Times,
    compute_exchange_times,
    count_path_steps,
    draw_exogenous_path,
)
from sim.types import Contracts


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
    inputs = _make_past_inputs(config, bars)
    return None if inputs is None else draw_past(inputs, streams)


def measure_history(config: MarketConfig, bars: Mapping[str, Bars]) -> PastLengths | None:
    """Return the lengths of the past, None without a history.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.past.measure_past`.
    """
    inputs = _make_past_inputs(config, bars)
    return None if inputs is None else measure_past(inputs)


def describe_short_history(config: MarketConfig, bars: Mapping[str, Bars]) -> str:
    """Return a line if bars begin too late for the history of a run, else an empty text.

    Raises:
        ConfigError, DataError: see :func:`sim.prices.past.measure_past`.
    """
    inputs = _make_past_inputs(config, bars)
    return "" if inputs is None else describe_short_past(inputs)


def _make_past_inputs(config: MarketConfig, bars: Mapping[str, Bars]) -> PastInputs | None:
    if config.history is None:
        return None
    return PastInputs(config.history, config.underlyings, config.dt, bars, config.correlation)


def _make_exogenous_inputs(config: MarketConfig) -> ExogenousInputs:
    return ExogenousInputs(
        config.underlyings,
        config.correlation,
        config.stresses,
        [asset.name for asset in config.assets],
        config.crisis,
    )


def _configured_steps(config: MarketConfig) -> int | None:
    return None if config.duration is None else max(1, round(config.duration / config.dt))


def refuse_unpriced(contracts: Contracts, path: ExogenousPath) -> None:
    """Refuse instruments whose order books could not quote the index during the whole run.

    Raises:
        ConfigError: with a line for each of them.
    """
    with np.errstate(over="ignore"):  # an infinite index is refused below
        index = np.exp(path.log_price)
    problems = []
    for k, name in enumerate(contracts.names):
        prices, tick = index[:, contracts.underlying[k]], float(contracts.tick[k])
        lowest, highest = np.rint(prices.min() / tick), np.rint(prices.max() / tick)
        if lowest >= 1 and highest <= contracts.max_price[k]:
            continue
        remedies = []
        if lowest < 1 and prices.min() > 0:
            remedies.append(f"set its tick to at most {prices.min():.1g}")
        if highest > contracts.max_price[k] and np.isfinite(highest):
            remedies.append(
                f"set its max_price to at least {math.ceil(1.01 * highest) * tick:.15g}"
            )
        remedies.append("change the process or the start of its underlying")
        problems.append(
            f"venues.{contracts.venue[k]}.instruments: {name!r} sees its index go from "
            f"{lowest:.6g} to {highest:.6g} ticks, outside 1 to {contracts.max_price[k]}; "
            f"{', or '.join(remedies)}"
        )
    if problems:
        raise ConfigError(problems)
