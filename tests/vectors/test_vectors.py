"""Worked numbers of venues and textbooks, one case each; ``DELEVERAGE_VECTORS`` names another folder of them.

An engine is a function of a case's inputs that returns every key the case expects. Text ``params:NAME`` anywhere in
the inputs stands for the inputs of the entry with that id, which is no case of its own.
"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.margin.tiered import Tier, Tiered, cumulative, tabulate

Case = dict[str, Any]


def tiered_brackets(inputs: Case) -> Case:
    """Maintenance rates and the amounts that make them continuous (margin.md §1, §2)."""
    if "tiers" in inputs:  # Hyperliquid: floors and highest leverages
        rule = Tiered(tiers=tuple(Tier(floor=floor, max_leverage=leverage) for floor, leverage in inputs["tiers"]))
        _, _, rate, amount = tabulate(rule.tiers, rule.maintenance_ratio, unit=1)
        return {"mm_rate": rate.tolist(), "deduction": amount.tolist()}
    floors = [0.0, *inputs["tier_cap"][:-1]]
    rates = [percent / 100 for percent in inputs["mm_rate_pct"]]
    return {"maintenance_amount": cumulative(floors, rates).tolist()}


ENGINES: dict[str, Callable[[Case], Case]] = {
    "tiered_brackets": tiered_brackets,
}

NOT_YET = {
    "adl_binance",
    "adl_bitmex",
    "almgren_chriss",
    "bankruptcy_price",
    "binance_cross_tiered",
    "binance_isolated_tiered",
    "black76",
    "black_scholes",
    "bybit_inverse_cross",
    "bybit_isolated",
    "christoffersen_cc",
    "christoffersen_cci",
    "collateral_haircut",
    "concentration_addon",
    "debtrank_linear",
    "deribit_pm",
    "derive_pmrm2",
    "drift_liquidation",
    "dydx_v4",
    "eisenberg_noe",
    "es_backtest_z2",
    "ewma",
    "funding_drift",
    "funding_dydx",
    "funding_hyperliquid",
    "funding_vega",
    "garch11",
    "gate_okx_isolated",
    "hyperliquid",
    "insurance_fund",
    "kupiec_pof",
    "kupiec_tuff",
    "loss_socialisation",
    "paradex_pm",
    "parametric_var",
    "phemex_isolated",
    "span16",
    "traffic_light",
    "var_es_closed_form",
    "vega_cross",
}
"""Engines of the shared collection that nothing here computes yet; any other unknown engine fails."""


def load(folder: Path) -> tuple[list[Case], dict[str, Any]]:
    """All cases of a folder's files, and the parameter blocks by id."""
    entries = [entry for file in sorted(folder.glob("*.json")) for entry in json.loads(file.read_text("utf-8"))]
    blocks = {entry["id"]: entry["inputs"] for entry in entries if entry["id"].startswith("params:")}
    return [entry for entry in entries if entry["id"] not in blocks], blocks


def resolve(value: Any, blocks: dict[str, Any]) -> Any:
    """Inputs with references to parameter blocks replaced by what they stand for."""
    if isinstance(value, dict):
        return {key: resolve(item, blocks) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, blocks) for item in value]
    if isinstance(value, str) and value.startswith("params:"):
        return resolve(blocks[value], blocks)
    return value


def differences(got: Any, expected: Any, tolerance: Case | None, where: str) -> list[str]:
    """What lies outside the tolerance, one line each; a relative one is absolute where nil is expected."""
    if isinstance(expected, dict):
        lacking = [f"{where}.{key}: not computed" for key in expected if key not in got]
        keys = [key for key in expected if key in got]
        return lacking + [
            line for key in keys for line in differences(got[key], expected[key], tolerance, f"{where}.{key}")
        ]
    if isinstance(expected, list):
        if len(got) != len(expected):
            return [f"{where}: {len(got)} entries, expected {len(expected)}"]
        pairs = enumerate(zip(got, expected, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, tolerance, f"{where}[{i}]")]
    return [] if agrees(got, expected, tolerance) else [f"{where}: {got!r}, expected {expected!r} within {tolerance}"]


def agrees(got: Any, expected: Any, tolerance: Case | None) -> bool:
    """Whether one value lies within tolerance; text, truth and cases without tolerance must be equal."""
    exact = tolerance is None or isinstance(expected, (str, bool)) or expected is None
    if exact:
        return bool(got == expected)
    assert tolerance is not None
    scale = (abs(expected) or 1.0) if tolerance["type"] == "rel" else 1.0
    return math.isfinite(got) and abs(got - expected) <= tolerance["value"] * scale


FOLDER = Path(os.environ.get("DELEVERAGE_VECTORS") or Path(__file__).parent)
CASES, BLOCKS = load(FOLDER)
NOT_SERVED = pytest.mark.xfail(raises=KeyError, strict=True, reason="listed in NOT_YET")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case['engine']}-{case['id']}", marks=[NOT_SERVED] if case["engine"] in NOT_YET else [])
        for case in CASES
    ],
)
def test_vector(case: Case) -> None:
    engine = ENGINES[case["engine"]]
    got = engine(resolve(case["inputs"], BLOCKS))
    assert not differences(got, case["expected"], case.get("tolerance"), case["id"])


def test_the_folder_holds_cases_with_unique_ids() -> None:
    assert CASES, f"no cases in {FOLDER}"
    names = [(case["engine"], case["id"]) for case in CASES]
    assert len(set(names)) == len(names)


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


def test_references_to_parameter_blocks_are_resolved() -> None:
    assert resolve({"p": "params:a", "q": [1, "params:a"]}, {"params:a": {"x": 1}}) == {
        "p": {"x": 1},
        "q": [1, {"x": 1}],
    }
