"""Likelihood-ratio tests of margin coverage.

A breach is a day with a loss above the margin set before it; p is the required share of such days.
0 log 0 is zero throughout, so that samples without breaches, and of breaches only, have a result.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, xlog1py, xlogy

from sim.types import B1


class BacktestResult(NamedTuple):
    """Statistic and p-value of one test."""

    statistic: float
    p_value: float  # probability of a statistic at least as extreme if the margin's claim is true

    def is_rejected(self, confidence: float = 0.95) -> bool:
        """Return True if the claim is rejected at this confidence."""
        return self.p_value < 1 - confidence


class BreachTransitions(NamedTuple):
    """Counts of pairs of neighbouring days, by breaches on the first and on the second day."""

    calm: int  # no breach on either day
    ended: int  # breach on the first day only
    began: int  # breach on the second day only
    stayed: int  # breaches on both days


def count_transitions(breaches: B1) -> BreachTransitions:
    """Count the pairs of neighbouring days of ``breaches`` (T,)."""
    before, now = breaches[:-1], breaches[1:]
    return BreachTransitions(
        calm=int((~before & ~now).sum()),
        ended=int((before & ~now).sum()),
        began=int((~before & now).sum()),
        stayed=int((before & now).sum()),
    )


def run_proportion_test(days: int, breaches: int, p: float) -> BacktestResult:
    """Test the proportion of breaches (Kupiec 1995, J. Derivatives 3(2)); chi2(1).

    Args:
        days: T, at least 1.
        breaches: x, from zero to T.
        p: share of days that should be breaches, in (0, 1).

    Raises:
        ValueError: an argument outside these bounds.
    """
    _check_counts(days, breaches, p)
    return _likelihood_ratio_result(
        _log_likelihood(days, breaches, breaches / days) - _log_likelihood(days, breaches, p), 1
    )


def find_accepted_range(days: int, p: float, confidence: float = 0.95) -> tuple[int, int]:
    """Return bounds of the numbers of breaches that the proportion test does not reject.

    Accepted numbers lie strictly between the bounds. The lower bound is -1 if no breach at all is
    accepted, the upper T + 1 if T breaches are.
    """
    kept = [
        x for x in range(days + 1) if not run_proportion_test(days, x, p).is_rejected(confidence)
    ]
    return kept[0] - 1, kept[-1] + 1


def run_first_failure_test(day: int | None, p: float, days: int = 0) -> BacktestResult:
    """Test whether the first breach is too early or too late (Kupiec 1995); chi2(1).

    Args:
        day: day of the first breach, counted from 1; None = no breach.
        p: share of days that should be breaches.
        days: T, needed without a breach: the likelihood is then that of T quiet days.
    """
    waited, breaches = (days, 0) if day is None else (day, 1)
    return run_proportion_test(waited, breaches, p)


def run_independence_test(counts: BreachTransitions) -> BacktestResult:
    """Test independence of breaches (Christoffersen 1998, Int. Economic Review 39(4)); chi2(1).

    The alternative is a first-order Markov chain. If there are no breaches, or only breaches, the
    statistic is zero.
    """
    quiet, hit = counts.calm + counts.began, counts.ended + counts.stayed
    breaches = counts.began + counts.stayed
    together = _log_likelihood(quiet + hit, breaches, _share(breaches, quiet + hit))
    after_quiet = _log_likelihood(quiet, counts.began, _share(counts.began, quiet))
    after_hit = _log_likelihood(hit, counts.stayed, _share(counts.stayed, hit))
    return _likelihood_ratio_result(after_quiet + after_hit - together, 1)


def run_conditional_test(
    days: int, breaches: int, p: float, counts: BreachTransitions
) -> BacktestResult:
    """Test conditional coverage: proportion and independence (Christoffersen 1998); chi2(2)."""
    total = (
        run_proportion_test(days, breaches, p).statistic + run_independence_test(counts).statistic
    )
    return BacktestResult(total, float(chdtrc(2, total)))


def find_first_breach(breaches: B1) -> int | None:
    """Return the day of the first breach, counted from 1."""
    return int(np.argmax(breaches)) + 1 if breaches.any() else None


def _likelihood_ratio_result(gain: float, freedom: int) -> BacktestResult:
    statistic = max(2 * gain, 0.0)  # rounding may leave a slightly negative value

    return BacktestResult(statistic, float(chdtrc(freedom, statistic)))


def _log_likelihood(days: int, breaches: int, p: float) -> float:
    return float(xlogy(breaches, p) + xlog1py(days - breaches, -p))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _check_counts(days: int, breaches: int, p: float) -> None:
    if days < 1:
        raise ValueError(f"days: {days}, must be at least 1, give more")
    if not 0 <= breaches <= days:
        raise ValueError(
            f"breaches: {breaches}, must lie between 0 and the {days} days, count them again"
        )
    if not (0 < p < 1 and math.isfinite(p)):
        raise ValueError(f"p: {p}, must lie strictly between 0 and 1, give a share of days")
