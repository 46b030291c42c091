"""Market quality, and the joint decline of margin, depth and makers' capital."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.errors import DataError
from sim.metrics.inputs import require_columns
from sim.metrics.procyclicality import compute_peak_to_trough, find_largest_rise
from sim.metrics.venues import join_venue
from sim.types import F8

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
    """Quality of one instrument and its venue over some steps; nan where data are missing."""

    margin_peak_to_trough: float  # initial margin per notional, largest over smallest
    margin_rise: float  # largest rise of it within an hour, share of notional
    calls_met: float  # share of answered calls that were met
    depth_trough: float  # least depth within 1%, over the median
    spread_peak: float  # widest spread, over the median
    # 1 - variance of log(mark / oracle) over variance of log(oracle): 1 is best
    efficiency: float
    spiral: float  # rank correlation of changes of makers' equity and of depth between readings


def measure_quality(
    frames: Mapping[str, pd.DataFrame], instrument: str, makers: tuple[str, ...], since: int = 1
) -> MarketQuality:
    """Return market quality and procyclicality of a run.

    Args:
        frames: ``steps``, ``venues`` and ``populations`` of one run.
        instrument: a perpetual.
        makers: names of the populations that quote.
        since: first step to count.

    Raises:
        DataError: a frame, a column or every step of the instrument is missing.
    """
    require_columns(frames, _list_required(frames), "quality")
    steps = frames["steps"]
    own = steps[(steps["instrument"] == instrument) & (steps["step"] >= since)]
    own = join_venue(own, frames, VENUE_COLUMNS).set_index("step")
    if own.empty:
        raise DataError(
            f"{instrument!r} has no step from {since} on, "
            "name a perpetual of the run or an earlier step"
        )
    required = _margin_per_notional(steps[steps["step"] >= since], own)
    met, missed = own["calls_met"].sum(), own["calls_missed"].sum()
    answered = float(met + missed)
    spread = (own["ask"] - own["bid"]) / own["mid"]
    return MarketQuality(
        margin_peak_to_trough=compute_peak_to_trough(required) if required.size else math.nan,
        margin_rise=_find_hourly_rise(required, own),
        calls_met=float(met) / answered if answered else math.nan,
        depth_trough=_divide(own["depth"].min(), own["depth"].median()),
        spread_peak=_divide(spread.max(), spread.median()),
        efficiency=_mark_efficiency(own),
        spiral=_correlate_equity_depth(frames["populations"], own, makers),
    )


def _find_hourly_rise(required: F8, own: pd.DataFrame) -> float:
    """Return the largest rise of margin per notional within an hour; nan for a single step."""
    if required.size < 2:
        return math.nan
    seconds = float(own["seconds"].diff().median())
    return find_largest_rise(required, max(round(3600 / seconds), 1))


def _list_required(frames: Mapping[str, pd.DataFrame]) -> dict[str, tuple[str, ...]]:
    """Return required columns by frame; older versions have those of venues in ``steps``."""
    required: dict[str, tuple[str, ...]] = {
        "steps": STEP_COLUMNS,
        "populations": ("step", "venue", "population", "equity"),
    }
    if "venues" in frames:
        required["venues"] = ("step", "venue", *VENUE_COLUMNS)
    else:
        required["steps"] += VENUE_COLUMNS
    return required


def _margin_per_notional(steps: pd.DataFrame, own: pd.DataFrame) -> F8:
    """Return initial margin over gross notional of the venue, at steps with positions, (n,)."""
    venue = steps[steps["venue"] == own["venue"].iloc[0]]
    held = venue.groupby("step")["gross"].sum().reindex(own.index).to_numpy(np.float64)
    ratio: F8 = own["initial"].to_numpy(np.float64) / np.where(held > 0, held, np.nan)
    return ratio[held > 0]


def _divide(value: float, middle: float) -> float:
    return float(value / middle) if middle else math.nan


def _mark_efficiency(own: pd.DataFrame) -> float:
    total = np.log(own["oracle"]).var()
    return float(1 - np.log(own["mark"] / own["oracle"]).var() / total) if total else math.nan


def _correlate_equity_depth(
    populations: pd.DataFrame, own: pd.DataFrame, makers: tuple[str, ...]
) -> float:
    """Return Spearman's correlation of changes in makers' equity and in depth.

    Ranks are used because a few readings would outweigh all others.
    """
    rows = populations[
        populations["population"].isin(makers) & (populations["venue"] == own["venue"].iloc[0])
    ]
    equity = rows[rows["step"].isin(own.index)].groupby("step")["equity"].sum()
    levels = pd.DataFrame({"equity": equity, "depth": own["depth"].reindex(equity.index)})
    changes = levels.diff().dropna().rank()
    if len(changes) < 3 or changes.std().min() == 0:
        return math.nan
    return float(changes["equity"].corr(changes["depth"]))
