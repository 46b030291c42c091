"""How good the market was while it ran, and whether margin, depth and makers' capital went down together."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.errors import DataError
from sim.metrics.inputs import require_columns
from sim.metrics.procyclicality import compute_peak_to_trough, find_largest_rise
from sim.metrics.venues import join_venue

STEP_COLUMNS = (
    "step",
    "seconds",
    "instrument",
    "venue",
    "mark",
    "oracle",
    "bid",
    "ask",
    "mid",
    "depth",
    "gross",
)
VENUE_COLUMNS = ("initial", "calls_met", "calls_missed")


class MarketQuality(NamedTuple):
    """Of one instrument and its venue, over the steps asked for; nan where nothing was recorded or nothing moved."""

    margin_peak_to_trough: float  # initial margin per notional, largest over smallest
    margin_rise: float  # largest rise of it within an hour, share of notional
    calls_met: float  # share of answered calls that were met
    depth_trough: float  # least depth within 1%, over the median
    spread_peak: float  # widest spread, over the median
    efficiency: float  # 1 - variance of the mark's distance from the oracle over that of the oracle (logs): 1 is best
    spiral: float  # rank correlation of changes of makers' equity and of depth, reading to reading


def measure_quality(
    frames: Mapping[str, pd.DataFrame], instrument: str, makers: tuple[str, ...], since: int = 1
) -> MarketQuality:
    """Market quality and procyclicality of a run.

    Args:
        frames: ``steps``, ``venues`` and ``populations`` of one run.
        instrument: a perpetual.
        makers: names of the populations that quote.
        since: first step to count.

    Raises:
        DataError: a frame or a column is missing, or all of the instrument's steps.
    """
    needed: dict[str, tuple[str, ...]] = {
        "steps": STEP_COLUMNS,
        "populations": ("step", "venue", "population", "equity"),
    }
    if "venues" in frames:
        needed["venues"] = ("step", "venue", *VENUE_COLUMNS)
    else:  # of a version that had them in `steps`
        needed["steps"] += VENUE_COLUMNS
    require_columns(frames, needed, "quality")
    steps = frames["steps"]
    own = steps[(steps["instrument"] == instrument) & (steps["step"] >= since)]
    own = join_venue(own, frames, VENUE_COLUMNS).set_index("step")
    if own.empty:
        raise DataError(
            f"{instrument!r} has no step from {since} on, name a perpetual of the run or an earlier step"
        )
    venue = steps[(steps["venue"] == own["venue"].iloc[0]) & (steps["step"] >= since)]
    held = venue.groupby("step")["gross"].sum().reindex(own.index).to_numpy(np.float64)
    asked = (own["initial"].to_numpy(np.float64) / np.where(held > 0, held, np.nan))[held > 0]
    hour = max(round(3600 / float(own["seconds"].diff().median())), 1) if len(own) > 1 else 1
    answered = float(own["calls_met"].sum() + own["calls_missed"].sum())
    spread = (own["ask"] - own["bid"]) / own["mid"]
    return MarketQuality(
        margin_peak_to_trough=compute_peak_to_trough(asked) if asked.size else math.nan,
        margin_rise=find_largest_rise(asked, hour) if asked.size > 1 else math.nan,
        calls_met=float(own["calls_met"].sum()) / answered if answered else math.nan,
        depth_trough=_divide(own["depth"].min(), own["depth"].median()),
        spread_peak=_divide(spread.max(), spread.median()),
        efficiency=_mark_efficiency(own),
        spiral=_correlate_equity_depth(frames["populations"], own, makers),
    )


def _divide(value: float, middle: float) -> float:
    return float(value / middle) if middle else math.nan


def _mark_efficiency(own: pd.DataFrame) -> float:
    told = np.log(own["oracle"]).var()
    return float(1 - np.log(own["mark"] / own["oracle"]).var() / told) if told else math.nan


def _correlate_equity_depth(
    populations: pd.DataFrame, own: pd.DataFrame, makers: tuple[str, ...]
) -> float:
    """Whether capital and liquidity go together: Spearman's, for a few readings outweigh all others."""
    theirs = populations[
        populations["population"].isin(makers) & (populations["venue"] == own["venue"].iloc[0])
    ]
    equity = theirs[theirs["step"].isin(own.index)].groupby("step")["equity"].sum()
    moves = (
        pd.DataFrame({"equity": equity, "depth": own["depth"].reindex(equity.index)})
        .diff()
        .dropna()
        .rank()
    )
    alike = len(moves) < 3 or moves.std().min() == 0
    return math.nan if alike else float(moves["equity"].corr(moves["depth"]))
