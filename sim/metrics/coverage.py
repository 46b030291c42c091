"""Does a margin cover at its level? Likelihood-ratio tests of the days on which a loss exceeded it.

A breach is a day whose loss exceeds the margin that was set before it; p is the share of days it should happen on.
0 log 0 is nil throughout, so that no breach at all and nothing but breaches have a verdict too.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, xlog1py, xlogy

from sim.types import B1


class BacktestResult(NamedTuple):
    """One test's outcome."""

    statistic: float
    p_value: float  # probability of a statistic at least as far out if the margin is what it claims to be

    def is_rejected(self, confidence: float = 0.95) -> bool:
        """Whether the claim is rejected at this confidence."""
        return self.p_value < 1 - confidence


class BreachTransitions(NamedTuple):
    """Days counted by whether they and the day before were breaches."""

    calm: int  # neither
    ended: int  # the day before only
    began: int  # this day only
    stayed: int  # both


def count_transitions(breaches: B1) -> BreachTransitions:
    """Counts over neighbouring days of ``breaches`` (T,)."""
    before, now = breaches[:-1], breaches[1:]
    return BreachTransitions(
        *(int(pair.sum()) for pair in (~before & ~now, before & ~now, ~before & now, before & now))
    )


def run_proportion_test(days: int, breaches: int, p: float) -> BacktestResult:
    """Proportion of failures (Kupiec 1995, J. Derivatives 3(2)): as many breaches as there should be? chi2(1).

    Args:
        days: T, at least 1.
        breaches: x, from nil to T.
        p: share of days that should be breaches, in (0, 1).

    Raises:
        ValueError: an argument outside these bounds.
    """
    _check_counts(days, breaches, p)
    return _likelihood_ratio_result(
        _log_likelihood(days, breaches, breaches / days) - _log_likelihood(days, breaches, p), 1
    )


def find_accepted_range(days: int, p: float, confidence: float = 0.95) -> tuple[int, int]:
    """Numbers of breaches that ``proportion`` does not reject lie strictly between these two.

    The lower is -1 if no breach at all is still accepted, the upper T + 1 if nothing but breaches is.
    """
    kept = [
        x for x in range(days + 1) if not run_proportion_test(days, x, p).is_rejected(confidence)
    ]
    return kept[0] - 1, kept[-1] + 1


def run_first_failure_test(day: int | None, p: float, days: int = 0) -> BacktestResult:
    """Time until first failure (Kupiec 1995): did the first breach come too soon, or too late? chi2(1).

    Args:
        day: the first breach's, counted from 1; none = there was none.
        p: share of days that should be breaches.
        days: T, needed where there was none: the likelihood is then that of T quiet days.
    """
    waited, breaches = (days, 0) if day is None else (day, 1)
    return run_proportion_test(waited, breaches, p)


def run_independence_test(counts: BreachTransitions) -> BacktestResult:
    """Do breaches follow breaches? (Christoffersen 1998, Int. Economic Review 39(4)); chi2(1).

    First-order Markov chain against independence. Without breaches, or with nothing else, the chain has nothing to
    add: statistic nil.
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
    """Conditional coverage (Christoffersen 1998): as many as there should be, and independent; chi2(2)."""
    total = (
        run_proportion_test(days, breaches, p).statistic + run_independence_test(counts).statistic
    )
    return BacktestResult(total, float(chdtrc(2, total)))


def find_first_breach(breaches: B1) -> int | None:
    """The day of the first breach, counted from 1."""
    return int(np.argmax(breaches)) + 1 if breaches.any() else None


def _likelihood_ratio_result(gain: float, freedom: int) -> BacktestResult:
    statistic = max(2 * gain, 0.0)  # rounding may leave a hair below nil
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
