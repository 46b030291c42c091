"""Calm benchmarks: stylised facts and market health from one run's frames."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument
from sim.metrics.returns import (
    compute_autocorrelation,
    compute_kurtosis,
    estimate_hill,
    estimate_hill_interval,
    estimate_jackknife_interval,
)
from sim.metrics.venues import join_venue
from sim.types import F8

DAY_SECONDS = 86_400.0


class StylisedFacts(NamedTuple):
    """Stylised facts of a series of one-step returns."""

    daily_volatility: float  # root of a day's squared returns, share
    kurtosis: float
    least_kurtosis: float  # lower end of its 95% interval
    hill: float  # tail exponent of the largest 5%
    largest_hill: float  # upper end of its 95% interval
    acf: float  # lag 1
    acf_size_1: float  # of absolute returns
    acf_size_50: float


class MarketHealth(NamedTuple):
    """Effects of a market on its prices, positions and costs."""

    volatility: float  # daily, of the mark over that of the exogenous index
    closed_out: float  # lots a day over open interest
    deleveraged: float  # lots
    # losses absorbed by layers after the fund, with bad debt, minor units of the numeraire
    beyond_fund: float
    basis: float  # largest distance of the mark from the oracle, share
    spread: float  # median quoted, share of the mid
    depth_ratio: float  # median of depth within 1% over depth within 0.1% of the mark
    turnover: float  # lots a day over open interest
    leverage: float  # open interest over equity
    markout: float  # gain of resting orders at the mark after each step, share of volume (BOOK-2)


def compute_facts(prices: F8, dt: float) -> StylisedFacts:
    """Return the stylised facts of a positive price (n,) recorded every ``dt`` seconds."""
    returns = np.diff(np.log(prices))
    size = np.abs(returns)
    return StylisedFacts(
        daily_volatility=float(np.sqrt(np.mean(returns**2) * DAY_SECONDS / dt)),
        kurtosis=compute_kurtosis(returns),
        least_kurtosis=estimate_jackknife_interval(compute_kurtosis, returns)[0],
        hill=estimate_hill(returns),
        largest_hill=estimate_hill_interval(returns)[1],
        acf=compute_autocorrelation(returns, 1),
        acf_size_1=compute_autocorrelation(size, 1),
        acf_size_50=compute_autocorrelation(size, 50),
    )


def compare_facts(
    frames: Frames, instrument: str, since: int = 1
) -> tuple[StylisedFacts, StylisedFacts]:
    """Return the facts of an instrument's mark and of its exogenous index, from ``since`` on."""
    steps, dt = _select_steps(frames, instrument, since)
    mark, exogenous = (compute_facts(steps[name].to_numpy(), dt) for name in ("mark", "exogenous"))
    return mark, exogenous


def measure_health(
    frames: Frames, instrument: str, lot_multiplier: float, since: int = 1
) -> MarketHealth:
    """Return the effects of an instrument's market, from step ``since`` on.

    Args:
        frames: frames of one run.
        instrument: a perpetual.
        lot_multiplier: minor units per lot and unit of price, lot * 10 ** decimals.
        since: first step to count, after the warm-up.
    """
    steps, dt = _select_steps(frames, instrument, since)
    steps = join_venue(steps, frames, ["equity"])
    days, held = len(steps) * dt / DAY_SECONDS, steps["open_interest"].mean()
    notional = steps["open_interest"] * steps["mark"] * lot_multiplier
    return MarketHealth(
        volatility=float(_path_volatility(steps["mark"]) / _path_volatility(steps["exogenous"])),
        closed_out=float(steps["liquidated"].sum() / days / held),
        deleveraged=float(steps["adl"].sum()),
        beyond_fund=_sum_beyond_fund(frames["losses"], since),
        basis=float((steps["mark"] / steps["oracle"] - 1).abs().max()),
        spread=float(((steps["ask"] - steps["bid"]) / steps["mid"]).median()),
        depth_ratio=float((steps["depth"] / steps["depth_near"]).median()),
        turnover=float(steps["volume"].sum() / days / held),
        leverage=float((notional / steps["equity"]).mean()),
        markout=measure_markout(steps, lot_multiplier),
    )


def _path_volatility(prices: "pd.Series[float]") -> np.float64:
    """Return the root of the sum of squared log returns."""
    volatility: np.float64 = np.sqrt((np.diff(np.log(prices)) ** 2).sum())
    return volatility


def _sum_beyond_fund(losses: pd.DataFrame, since: int) -> float:
    """Return losses from step ``since`` on that layers after the fund absorbed."""
    beyond = losses[(losses["step"] >= since) & (losses["layer"] != "fund")]
    return float(beyond["absorbed"].sum())


def measure_markout(steps: pd.DataFrame, lot_multiplier: float) -> float:
    """Return the gain of resting orders at the mark after each step, over the notional traded.

    A negative value means that resting orders are picked off.

    Args:
        steps: rows of one instrument.
        lot_multiplier: minor units per lot and unit of price, lot * 10 ** decimals.
    """
    traded = float((steps["volume"] * steps["mark"]).sum()) * lot_multiplier
    return float(steps["markout"].sum()) / traded if traded else 0.0


def _select_steps(frames: Frames, instrument: str, since: int) -> tuple[pd.DataFrame, float]:
    """Return an instrument's steps from ``since`` on, and seconds per step.

    Raises:
        ValueError: fewer than two steps of the instrument are left.
    """
    require_instrument(frames, instrument)
    steps = frames["steps"]
    steps = steps[(steps["instrument"] == instrument) & (steps["step"] >= since)]
    if len(steps) < 2:
        message = f"{instrument!r} has {len(steps)} steps from {since} on, at least 2 are needed"
        raise ValueError(f"{message}: choose an earlier step, or run longer")
    return steps, float(steps["seconds"].diff().median())
