"""Crossings of a level by an outcome along an axis: paired bootstrap and test of monotonicity."""

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
"""Significance level of the test of monotonicity."""


class Crossing(NamedTuple):
    """Crossing of a level by an outcome, or its absence.

    ``at`` is that of the isotonic fit, nan if the fit stays on one side. An end of the interval is
    infinite if the level lies beyond the range in more than 2.5% of resamples. Both ends are nan
    with one seed. The interval is never narrower than the settings on either side of the crossing,
    because nothing was run between them.
    """

    axis: str
    level: float
    at: float
    low: float
    high: float
    below: float  # settings next to the crossing; nan without one
    above: float
    first: float  # range of the settings
    last: float
    side: int  # side of the level on which all fitted values lie: 1 above, -1 below, 0 both
    rising: bool  # direction of the fit
    p_monotone: float  # p-value of monotonicity; small: not monotone
    crossings: tuple[float, ...]  # crossings of the means, joined by lines
    seeds: int

    @property
    def is_monotone(self) -> bool:
        """True unless the test rejects an outcome that only rises or only falls."""
        return not self.p_monotone < MONOTONE_ALPHA

    @property
    def verdict(self) -> str:
        """One of ``reached``, ``not reached`` and ``several`` (not monotone, several crossings)."""
        if not self.is_monotone and len(self.crossings) > 1:
            return "several"
        return "not reached" if math.isnan(self.at) else "reached"

    def format_cell(self, digits: int = 3) -> str:
        """Format a table's cell: ``1.52 (1.41 to 1.7)``, ``not reached in [1, 2]``, or all
        crossings.
        """
        if self.verdict == "several":
            crossings = ", ".join(_format_number(at, digits) for at in self.crossings)
            return f"not monotone (p = {self.p_monotone:.2g}): crosses at {crossings}"
        if self.verdict == "not reached":
            first, last = _format_number(self.first, digits), _format_number(self.last, digits)
            side = "above" if self.side > 0 else "below"
            text = f"not reached in [{first}, {last}]: {side} it throughout"
            has_interval = math.isfinite(self.low) or math.isfinite(self.high)
            return text + (self._format_interval(digits) if has_interval else "")
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
    """Find the crossing of a level by the mean of an outcome along an axis.

    The mean of truth values is a probability. The means are fitted by isotonic regression, weighted
    by counts (Barlow et al. 1972), rising or falling, whichever fits better. The crossing is
    interpolated linearly between settings. The interval is that of the percentile bootstrap over
    seeds, drawn jointly for all settings, because they share their draws (RNG-1). Monotonicity is
    tested by the weighted squares between means and fit, against resamples of the runs centred on a
    constant. A constant is the monotone curve that is hardest to separate from others (Robertson,
    Wright & Dykstra 1988, section 2.3).

    Args:
        runs: one row per value of ``axis`` and ``seed``; missing outcomes (nan) are left out.
        axis: column of numbers.
        outcome: column of numbers or truth values.
        level: level to cross.

    Raises:
        StatisticsError: fewer than two settings, or no outcome at one of them.
    """
    fit = fit_crossing(runs, axis, outcome, level)
    below, above = _neighbouring_settings(fit.settings, fit.crossing)
    low, high, p = math.nan, math.nan, math.nan
    if fit.resampled_crossings.size:
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(fit.resampled_crossings, [tail, 1 - tail], method="inverted_cdf")
        low, high = np.fmin(low, below), np.fmax(high, above)
        p = _monotonicity_p_value(fit)
    is_reached = math.isfinite(fit.crossing)
    one_side = -fit.direction if fit.crossing > 0 else fit.direction
    return Crossing(
        axis=axis,
        level=level,
        at=fit.crossing if is_reached else math.nan,
        low=float(low),
        high=float(high),
        below=below,
        above=above,
        first=float(fit.settings[0]),
        last=float(fit.settings[-1]),
        side=0 if is_reached else one_side,
        rising=fit.direction > 0,
        p_monotone=p,
        crossings=tuple(_line_crossings(fit.settings, fit.means, level)),
        seeds=len(fit.outcomes),
    )


def compare_crossings(
    runs: pd.DataFrame, reference: pd.DataFrame, axis: str, outcome: str, level: float
) -> Paired:
    """Compare the crossing of runs with that of a reference, on the same draws.

    Two crossings whose own intervals overlap may still differ, because shared draws move both
    alike. Both are read as in ``find_crossing`` in the same resamples of their common seeds, with a
    percentile interval. If one stays on one side of the level in a resample, the difference is as
    large as it can be; if both do, its sign is unknown. The p-value is twice the smaller share of
    resamples on either side of zero. It is at least the p-value of as many seeds that all have the
    same sign.

    Args:
        runs: runs of one setting, one row per value of ``axis`` and ``seed``.
        reference: runs of the other setting.
        axis: column of numbers.
        outcome: column of numbers or truth values.
        level: level to cross.

    Returns:
        Common seeds, difference, interval and p-value; all but the first are nan if one of them
        does not cross the level.

    Raises:
        StatisticsError: see ``find_crossing``.
    """
    both = set(runs["seed"]) & set(reference["seed"])
    one, other = (
        fit_crossing(frame[frame["seed"].isin(both)], axis, outcome, level)
        for frame in (runs, reference)
    )
    difference = one.crossing - other.crossing
    if not math.isfinite(difference) or not one.resampled_crossings.size:
        known = difference if math.isfinite(difference) else math.nan
        return Paired(len(both), known, math.nan, math.nan, math.nan)
    with np.errstate(invalid="ignore"):  # both beyond the range
        drawn = one.resampled_crossings - other.resampled_crossings
    low, high, p = _resampled_interval(drawn)
    return Paired(len(both), difference, low, high, max(p, 2.0 ** (1 - len(both))))


