"""MARK-1 by hand: which prices make the mark, and how it is rounded and clamped."""

import numpy as np
import pytest

from sim.exchange.mark import BookMark, MarkInputs, MedianMark

NAN = np.nan


def mark(
    rule: MedianMark | BookMark, *, mid: float, last: float, oracle: float, basis: float = 0.0
) -> float:
    bare = np.array([np.isnan(mid) and last < 0])
    return float(
        rule.compute_mark(
            MarkInputs(*(np.array([v]) for v in (mid, abs(last), oracle, basis)), bare)
        )[0]
    )


@pytest.mark.parametrize(
    ("mid", "last", "oracle", "basis", "expected"),
    [
        (1010, 990, 1000, 0.0, 1000),  # the middle one
        (1010, 1020, 1000, 0.0, 1010),
        (1010, 1020, 1000, 0.015, 1015),  # the average basis moves the third price
        (NAN, 1020, 1000, 0.0, 1010),  # a missing side takes mid out: the mean of the other two
        (
            NAN,
            -1020,
            1000,
            0.01,
            1010,
        ),  # no quotes at all: oracle x (1 + basis), whatever traded last
        (1200, 1190, 1000, 0.0, 1050),  # clamped around the oracle
        (800, 810, 1000, 0.0, 950),
        (1000.5, 1000, 1001, 0.0, 1000),  # half to even
        (1001.5, 1001, 1002, 0.0, 1002),
    ],
)
def test_median_mark(mid: float, last: float, oracle: float, basis: float, expected: float) -> None:
    assert mark(MedianMark(clamp=0.05), mid=mid, last=last, oracle=oracle, basis=basis) == expected


def test_book_mark_is_mid_or_last_trade() -> None:
    assert mark(BookMark(), mid=800, last=700, oracle=1000) == 800
    assert mark(BookMark(), mid=NAN, last=700, oracle=1000) == 700


def test_the_average_basis_halves_its_distance_in_a_half_life_and_rests_without_a_mid() -> None:
    rule, oracle = MedianMark(half_life=60.0), np.array([1000.0, 1000.0])
    blended = rule.update_basis(np.array([0.0, 0.004]), np.array([1010.0, NAN]), oracle, 60.0)
    np.testing.assert_allclose(blended, [0.005, 0.004])
