"""What a healthy market looks like: every row of the calm table from one run's frames."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.metrics.cascades import Frames
from sim.metrics.inputs import require_instrument
from sim.metrics.returns import autocorrelation, hill, hill_interval, jackknife_interval, kurtosis
from sim.metrics.venues import with_venue
from sim.types import F8

DAY = 86_400.0


class Facts(NamedTuple):
    """Stylised facts of one series of returns of one step."""

    daily_volatility: float  # root of a day's squared returns, share
    kurtosis: float
    least_kurtosis: float  # lower end of its 95% interval
    hill: float  # tail exponent of the largest 5%
    largest_hill: float  # upper end of its 95% interval
    acf: float  # lag 1
    acf_size_1: float  # of absolute returns
    acf_size_50: float


class Health(NamedTuple):
    """What a market adds to its index."""

    volatility: float  # daily, of the mark over that of x
    closed_out: float  # lots a day over open interest
    deleveraged: float  # lots
    beyond_fund: float  # what layers after the fund absorbed, bad debt included, minor units of the numeraire
    basis: float  # largest distance of the mark from the oracle, share
    spread: float  # median quoted, share of the mid
    depth_ratio: float  # median of depth within 1% over depth within 0.1% of the mark
    turnover: float  # lots a day over open interest
    leverage: float  # open interest over equity
    markout: float  # what resting orders gained at the mark after each step, share of the volume (BOOK-2)


def facts(prices: F8, dt: float) -> Facts:
    """Stylised facts of a positive price (n,) recorded every ``dt`` seconds."""
    returns = np.diff(np.log(prices))
    size = np.abs(returns)
    return Facts(
        daily_volatility=float(np.sqrt(np.mean(returns**2) * DAY / dt)),
        kurtosis=kurtosis(returns),
        least_kurtosis=jackknife_interval(kurtosis, returns)[0],
        hill=hill(returns),
        largest_hill=hill_interval(returns)[1],
        acf=autocorrelation(returns, 1),
        acf_size_1=autocorrelation(size, 1),
        acf_size_50=autocorrelation(size, 50),
    )


def returns_of(frames: Frames, instrument: str, since: int = 1) -> tuple[Facts, Facts]:
    """Facts of an instrument's mark, and of its index without the market (x), from step ``since`` on."""
    steps, dt = _steps(frames, instrument, since)
    mark, exogenous = (facts(steps[name].to_numpy(), dt) for name in ("mark", "exogenous"))
    return mark, exogenous


def health(frames: Frames, instrument: str, worth: float, since: int = 1) -> Health:
    """What an instrument's market adds, from step ``since`` on.

    Args:
        frames: a run's.
        instrument: a perpetual.
        worth: minor units of the numeraire that a lot is worth per unit of price, as lot * 10 ** decimals.
        since: first step to count, after the warm-up.
    """
    steps, dt = _steps(frames, instrument, since)
    steps = with_venue(steps, frames, ["equity"])
    losses = frames["losses"]
    beyond = losses[(losses["step"] >= since) & (losses["layer"] != "fund")]
    days, held = len(steps) * dt / DAY, steps["open_interest"].mean()
    moved = [np.sqrt((np.diff(np.log(steps[name])) ** 2).sum()) for name in ("mark", "exogenous")]
    return Health(
        volatility=float(moved[0] / moved[1]),
        closed_out=float(steps["liquidated"].sum() / days / held),
        deleveraged=float(steps["adl"].sum()),
        beyond_fund=float(beyond["absorbed"].sum()),
        basis=float((steps["mark"] / steps["oracle"] - 1).abs().max()),
        spread=float(((steps["ask"] - steps["bid"]) / steps["mid"]).median()),
        depth_ratio=float((steps["depth"] / steps["depth_near"]).median()),
        turnover=float(steps["volume"].sum() / days / held),
        leverage=float((steps["open_interest"] * steps["mark"] * worth / steps["equity"]).mean()),
        markout=markout(steps, worth),
    )


def markout(steps: pd.DataFrame, worth: float) -> float:
    """What resting orders gained at the mark after each step, over the notional traded; below nil = picked off.

    Args:
        steps: rows of one instrument.
        worth: minor units of the numeraire that a lot is worth per unit of price.
    """
    traded = float((steps["volume"] * steps["mark"]).sum()) * worth
    return float(steps["markout"].sum()) / traded if traded else 0.0


def _steps(frames: Frames, instrument: str, since: int) -> tuple[pd.DataFrame, float]:
    """An instrument's steps from ``since`` on, and seconds per step.

    Raises:
        ValueError: fewer than two steps of the instrument are left.
    """
    require_instrument(frames, instrument)
    steps = frames["steps"]
    steps = steps[(steps["instrument"] == instrument) & (steps["step"] >= since)]
    if len(steps) < 2:
        told = f"{instrument!r} has {len(steps)} steps from {since} on, at least 2 are needed"
        raise ValueError(f"{told}: choose an earlier step, or run longer")
    return steps, float(steps["seconds"].diff().median())
