"""The Basel traffic light: how many breaches a supervisor takes for bad luck."""

from typing import NamedTuple

from scipy.special import bdtr

GREEN, YELLOW, RED = "green", "yellow", "red"
YELLOW_FROM, RED_FROM = 0.95, 0.9999
"""Cumulative probabilities at which the zones begin (Basel Committee 1996, Supervisory framework, section III)."""

TABLE_DAYS, TABLE_P = 250, 0.01
PLUS_1996 = (0.0, 0.0, 0.0, 0.0, 0.0, 0.4, 0.5, 0.65, 0.75, 0.85, 1.0)
FRTB = (1.5, 1.5, 1.5, 1.5, 1.5, 1.7, 1.76, 1.83, 1.88, 1.92, 2.0)
"""By number of breaches in 250 days of a 99% measure, ten or more in the last: what is added to 3 (1996), and the
multiplier itself (Basel framework MAR99, table 2)."""


class Light(NamedTuple):
    """The verdict."""

    cumulative: float  # probability of so many breaches or fewer if coverage is right
    zone: str
    multiplier_1996: float
    multiplier_frtb: float


def at_most(days: int, breaches: int, p: float) -> float:
    """Probability of ``breaches`` or fewer in ``days`` independent days of probability p."""
    return float(bdtr(breaches, days, p))


def traffic_light(days: int, breaches: int, p: float = TABLE_P) -> Light:
    """Zone and capital multipliers.

    The table is for 250 days and 99%. For others we take the multiplier of its most breaches that are no less
    likely to be reached (our reading: Basel gives none), so that the steps keep their probabilities.

    Args:
        days: T, at least 1.
        breaches: x, from nil to T.
        p: share of days that should be breaches.
    """
    if days < 1 or not 0 <= breaches <= days or not 0 < p < 1:
        rule = "there must be at least 1 day, 0 to that many breaches, and a p between 0 and 1"
        raise ValueError(f"{breaches} breaches of {days} days at p = {p}: no such sample, {rule}: correct them")
    below = at_most(days, breaches, p)
    zone = GREEN if below < YELLOW_FROM else YELLOW if below < RED_FROM else RED
    row = min(breaches, 10) if (days, p) == (TABLE_DAYS, TABLE_P) else _alike(below, zone)
    return Light(below, zone, 3 + PLUS_1996[row], FRTB[row])


def _alike(below: float, zone: str) -> int:
    """The table's row of the same zone and the nearest cumulative probability from below."""
    rows = range(5) if zone == GREEN else range(5, 10) if zone == YELLOW else range(10, 11)
    fitting = [row for row in rows if at_most(TABLE_DAYS, row, TABLE_P) <= below + 1e-12]
    return max(fitting, default=rows[0])
