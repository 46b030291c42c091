"""Where along an axis an outcome crosses a level, and how far from another: paired bootstrap, test of monotonicity."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics.fits import CrossingFit, compute_misfit, fit_crossing, resample_seeds
from experiments.statistics.intervals import LEVEL
from experiments.statistics.paired import Paired, group_by_setting
from sim.types import F8

MONOTONE_ALPHA = 0.05
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
    def is_monotone(self) -> bool:
        """Whether the runs leave room for an outcome that only rises or only falls."""
        return not self.p_monotone < MONOTONE_ALPHA

    @property
    def verdict(self) -> str:
        """``reached``, ``not reached``, or ``several`` where the outcome is not monotone and crosses more than once."""
        if not self.is_monotone and len(self.crossings) > 1:
            return "several"
        return "not reached" if math.isnan(self.at) else "reached"

    def format_cell(self, digits: int = 3) -> str:
        """For a table's cell: ``1.52 (1.41 to 1.7)``, ``not reached in [1, 2]``, or every crossing."""
        if self.verdict == "several":
            every = ", ".join(_format_number(at, digits) for at in self.crossings)
            return f"not monotone (p = {self.p_monotone:.2g}): crosses at {every}"
        if self.verdict == "not reached":
            where = "above" if self.side > 0 else "below"
            within = f"not reached in [{_format_number(self.first, digits)}, {_format_number(self.last, digits)}]: {where} it throughout"
            return within + (
                self._format_interval(digits)
                if math.isfinite(self.low) or math.isfinite(self.high)
                else ""
            )
        return f"{_format_number(self.at, digits)}{self._format_interval(digits)}"

    def _format_interval(self, digits: int) -> str:
        ends = (self._format_end(self.low, digits), self._format_end(self.high, digits))
        return "" if math.isnan(self.low) else f" ({ends[0]} to {ends[1]})"

    def _format_end(self, value: float, digits: int) -> str:
        if math.isinf(value):
            return (
                f"below {_format_number(self.first, digits)}"
                if value < 0
                else f"above {_format_number(self.last, digits)}"
            )
        return _format_number(value, digits)


def find_crossing(runs: pd.DataFrame, axis: str, outcome: str, level: float) -> Crossing:
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
    read = fit_crossing(runs, axis, outcome, level)
    below, above = _neighbouring_settings(read.settings, read.crossing)
    low, high, p = math.nan, math.nan, math.nan
    if read.resampled_crossings.size:
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(read.resampled_crossings, [tail, 1 - tail], method="inverted_cdf")
        low, high = np.fmin(low, below), np.fmax(high, above)
        p = _monotonicity_p_value(read)
    side = (
        0
        if math.isfinite(read.crossing)
        else -read.direction
        if read.crossing > 0
        else read.direction
    )
    reached = read.crossing if side == 0 else math.nan
    every = tuple(_line_crossings(read.settings, read.means, level))
    ends = (float(read.settings[0]), float(read.settings[-1]))
    found = (reached, float(low), float(high), below, above, *ends)
    return Crossing(axis, level, *found, side, read.direction > 0, p, every, len(read.outcomes))


def compare_crossings(
    runs: pd.DataFrame, reference: pd.DataFrame, axis: str, outcome: str, level: float
) -> Paired:
    """How much further along an axis runs cross a level than the reference does, on the same draws.

    Two crossings whose own intervals overlap may well lie apart: what settings share moves both alike. Both are read
    off as in ``threshold`` in the same resamples of the seeds that they have in common; percentile interval. Where one
    stays on one side of the level in a resample, the difference is as large as it can be, and of unknown sign where
    both do. p: twice the smaller share of resamples that lie on either side of nil, and no less than so many seeds that
    all point one way would show by their signs.

    Args:
        runs: of one setting, one row per value of ``axis`` and ``seed``.
        reference: of the other.
        axis: column of numbers.
        outcome: column of numbers or truth values.
        level: to be crossed.

    Returns:
        Seeds in common, difference, interval, p; all but the first are nan where one of them does not cross the level.

    Raises:
        StatisticsError: see ``threshold``.
    """
    both = set(runs["seed"]) & set(reference["seed"])
    one, other = (
        fit_crossing(each[each["seed"].isin(both)], axis, outcome, level)
        for each in (runs, reference)
    )
    apart = one.crossing - other.crossing
    if not math.isfinite(apart) or not one.resampled_crossings.size:
        return Paired(
            len(both), apart if math.isfinite(apart) else math.nan, math.nan, math.nan, math.nan
        )
    with np.errstate(invalid="ignore"):  # both beyond the range
        drawn = one.resampled_crossings - other.resampled_crossings
    least, most = (np.where(np.isnan(drawn), end, drawn) for end in (-math.inf, math.inf))
    tail = (1 - LEVEL) / 2
    low = float(np.quantile(least, tail, method="inverted_cdf"))
    high = float(np.quantile(most, 1 - tail, method="inverted_cdf"))
    beyond = min(int((least <= 0).sum()), int((most >= 0).sum()))
    p = min(2 * (1 + beyond) / (1 + drawn.size), 1.0)
    return Paired(len(both), apart, low, high, max(p, 2.0 ** (1 - len(both))))


def tabulate_crossings(
    runs: pd.DataFrame, by: Sequence[str], axis: str, outcome: str, level: float
) -> pd.DataFrame:
    """``threshold`` at every setting: rows of ``by`` and the fields of ``Crossing``, with verdict and ``told``."""
    rows = []
    for setting, group in group_by_setting(runs, by):
        found = find_crossing(group, axis, outcome, level)
        told = {"verdict": found.verdict, "told": found.format_cell()}
        named = found._asdict() | {"crossings": " ".join(f"{at:.6g}" for at in found.crossings)}
        rows.append(dict(zip(by, setting, strict=True)) | named | told)
    return pd.DataFrame(rows)


def choose_refinements(
    runs: pd.DataFrame, found: Crossing, width: float, most: int = 2
) -> tuple[float, ...]:
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
    inside = np.array(
        [_is_near_crossing(found, low, high) for low, high in itertools.pairwise(at)], dtype=bool
    )
    gaps = np.where(inside & (np.diff(at) > width * (1 + 1e-9)), np.diff(at), 0.0)
    chosen = [k for k in np.argsort(-gaps, kind="stable")[:most] if gaps[k] > 0]
    return tuple(sorted(float((at[k] + at[k + 1]) / 2) for k in chosen))


def _is_near_crossing(found: Crossing, low: float, high: float) -> bool:
    """Whether a gap holds the crossing, one of several, or part of the interval."""
    if any(low <= at <= high for at in found.crossings):
        return True
    return found.verdict == "reached" and low < found.high and high > found.low


def _neighbouring_settings(at: F8, crossed: float) -> tuple[float, float]:
    """The settings on either side of a crossing, itself where there is none."""
    if not math.isfinite(crossed):
        return math.nan, math.nan
    return float(max(at[at < crossed], default=crossed)), float(
        min(at[at > crossed], default=crossed)
    )


def _format_number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def _line_crossings(at: F8, means: F8, level: float) -> list[float]:
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


def _monotonicity_p_value(read: CrossingFit) -> float:
    """p-value of the outcome being one that only rises, or only falls."""
    means = read.direction * read.means
    apart = float(compute_misfit(means, read.weights))
    if apart <= 1e-12 * float((read.weights * means**2).sum() + 1):
        return 1.0
    resamples = resample_seeds(read.direction * read.outcomes - means, 1)
    beyond = int((compute_misfit(*resamples) >= apart).sum())
    return (1 + beyond) / (1 + len(resamples[0]))
