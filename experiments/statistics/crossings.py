"""Where along an axis an outcome crosses a level: isotonic fit, paired bootstrap, a test of monotonicity."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics.intervals import LEVEL
from experiments.statistics.paired import settings
from experiments.statistics.tails import StatisticsError
from sim.types import F8

RESAMPLES = 2_000
ALPHA = 0.05
"""Below this p-value the outcome is held not to be monotone."""


class Crossing(NamedTuple):
    """Where an outcome crosses a level, or that it does not.

    ``at`` is that of the isotonic fit, nan where it stays on one side. An end of the interval is infinite where the
    level lies beyond the range in more than 2.5% of resamples; both are nan with one seed. The interval is never
    narrower than the settings on either side of the crossing, as nothing was run between them.
    """

    axis: str
    level: float
    at: float
    low: float
    high: float
    below: float  # settings next to the crossing; nan where there is none
    above: float
    first: float  # range of the settings
    last: float
    side: int  # of the level that all fitted values lie on: 1 above, -1 below, 0 both
    rising: bool  # direction of the fit
    p_monotone: float  # small: not monotone
    crossings: tuple[float, ...]  # of the means themselves, joined by lines
    seeds: int

    @property
    def monotone(self) -> bool:
        """Whether the runs leave room for an outcome that only rises or only falls."""
        return not self.p_monotone < ALPHA

    @property
    def verdict(self) -> str:
        """``reached``, ``not reached``, or ``several`` where the outcome is not monotone and crosses more than once."""
        if not self.monotone and len(self.crossings) > 1:
            return "several"
        return "not reached" if math.isnan(self.at) else "reached"

    def told(self, digits: int = 3) -> str:
        """For a table's cell: ``1.52 (1.41 to 1.7)``, ``not reached in [1, 2]``, or every crossing."""
        if self.verdict == "several":
            every = ", ".join(_told(at, digits) for at in self.crossings)
            return f"not monotone (p = {self.p_monotone:.2g}): crosses at {every}"
        if self.verdict == "not reached":
            where = "above" if self.side > 0 else "below"
            within = f"not reached in [{_told(self.first, digits)}, {_told(self.last, digits)}]: {where} it throughout"
            return within + (self._interval(digits) if math.isfinite(self.low) or math.isfinite(self.high) else "")
        return f"{_told(self.at, digits)}{self._interval(digits)}"

    def _interval(self, digits: int) -> str:
        ends = (self._end(self.low, digits), self._end(self.high, digits))
        return "" if math.isnan(self.low) else f" ({ends[0]} to {ends[1]})"

    def _end(self, value: float, digits: int) -> str:
        if math.isinf(value):
            return f"below {_told(self.first, digits)}" if value < 0 else f"above {_told(self.last, digits)}"
        return _told(value, digits)


def threshold(runs: pd.DataFrame, axis: str, outcome: str, level: float) -> Crossing:
    """Where the mean of an outcome (a probability, if of truth values) crosses a level along an axis.

    The means are fitted by isotonic regression, weighted by counts (Barlow et al. 1972), rising or falling, whichever
    fits better; the fit is read off between settings on a straight line. The interval is the percentile bootstrap's
    over seeds, drawn jointly for all settings, as they share their draws (RNG-1). Monotonicity is tested by the
    weighted squares between means and fit, against resamples of the runs centred on a constant, the monotone curve
    that is hardest to tell from others (Robertson, Wright & Dykstra 1988, section 2.3).

    Args:
        runs: one row per value of ``axis`` and ``seed``; missing outcomes (nan) are left out.
        axis: column of numbers.
        outcome: column of numbers or truth values.
        level: to be crossed.

    Raises:
        StatisticsError: fewer than two settings, or no outcome at one of them.
    """
    at, table = _table(runs, axis, outcome)
    weights = (~np.isnan(table)).sum(axis=0).astype(np.float64)
    means = np.nanmean(table, axis=0)
    rising = bool(_misfit(means, weights) <= _misfit(-means, weights))
    way = 1 if rising else -1  # a falling outcome is turned over, level and all
    crossed = float(_crossed(at, isotonic(way * means, weights), way * level))
    below, above = _beside(at, crossed)
    low, high, p = math.nan, math.nan, math.nan
    if len(table) > 1:
        drawn, counts = _drawn(table, 0)
        found = _crossed(at, isotonic(way * drawn, counts), way * level)
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(found, [tail, 1 - tail], method="inverted_cdf")
        low, high = np.fmin(low, below), np.fmax(high, above)
        p = _monotone(way * table, way * means, weights)
    side = 0 if math.isfinite(crossed) else -way if crossed > 0 else way
    reached = crossed if side == 0 else math.nan
    every = tuple(_crossings(at, means, level))
    ends = (float(at[0]), float(at[-1]))
    return Crossing(
        axis, level, reached, float(low), float(high), below, above, *ends, side, rising, p, every, len(table)
    )


