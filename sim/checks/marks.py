"""Laws of mark prices (MARK-1)."""

from typing import Any

import numpy as np

from sim.checks.law import FLOAT, Law, Suite, require, require_array, require_equal, require_methods
from sim.exchange.mark import MarkInputs

STEP = 60.0
"""Seconds in a step."""


def make_quotes(seed: int) -> MarkInputs:
    """Return the quotes of some instruments, of which some lack a side or both."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    oracle = rng.uniform(10, 1e6, count)
    mid = oracle * rng.uniform(0.9, 1.1, count)
    is_missing = rng.random(count) < 0.4
    return MarkInputs(
        mid=np.where(is_missing, np.nan, np.rint(2 * mid) / 2),
        last=np.rint(oracle * rng.uniform(0.9, 1.1, count)),
        oracle=oracle,
        basis=rng.normal(0, 0.01, count),
        is_book_empty=is_missing & (rng.random(count) < 0.5),
    )


def _compute_basis(rule: Any, quotes: MarkInputs) -> Any:
    return rule.update_basis(quotes.basis, quotes.mid, quotes.oracle, STEP)


def _check_methods(rule: Any, quotes: MarkInputs) -> None:
    methods = {"compute_mark": "quotes", "update_basis": "basis, mid, oracle, dt"}
    require_methods(rule, methods, type(rule).__name__)


def _check_form(rule: Any, quotes: MarkInputs) -> None:
    shape = quotes.oracle.shape
    require_array(rule.compute_mark(quotes), "what compute_mark returns", shape, FLOAT)
    require_array(_compute_basis(rule, quotes), "what update_basis returns", shape, FLOAT)


def _check_ticks(rule: Any, quotes: MarkInputs) -> None:
    for mark in rule.compute_mark(quotes):
        require(mark >= 1 and mark == np.rint(mark), f"a mark is {mark:.10g} ticks")


def _check_purity(rule: Any, quotes: MarkInputs) -> None:
    kept = [column.copy() for column in quotes]
    first = rule.compute_mark(quotes).copy(), _compute_basis(rule, quotes).copy()
    again = rule.compute_mark(quotes), _compute_basis(rule, quotes)
    require_equal(first, again, "it returns other values at the second call")
    require_equal(quotes, kept, "it writes to the quotes it is given")


LAWS = (
    Law("methods", "MARK-1", "It has the methods of a mark price.", _check_methods),
    Law("form of marks", "MARK-1", "Marks are one finite float for each instrument.", _check_form),
    Law("whole ticks", "MARK-1", "A mark is a whole number of ticks, at least one.", _check_ticks),
    Law(
        "pure marks",
        "MARK-1",
        "The same call returns the same marks, and the quotes stay as they are.",
        _check_purity,
    ),
)

SUITE = Suite("mark", LAWS, make_quotes, lambda world: ())
