"""How near the edge: R(Δ) over time, distance to criticality, self-excitation of close-outs (LIQ-7).

A market is critical where a fall of Δ liquidates as many lots as rest on its way. R(Δ) reads that off the book before
anything has happened; the Hawkes ratio estimates it from close-outs that have.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from sim.metrics.inputs import require_columns
from sim.metrics.returns import NORMAL_95
from sim.types import B1, F8, I8

PROFILE_COLUMNS = ("step", "venue", "instrument", "move", "at_risk", "fresh", "resting")


def tabulate_feedback(frames: Mapping[str, pd.DataFrame], instrument: str) -> pd.DataFrame:
    """R(Δ) of an instrument: a row for each reading, a column for each move.

    Infinite where somebody would go under and nothing rests on the way, nan where nobody would either.

    Raises:
        DataError: the frame ``profile`` or one of its columns is missing.
    """
    require_columns(frames, {"profile": PROFILE_COLUMNS}, "R")
    own = frames["profile"]
    own = own[own["instrument"] == instrument]
    ratio = own["fresh"].astype(np.float64) / own["resting"]
    return own.assign(ratio=ratio).pivot(index="step", columns="move", values="ratio")


def compute_distance(ratios: pd.DataFrame, move: float = 0.01) -> "pd.Series[float]":
    """Distance to criticality at each reading: 1 - the larger R of a fall and a rise, below nil beyond the edge.

    Args:
        ratios: of ``feedback``.
        move: of either, a share of the mark; nan where no profile has it.
    """
    return 1.0 - ratios.reindex(columns=[-move, move]).max(axis=1)


def tabulate_density(frames: Mapping[str, pd.DataFrame], instrument: str) -> pd.DataFrame:
    """Where liquidation prices lie: rows of step, low, high (moves), at_risk (notional between them, minor units).

    Both innermost cells also hold what needs no move, of accounts below maintenance already: a profile has no reading
    of the mark as it is.
    """
    require_columns(frames, {"profile": PROFILE_COLUMNS}, "the heat map")
    own = frames["profile"]
    wide = own[own["instrument"] == instrument].pivot(
        index="step", columns="move", values="at_risk"
    )
    moves, risk = wide.columns.to_numpy(np.float64), wide.to_numpy(np.float64)
    parts = []
    for side in (
        np.flatnonzero(moves < 0)[::-1],
        np.flatnonzero(moves > 0),
    ):  # from the mark outwards
        before, inner = np.zeros(len(wide)), 0.0
        for column in side:
            low, high = sorted((inner, float(moves[column])))
            between = np.maximum(risk[:, column] - before, 0.0)
            cells = {"step": wide.index, "low": low, "high": high, "at_risk": between}
            parts.append(pd.DataFrame(cells))
            before, inner = risk[:, column], float(moves[column])
    columns = ["step", "low", "high", "at_risk"]
    return (
        pd.concat(parts).sort_values(["step", "low"], ignore_index=True)
        if parts
        else pd.DataFrame(columns=columns)
    )


class HawkesFit(NamedTuple):
    """A discrete Hawkes process: expected count = baseline where the outside acts + Σ weights x earlier counts."""

    ratio: float  # Σ weights: how many events one brings about
    low: float  # 95% interval of it
    high: float
    baseline: float  # events per slot that the outside acts in
    weights: F8  # (lags,) of the counts 1, 2, ... slots before


def fit_hawkes(counts: F8, outside: B1, lags: int = 1, passes: int = 20) -> HawkesFit:
    """Fit an INAR process (Kirchner 2017, Stat. Prob. Letters 122) by weighted least squares, weights not below nil.

    Least squares are reweighted by the fitted means, which are a Poisson's variances; the interval is the sandwich's
    (White 1980) and needs no Poisson law. nan where nothing happened.

    Args:
        counts: events in each slot, (n,): rounds or steps.
        outside: slots in which something other than earlier events can cause one, (n,). Between the rounds of a step
            nothing but close-outs moves anything: there it is the first round.
        lags: how many slots an event is remembered.
        passes: of the reweighting.
    """
    past = np.stack(
        [np.concatenate([np.zeros(lag), counts[:-lag]]) for lag in range(1, lags + 1)], axis=1
    )
    design = np.column_stack([outside.astype(np.float64), past])[lags:]
    seen = counts[lags:].astype(np.float64)
    used = design.any(axis=1)
    design, seen = design[used], seen[used]
    nothing = HawkesFit(np.nan, np.nan, np.nan, np.nan, np.full(lags, np.nan))
    if not seen.any() or not design[:, 1:].any():
        return nothing
    weights: F8 = np.ones(seen.size)
    found: F8 = np.zeros(lags + 1)
    for _ in range(passes):
        root = np.sqrt(weights)
        found = nnls(design * root[:, None], seen * root)[0]
        weights = 1 / np.maximum(design @ found, 1e-3)
    kept = found > 0
    bread = np.linalg.pinv((design * weights[:, None]).T @ design)
    scores = design * (weights * (seen - design @ found))[:, None]
    variance = bread @ (scores.T @ scores) @ bread
    pick = np.r_[0.0, np.ones(lags)] * kept
    total, error = float(found[1:].sum()), float(np.sqrt(max(pick @ variance @ pick, 0.0)))
    half = NORMAL_95 * error
    return HawkesFit(total, total - half, total + half, float(found[0]), found[1:])


def tabulate_rounds(frames: Mapping[str, pd.DataFrame], venue: str) -> pd.DataFrame:
    """Event time: rows of step, round, count, outside; every round of a step in which a venue's close-outs filled.

    A step's last row is the round after, in which none did: that a cascade ended is part of what is known. Steps
    without close-outs are one row of nil.
    """
    require_columns(
        frames,
        {"closeouts": ("step", "round", "venue", "filled"), "steps": ("step",)},
        "event time",
    )
    closeouts = frames["closeouts"]
    filled = closeouts[(closeouts["filled"] > 0) & (closeouts["venue"] == venue)]
    last = filled.groupby("step")["round"].max()
    steps = np.unique(frames["steps"]["step"])
    length = last.reindex(steps).fillna(-1).to_numpy(np.int64) + 2
    step = np.repeat(steps, length)
    turn = np.arange(step.size) - np.repeat(np.cumsum(length) - length, length)
    slots = pd.DataFrame({"step": step, "round": turn})
    counts = filled.groupby(["step", "round"]).size().rename("count").reset_index()
    table = slots.merge(counts, on=["step", "round"], how="left").fillna({"count": 0.0})
    return table.assign(outside=table["round"] == 0)


def estimate_excitation(slots: pd.DataFrame, readings: I8, memory: int) -> F8:
    """Hawkes ratio of the close-outs of the last steps, at each reading; nan where there were none.

    Args:
        slots: of ``rounds``.
        readings: steps, (n,).
        memory: how many steps are remembered.
    """
    step, counts = slots["step"].to_numpy(), slots["count"].to_numpy(np.float64)
    outside = slots["outside"].to_numpy(np.bool_)
    seen = [(step <= now) & (step > now - memory) for now in readings]
    return np.array([fit_hawkes(counts[part], outside[part]).ratio for part in seen])