def thresholds(runs: pd.DataFrame, by: Sequence[str], axis: str, outcome: str, level: float) -> pd.DataFrame:
    """``threshold`` at every setting: rows of ``by`` and the fields of ``Crossing``, with verdict and ``told``."""
    rows = []
    for setting, group in settings(runs, by):
        found = threshold(group, axis, outcome, level)
        told = {"verdict": found.verdict, "told": found.told()}
        named = found._asdict() | {"crossings": " ".join(f"{at:.6g}" for at in found.crossings)}
        rows.append(dict(zip(by, setting, strict=True)) | named | told)
    return pd.DataFrame(rows)


def refined(runs: pd.DataFrame, found: Crossing, width: float, most: int = 2) -> tuple[float, ...]:
    """Settings to run next: middles of the widest gaps that the crossing may lie in.

    Args:
        runs: those that ``found`` is of.
        found: of ``threshold``.
        width: gaps narrower than this are left as they are.
        most: how many at a time.

    Returns:
        None where every gap near the crossing is narrow enough, or where the level is not reached.
    """
    at = np.sort(runs[found.axis].unique().astype(np.float64))
    inside = np.array([_near(found, low, high) for low, high in itertools.pairwise(at)], dtype=bool)
    gaps = np.where(inside & (np.diff(at) > width * (1 + 1e-9)), np.diff(at), 0.0)
    chosen = [k for k in np.argsort(-gaps, kind="stable")[:most] if gaps[k] > 0]
    return tuple(sorted(float((at[k] + at[k + 1]) / 2) for k in chosen))


def _near(found: Crossing, low: float, high: float) -> bool:
    """Whether a gap holds the crossing, one of several, or part of the interval."""
    if any(low <= at <= high for at in found.crossings):
        return True
    return found.verdict == "reached" and low < found.high and high > found.low


def _table(runs: pd.DataFrame, axis: str, outcome: str) -> tuple[F8, F8]:
    """Values of the axis and a table of seeds by them; a seed that a setting lacks is nan there."""
    table = runs.pivot(index="seed", columns=axis, values=outcome).sort_index().sort_index(axis=1).astype(np.float64)
    if table.shape[1] < 2:
        raise StatisticsError(f"{axis}: {table.shape[1]} settings, a crossing needs two, add values of the axis")
    empty = table.columns[table.isna().all()]
    if len(empty):
        raise StatisticsError(f"{axis}: no run at {empty[0]:g} has {outcome}, every setting needs one, make them")
    return table.columns.to_numpy(np.float64), table.to_numpy()