def _resampled_interval(drawn: F8) -> tuple[float, float, float]:
    """Return the percentile interval and p-value of differences; nan is of unknown sign."""
    least, most = (np.where(np.isnan(drawn), end, drawn) for end in (-math.inf, math.inf))
    tail = (1 - LEVEL) / 2
    low = float(np.quantile(least, tail, method="inverted_cdf"))
    high = float(np.quantile(most, 1 - tail, method="inverted_cdf"))
    beyond = min(int((least <= 0).sum()), int((most >= 0).sum()))
    return low, high, min(2 * (1 + beyond) / (1 + drawn.size), 1.0)


def tabulate_crossings(
    runs: pd.DataFrame, by: Sequence[str], axis: str, outcome: str, level: float
) -> pd.DataFrame:
    """Return ``find_crossing`` at every setting.

    Returns:
        Rows of ``by`` and the fields of ``Crossing``, with ``verdict`` and ``cell`` (its text).
    """
    rows = []
    for setting, group in group_by_setting(runs, by):
        crossing = find_crossing(group, axis, outcome, level)
        crossings = " ".join(f"{at:.6g}" for at in crossing.crossings)
        fields = crossing._asdict() | {"crossings": crossings}
        text = {"verdict": crossing.verdict, "cell": crossing.format_cell()}
        rows.append(dict(zip(by, setting, strict=True)) | fields | text)
    return pd.DataFrame(rows)


def choose_refinements(
    runs: pd.DataFrame, crossing: Crossing, width: float, most: int = 2
) -> tuple[float, ...]:
    """Return settings to run next: middles of the widest gaps that may hold the crossing.

    Args:
        runs: runs of the crossing.
        crossing: result of ``find_crossing``.
        width: gaps narrower than this are not refined.
        most: largest number of settings at a time.

    Returns:
        Settings; none if every gap near the crossing is narrow enough, or the level is not reached.
    """
    at = np.sort(runs[crossing.axis].unique().astype(np.float64))
    inside = np.array(
        [_is_near_crossing(crossing, low, high) for low, high in itertools.pairwise(at)], dtype=bool
    )
    gaps = np.where(inside & (np.diff(at) > width * (1 + 1e-9)), np.diff(at), 0.0)
    chosen = [k for k in np.argsort(-gaps, kind="stable")[:most] if gaps[k] > 0]
    return tuple(sorted(float((at[k] + at[k + 1]) / 2) for k in chosen))


def _is_near_crossing(crossing: Crossing, low: float, high: float) -> bool:
    """Return True if a gap holds the crossing, one of several, or part of the interval."""
    if any(low <= at <= high for at in crossing.crossings):
        return True
    return crossing.verdict == "reached" and low < crossing.high and high > crossing.low


def _neighbouring_settings(at: F8, crossed: float) -> tuple[float, float]:
    """Return the settings on either side of a crossing; the crossing itself if there is none."""
    if not math.isfinite(crossed):
        return math.nan, math.nan
    lower = max(at[at < crossed], default=crossed)
    upper = min(at[at > crossed], default=crossed)
    return float(lower), float(upper)


def _format_number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def _line_crossings(at: F8, means: F8, level: float) -> list[float]:
    """Return the points at which means joined by lines cross the level.

    A stretch on the level counts by its middle.
    """
    off = np.flatnonzero(means != level)
    crossings = []
    for left, right in itertools.pairwise(off):
        if (means[left] > level) == (means[right] > level):
            continue
        if right - left > 1:
            crossings.append(float((at[left + 1] + at[right - 1]) / 2))
        else:
            share = (level - means[left]) / (means[right] - means[left])
            crossings.append(float(at[left] + share * (at[right] - at[left])))
    return crossings


def _monotonicity_p_value(fit: CrossingFit) -> float:
    """Return the p-value of the hypothesis that the outcome only rises, or only falls."""
    means = fit.direction * fit.means
    misfit = float(compute_misfit(means, fit.weights))
    if misfit <= 1e-12 * float((fit.weights * means**2).sum() + 1):
        return 1.0
    resamples = resample_seeds(fit.direction * fit.outcomes - means, 1)
    beyond = int((compute_misfit(*resamples) >= misfit).sum())
    return (1 + beyond) / (1 + len(resamples[0]))
