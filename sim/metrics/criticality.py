"""Criticality: R(Δ) over time, distance from criticality, self-excitation of close-outs (LIQ-7).

A market is critical where a fall of Δ liquidates as many lots as rest in its way. R(Δ) measures it
in the order book before the fall; the Hawkes ratio estimates it from past close-outs.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.metrics.inputs import require_columns
from sim.metrics.returns import NORMAL_95
from sim.types import B1, F8, I8

PROFILE_COLUMNS = ("step", "venue", "instrument", "move", "at_risk", "fresh", "resting")


def tabulate_feedback(frames: Mapping[str, pd.DataFrame], instrument: str) -> pd.DataFrame:
    """Return R(Δ) of an instrument: a row for each reading, a column for each move.

    R is infinite where accounts would be liquidated and no order rests in the way. It is nan where
    no account would be liquidated either.

    Raises:
        DataError: the frame ``profile`` or one of its columns is missing.
    """
    require_columns(frames, {"profile": PROFILE_COLUMNS}, "R")
    own = frames["profile"]
    own = own[own["instrument"] == instrument]
    ratio = own["fresh"].astype(np.float64) / own["resting"]
    return own.assign(ratio=ratio).pivot(index="step", columns="move", values="ratio")


def compute_distance(ratios: pd.DataFrame, move: float = 0.01) -> "pd.Series[float]":
    """Return 1 - the larger R of a fall and a rise, at each reading; negative beyond criticality.

    Args:
        ratios: R(Δ), see :func:`tabulate_feedback`.
        move: size of both moves, a share of the mark; nan where no profile has it.
    """
    return 1.0 - ratios.reindex(columns=[-move, move]).max(axis=1)


def tabulate_density(frames: Mapping[str, pd.DataFrame], instrument: str) -> pd.DataFrame:
    """Return the density of liquidation prices: rows of step, low, high (moves) and at_risk.

    ``at_risk`` is the notional between two moves, minor units. Both innermost cells include
    accounts that are already below maintenance, because a profile has no reading of the unmoved
    mark.
    """
    require_columns(frames, {"profile": PROFILE_COLUMNS}, "the heat map")
    own = frames["profile"]
    wide = own[own["instrument"] == instrument].pivot(
        index="step", columns="move", values="at_risk"
    )
    moves, risk = wide.columns.to_numpy(np.float64), wide.to_numpy(np.float64)
    falls, rises = np.flatnonzero(moves < 0)[::-1], np.flatnonzero(moves > 0)
    parts = []
    for side in (falls, rises):  # from the mark outwards
        before, inner = np.zeros(len(wide)), 0.0
        for column in side:
            low, high = sorted((inner, float(moves[column])))
            between = np.maximum(risk[:, column] - before, 0.0)
            cells = {"step": wide.index, "low": low, "high": high, "at_risk": between}
            parts.append(pd.DataFrame(cells))
            before, inner = risk[:, column], float(moves[column])
    if not parts:
        return pd.DataFrame(columns=["step", "low", "high", "at_risk"])
    return pd.concat(parts).sort_values(["step", "low"], ignore_index=True)


class HawkesFit(NamedTuple):
    """Discrete Hawkes process: expected count = baseline + Σ weights x earlier counts.

    The baseline applies in slots with external events.
    """

    ratio: float  # Σ weights: mean number of events that one event triggers
    low: float  # lower end of its 95% interval
    high: float  # upper end of its 95% interval
    baseline: float  # expected events in a slot with external events
    weights: F8  # (lags,) of the counts 1, 2, ... slots before


def fit_hawkes(counts: F8, outside: B1, lags: int = 1, passes: int = 20) -> HawkesFit:
    """Fit an INAR process by weighted least squares (Kirchner 2017, Stat. Prob. Letters 122).

    Weights are >= 0. Least squares are reweighted by the fitted means, which are the variances of
    Poisson counts. The interval uses the sandwich estimator (White 1980) and requires no Poisson
    law. All values are nan without events.

    Args:
        counts: events in each slot, (n,): rounds or steps.
        outside: (n,) slots in which events other than earlier ones can be a cause. Between the
            rounds of a step only close-outs move prices, so that it is the first round.
        lags: number of slots for which an event has an effect.
        passes: number of reweighted fits.
    """
    design, observed = _build_design(counts, outside, lags)
    if not observed.any() or not design[:, 1:].any():
        return HawkesFit(np.nan, np.nan, np.nan, np.nan, np.full(lags, np.nan))
    fitted, weights = _fit_reweighted(design, observed, passes)
    ratio = float(fitted[1:].sum())
    half = NORMAL_95 * _ratio_error(design, observed, fitted, weights)
    return HawkesFit(
        ratio=ratio,
        low=ratio - half,
        high=ratio + half,
        baseline=float(fitted[0]),
        weights=fitted[1:],
    )


def _build_design(counts: F8, outside: B1, lags: int) -> tuple[F8, F8]:
    """Return regressors (m, 1 + lags) and counts (m,) of the slots with any regressor."""
    past = [np.concatenate([np.zeros(lag), counts[:-lag]]) for lag in range(1, lags + 1)]
    design = np.column_stack([outside.astype(np.float64), np.stack(past, axis=1)])[lags:]
    observed = counts[lags:].astype(np.float64)
    used = design.any(axis=1)
    return design[used], observed[used]


def _fit_reweighted(design: F8, observed: F8, passes: int) -> tuple[F8, F8]:
    """Return coefficients >= 0 of reweighted least squares, and the last weights."""
    from scipy.optimize import nnls

    weights: F8 = np.ones(observed.size)
    fitted: F8 = np.zeros(design.shape[1])
    for _ in range(passes):
        root = np.sqrt(weights)
        fitted = nnls(design * root[:, None], observed * root)[0]
        weights = 1 / np.maximum(design @ fitted, 1e-3)
    return fitted, weights


def _ratio_error(design: F8, observed: F8, fitted: F8, weights: F8) -> float:
    """Return the standard error of the sum of the lags' positive coefficients."""
    residuals = observed - design @ fitted
    weighted = design * weights[:, None]
    bread = np.linalg.pinv(weighted.T @ design)
    scores = design * (weights * residuals)[:, None]
    variance = bread @ (scores.T @ scores) @ bread
    is_lag = np.r_[0.0, np.ones(fitted.size - 1)]
    pick = is_lag * (fitted > 0)
    return float(np.sqrt(max(pick @ variance @ pick, 0.0)))


def tabulate_rounds(frames: Mapping[str, pd.DataFrame], venue: str) -> pd.DataFrame:
    """Return liquidation rounds of a venue: rows of step, round, count and outside.

    Every round with fills has a row. A step's last row is the round after, without fills: the end
    of a cascade is part of the observation. A step without close-outs is one row with count zero.
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
    """Return the Hawkes ratio of recent close-outs at each reading; nan without any.

    Args:
        slots: rounds, see :func:`tabulate_rounds`.
        readings: steps, (n,).
        memory: number of steps in the estimate.
    """
    step, counts = slots["step"].to_numpy(), slots["count"].to_numpy(np.float64)
    outside = slots["outside"].to_numpy(np.bool_)
    seen = [(step <= now) & (step > now - memory) for now in readings]
    return np.array([fit_hawkes(counts[part], outside[part]).ratio for part in seen])