def isotonic(means: F8, weights: F8) -> F8:
    """Rising least-squares fits of many curves at once, by the min-max formula (Barlow et al. 1972, section 1.4).

    scipy's ``isotonic_regression`` makes the same of one curve; thousands of resamples take it minutes.

    Args:
        means: (..., settings).
        weights: positive, of the same shape.
    """
    start = np.zeros((*means.shape[:-1], 1))
    summed = np.concatenate([start, np.cumsum(means * weights, axis=-1)], axis=-1)
    counted = np.concatenate([start, np.cumsum(weights, axis=-1)], axis=-1)
    size = means.shape[-1]
    apart = np.triu(np.ones((size, size), dtype=bool))  # from a setting to one not before it
    over = counted[..., None, 1:] - counted[..., :-1, None]
    average = np.where(apart, (summed[..., None, 1:] - summed[..., :-1, None]) / np.where(apart, over, 1.0), np.inf)
    least = np.minimum.accumulate(average[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray(np.round(np.where(apart, least, -np.inf).max(axis=-2), 12))


def _misfit(means: F8, weights: F8) -> F8:
    """Weighted squares between means and their rising fit (...)."""
    return np.asarray((weights * (means - isotonic(means, weights)) ** 2).sum(axis=-1))


def _crossed(at: F8, fits: F8, level: float) -> F8:
    """Where rising fits reach the level (...), between settings on a line; infinite on the side where it lies beyond.

    The middle of a stretch on the level.
    """
    last = len(at) - 1
    first, final = (fits >= level).argmax(axis=-1), last - (fits <= level)[..., ::-1].argmax(axis=-1)
    low, high = np.minimum(first, final), np.maximum(first, final)  # the settings around, or the ends of the stretch
    rise = np.take_along_axis(fits, np.stack([low, high], axis=-1), axis=-1)
    step = np.where(rise[..., 1] > rise[..., 0], rise[..., 1] - rise[..., 0], 1.0)
    share = np.where(rise[..., 1] > rise[..., 0], (level - rise[..., 0]) / step, 0.5)
    found = np.round(at[low] + share * (at[high] - at[low]), 10)
    return np.where((fits > level).all(axis=-1), -np.inf, np.where((fits < level).all(axis=-1), np.inf, found))


def _beside(at: F8, crossed: float) -> tuple[float, float]:
    """The settings on either side of a crossing, itself where there is none."""
    if not math.isfinite(crossed):
        return math.nan, math.nan
    return float(max(at[at < crossed], default=crossed)), float(min(at[at > crossed], default=crossed))


def _told(value: float, digits: int) -> str:
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def _crossings(at: F8, means: F8, level: float) -> list[float]:
    """Where means joined by lines pass from one side of the level to the other; the middle of a stretch on it."""
    off = np.flatnonzero(means != level)
    found = []
    for left, right in itertools.pairwise(off):
        if (means[left] > level) == (means[right] > level):
            continue
        if right - left > 1:
            found.append(float((at[left + 1] + at[right - 1]) / 2))
        else:
            share = (level - means[left]) / (means[right] - means[left])
            found.append(float(at[left] + share * (at[right] - at[left])))
    return found


def _drawn(table: F8, root: int) -> tuple[F8, F8]:
    """Means and counts of resamples of seeds (resamples, settings).

    A resample without any run of a setting has the mean of all its runs there, at next to no weight.
    """
    rows = np.random.default_rng(root).integers(len(table), size=(RESAMPLES, len(table)))
    times = np.stack([np.bincount(each, minlength=len(table)) for each in rows]).astype(np.float64)
    known = ~np.isnan(table)
    counts = times @ known
    means = times @ np.nan_to_num(table) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nanmean(table, axis=0)), np.maximum(counts, 1e-9)


def _monotone(table: F8, means: F8, weights: F8) -> float:
    """p-value of the outcome being one that rises only."""
    apart = float(_misfit(means, weights))
    if apart <= 1e-12 * float((weights * means**2).sum() + 1):
        return 1.0
    beyond = int((_misfit(*_drawn(table - means, 1)) >= apart).sum())
    return (1 + beyond) / (1 + RESAMPLES)
