"""Basel traffic light: zones of the number of breaches."""

from typing import NamedTuple

from scipy.special import bdtr

GREEN, YELLOW, RED = "green", "yellow", "red"
YELLOW_FROM, RED_FROM = 0.95, 0.9999
"""Cumulative probabilities at which the zones begin.

Source: Basel Committee 1996, Supervisory framework, section III.
"""

TABLE_DAYS, TABLE_P = 250, 0.01
ADDITIONS_1996 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.65, 0.75, 0.85, 1.0)
MULTIPLIERS_FRTB = (1.5, 1.5, 1.5, 1.5, 1.5, 1.7, 1.76, 1.83, 1.88, 1.92, 2.0)
"""Tables by number of breaches in 250 days of a 99% measure; the last entry is for ten or more.

The first is the addition to 3 (1996), the second the multiplier (Basel framework MAR99, table 2).
"""


class TrafficLight(NamedTuple):
    """Zone and capital multipliers of a number of breaches."""

    cumulative: float  # probability of at most so many breaches if coverage is right
    zone: str
    multiplier_1996: float
    multiplier_frtb: float


def compute_breach_probability(days: int, breaches: int, p: float) -> float:
    """Return the probability of at most ``breaches`` in ``days`` independent days."""
    return float(bdtr(breaches, days, p))


def classify_breaches(days: int, breaches: int, p: float = TABLE_P) -> TrafficLight:
    """Return the zone and the capital multipliers of a number of breaches.

    The table is for 250 days and 99%. For other samples the result is the multiplier of the
    largest number of breaches in the table that is at least as likely to be reached. This is this
    project's extension, because Basel gives none; it keeps the probabilities of the steps.

    Args:
        days: T, at least 1.
        breaches: x, from zero to T.
        p: share of days that should be breaches.
    """
    if days < 1 or not 0 <= breaches <= days or not 0 < p < 1:
        rule = "there must be at least 1 day, 0 to that many breaches, and a p between 0 and 1"
        raise ValueError(
            f"{breaches} breaches of {days} days at p = {p}: no such sample, {rule}: correct them"
        )
    below = compute_breach_probability(days, breaches, p)
    zone = GREEN if below < YELLOW_FROM else YELLOW if below < RED_FROM else RED
    row = (
        min(breaches, 10) if (days, p) == (TABLE_DAYS, TABLE_P) else _find_matching_row(below, zone)
    )
    return TrafficLight(below, zone, 3 + ADDITIONS_1996[row], MULTIPLIERS_FRTB[row])


def _find_matching_row(below: float, zone: str) -> int:
    """Return the table's row in the same zone with the nearest lower cumulative probability."""
    rows = range(5) if zone == GREEN else range(5, 10) if zone == YELLOW else range(10, 11)
    fitting = [
        row for row in rows if compute_breach_probability(TABLE_DAYS, row, TABLE_P) <= below + 1e-12
    ]
    return max(fitting, default=rows[0])
