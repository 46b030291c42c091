"""Worked numbers of venues and textbooks; ``DELEVERAGE_VECTORS`` names another folder of them.

An engine is a function of a case's inputs that returns every key the case expects. Text
``params:NAME`` anywhere in the inputs stands for the inputs of the entry with that id, which is no
case of its own. Engines are in one module per family beside this one, each with its ``ENGINES``; a
new family is named in ``FAMILIES``.
"""

import math
import os
from pathlib import Path
from typing import Any

import pytest
from vectors import (
    brackets,
    collateral,
    decentralised,
    funding,
    isolated,
    options,
    queues,
    scans,
    tails,
)
from vectors.runner import Case, Engine, differences, load, resolve, without_dust, without_misprints

FAMILIES = (brackets, isolated, decentralised, options, scans, tails, funding, collateral, queues)
ENGINES: dict[str, Engine] = {
    name: engine for family in FAMILIES for name, engine in family.ENGINES.items()
}

NOT_YET = {
    "almgren_chriss",
    "debtrank_linear",
    "eisenberg_noe",
    "loss_socialisation",
}
"""Engines of the shared collection that nothing here computes yet; any other unknown engine fails.

Scheduling and networks have no code in the market. The one case of loss socialisation gives the
used share of a pool without the deposits that decide it.
"""


FOLDER = Path(os.environ.get("DELEVERAGE_VECTORS") or Path(__file__).parent)
CASES, BLOCKS = load(FOLDER)
NOT_SERVED = pytest.mark.xfail(raises=KeyError, strict=True, reason="listed in NOT_YET")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            id=f"{case['engine']}-{case['id']}",
            marks=[NOT_SERVED] if case["engine"] in NOT_YET else [],
        )
        for case in CASES
    ],
)
def test_vector(case: Case) -> None:
    engine = ENGINES[case["engine"]]
    got = engine(resolve(case["inputs"], BLOCKS))
    assert not differences(
        got, without_dust(without_misprints(case["expected"])), case.get("tolerance"), case["id"]
    )


def test_the_folder_holds_cases_with_unique_ids() -> None:
    assert CASES, f"no cases in {FOLDER}"
    names = [(case["engine"], case["id"]) for case in CASES]
    assert len(set(names)) == len(names)


def test_an_engine_belongs_to_one_family() -> None:
    assert sum(len(family.ENGINES) for family in FAMILIES) == len(ENGINES)


def test_engines_leave_the_waiting_list_when_they_arrive() -> None:
    assert not NOT_YET & ENGINES.keys()


def test_carried_files_hold_engines_that_are_served() -> None:
    carried, _ = load(Path(__file__).parent)
    assert {case["engine"] for case in carried} <= ENGINES.keys()


@pytest.mark.parametrize(
    ("got", "expected", "tolerance", "same"),
    [
        (1.0 + 1e-10, 1.0, {"type": "rel", "value": 1e-9}, True),
        (1.0 + 1e-8, 1.0, {"type": "rel", "value": 1e-9}, False),
        (1e-10, 0.0, {"type": "rel", "value": 1e-9}, True),
        ([1.0, 2.0], [1.0, 2.5], {"type": "abs", "value": 0.4}, False),
        ([1.0], [1.0, 2.0], {"type": "abs", "value": 9.0}, False),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}, {"type": "abs", "value": 9.0}, False),
        (["2", "5"], ["2", "5"], {"type": "abs", "value": 0}, True),
        (math.nan, 1.0, {"type": "rel", "value": 1.0}, False),
        (True, False, {"type": "abs", "value": 1}, False),
    ],
)
def test_the_comparison_can_fail(got: Any, expected: Any, tolerance: Case, same: bool) -> None:
    assert (not differences(got, expected, tolerance, "x")) == same


def test_rounding_is_nil_and_small_numbers_are_left() -> None:
    expected = {
        "pnl": [1e-13, -5.0, 3e-12],
        "tiny": 1e-13,
        "small": 2e-12,
        "mtm": 1000.0,
        "name": "x",
        "sure": True,
    }
    assert without_dust(expected) == expected | {"pnl": [0.0, -5.0, 3e-12], "tiny": 0.0}
    alone = {"rate": 1e-13, "rates": [1e-13, 2e-13]}
    assert without_dust(alone) == alone


def test_references_to_parameter_blocks_are_resolved() -> None:
    assert resolve({"p": "params:a", "q": [1, "params:a"]}, {"params:a": {"x": 1}}) == {
        "p": {"x": 1},
        "q": [1, {"x": 1}],
    }


def test_a_misprint_is_passed_over_only_beside_its_correction() -> None:
    """Vega's 0019-MCAL-211 prints 85,690 for 15,900 x 100 + 15,900 x 0.1."""
    assert pytest.approx(1_591_590) == 15_900 * 100 + 15_900 * 0.1
    assert without_misprints({"a_printed": 85_690, "a_correct": 1_591_590}) == {
        "a_correct": 1_591_590
    }
    assert without_misprints({"a_printed": 648, "b_correct": 1}) == {
        "a_printed": 648,
        "b_correct": 1,
    }
