"""Messages of wrong margin engines: each is raised, and the remedy that it names is tried."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.calculator.calculator import load_engine, margin_portfolio
from experiments.calculator.portfolio import PortfolioConfig
from experiments.file_kinds import load_kind
from sim.errors import ConfigError

Change = dict[str, Any]

P = {"name": "P", "underlying": "B", "tick": 1, "lot": 0.01, "max_price": 1_000_000}
MARKET: Change = {
    "assets": [{"name": "USD"}, {"name": "E", "decimals": 8, "price": 3_000}],
    "cash": 1_000_000,
    "collateral": {"E": 1},
    "underlyings": [{"name": "B", "price": 60_000}, {"name": "E", "price": 3_000}],
    "instruments": [P, P | {"name": "S", "kind": "spot"}, P | {"name": "X", "underlying": "E"}],
    "positions": [{"instrument": "P", "quantity": -1}, {"instrument": "S", "quantity": 1}],
    "engines": ["mine"],
}
BUILT = "--engines mine: "
"""Beginning of a line about names of a market, which an engine's file alone does not have."""


def judged(folder: Path, engine: Change) -> str:
    """Return the message of ``margin`` about an engine of a portfolio, empty if accepted."""
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(MARKET | {"own": {"mine": engine}}, sort_keys=False))
    try:
        account = load_kind("portfolio", file, (), PortfolioConfig)
        margin_portfolio(account, "mine", load_engine("mine", account))
    except ConfigError as error:
        return str(error)
    return ""


def tier(floor: float, leverage: float, **more: float) -> Change:
    return {"floor": floor, "max_leverage": leverage, **more}


TIERED: list[tuple[Change, str, Change]] = [
    (
        {"tiers": [tier(5, 10)]},
        "own.mine.requirement.tiers: the first tier starts at 5, not at 0: give one with floor 0",
        {"tiers": [tier(0, 10), tier(5, 10)]},
    ),
    (
        {"instruments": {"P": []}},
        "own.mine.requirement.instruments.P: has no tier: give one with floor 0",
        {"instruments": {"P": [tier(0, 10)]}},
    ),
    (
        {"tiers": [tier(0, 0.5)]},
        "own.mine.requirement.tiers: max_leverage 0.5 at floor 0 requires more than the position "
        "is worth: raise it to "
        "1 or more",
        {"tiers": [tier(0, 1)]},
    ),
    (
        {"tiers": [tier(0, 10, maintenance=0.2)]},
        "own.mine.requirement.tiers: maintenance 0.2 exceeds the initial rate 0.1 at floor 0, "
        "lower it",
        {"tiers": [tier(0, 10, maintenance=0.1)]},
    ),
    (
        {"tiers": [tier(0, 10), tier(9, 8), tier(5, 6)]},
        "own.mine.requirement.tiers: floor 5 does not exceed the one before, sort the tiers by "
        "floor",
        {"tiers": [tier(0, 10), tier(5, 6), tier(9, 6)]},
    ),
    (
        {"tiers": [tier(0, 10), tier(5, 20)]},
        "own.mine.requirement.tiers: max_leverage 20 at floor 5 is more than the 10 before it: "
        "lower it",
        {"tiers": [tier(0, 10), tier(5, 10)]},
    ),
    (
        {"tiers": [tier(0, 10, maintenance=0.1), tier(5, 10, maintenance=0.05)]},
        "own.mine.requirement.tiers: maintenance 0.05 at floor 5 is less than the 0.1 before it: "
        "raise it",
        {"tiers": [tier(0, 10, maintenance=0.1), tier(5, 10, maintenance=0.1)]},
    ),
    (
        {"instruments": {"PP": [tier(0, 10)]}},
        BUILT + "requirement: 'PP' is not an instrument of this venue, use one of P, S, X",
        {"instruments": {"P": [tier(0, 10)]}},
    ),
]

REQUIREMENTS: list[tuple[Change, str, Change]] = [
    *(
        ({"kind": "tiered"} | wrong, expected, {"kind": "tiered"} | mended)
        for wrong, expected, mended in TIERED
    ),
    (
        {"kind": "scaled", "inner": {"kind": "tiered"}, "low": 3, "high": 2},
        "own.mine.requirement.low: 3 exceeds high 2, swap them",
        {"kind": "scaled", "inner": {"kind": "tiered"}, "low": 2, "high": 3},
    ),
    (
        {"kind": "scaled", "inner": {"kind": "tiered"}, "index": "VIX"},
        BUILT + "requirement.index: 'VIX' is not an underlying of this market, use one of B, E",
        {"kind": "scaled", "inner": {"kind": "tiered"}, "index": "B"},
    ),
    (
        {"kind": "learned", "index": "VIX"},
        BUILT + "requirement.index: 'VIX' is not an underlying of this market, use one of B, E",
        {"kind": "learned", "index": "E"},
    ),
    (
        {"kind": "span", "arrays": {"P": [1, 2]}},
        "own.mine.requirement.arrays.P: 2 numbers, must be 16, one per scenario: add some",
        {"kind": "span", "arrays": {"P": [1.0] * 16}},
    ),
    (
        {"kind": "span", "arrays": {"Q": [1.0] * 16}},
        BUILT + "requirement: 'Q' is not an instrument of this venue, use one of P, S, X",
        {"kind": "span", "arrays": {"X": [1.0] * 16}},
    ),
    (
        {"kind": "span", "commodities": {"A": {}}},
        BUILT + "requirement.commodities: 'A' is not an underlying of this market, use one of B, E",
        {"kind": "span", "commodities": {"B": {}}},
    ),
    (
        {"kind": "span", "credits": [{"underlyings": ["B", "A"], "rate": 0.5}]},
        BUILT
        + (
            "requirement.credits.underlyings: 'A' is not an underlying of this market, use one "
            "of B, E"
        ),
        {"kind": "span", "credits": [{"underlyings": ["B", "E"], "rate": 0.5}]},
    ),
    (
        {"kind": "span", "credits": [{"underlyings": ["B", "B"], "rate": 0.5}]},
        BUILT
        + (
            "requirement.credits.underlyings: 'B' twice, a spread needs two underlyings, name "
            "another"
        ),
        {"kind": "span", "credits": [{"underlyings": ["E", "B"], "rate": 0.5}]},
    ),
    (
        {"kind": "span", "credits": [{"underlyings": ["B"], "rate": 0.5}]},
        "own.mine.requirement.credits.0.underlyings.1: missing, must be given, add it",
        {"kind": "span", "credits": [{"underlyings": ["B", "E"], "rate": 0.5}]},
    ),
    (
        {"kind": "per_contract", "initial": 5, "maintenance": 9},
        "own.mine.requirement.maintenance: 9, may not exceed initial, 5: lower it",
        {"kind": "per_contract", "initial": 5, "maintenance": 5},
    ),
    (
        {
            "kind": "per_contract",
            "initial": 9,
            "maintenance": 5,
            "instruments": {"P": {"initial": 5, "maintenance": 9}},
        },
        "own.mine.requirement.instruments.P.maintenance: 9, may not exceed initial, 5: lower it",
        {
            "kind": "per_contract",
            "initial": 9,
            "maintenance": 5,
            "instruments": {"P": {"initial": 5, "maintenance": 5}},
        },
    ),
    (
        {"kind": "size_weighted", "initial": 0.1, "maintenance": 0.2},
        "own.mine.requirement.maintenance: 0.2, may not exceed initial, 0.1: lower it",
        {"kind": "size_weighted", "initial": 0.1, "maintenance": 0.1},
    ),
    (
        {"kind": "grid", "initial": 0.5, "maintenance": 0.8},
        "own.mine.requirement.maintenance: 0.8, may not exceed initial, 0.5: lower it",
        {"kind": "grid", "initial": 0.5, "maintenance": 0.5},
    ),
    (
        {"kind": "derive_pmrm2", "initial": 0.5, "maintenance": 0.8},
        "own.mine.requirement.maintenance: 0.8, may not exceed initial, 0.5: lower it",
        {"kind": "derive_pmrm2", "initial": 0.5, "maintenance": 0.5},
    ),
    (
        {"kind": "derive_pmrm2", "scenarios": [{"move": 0.1, "vol": "linear"}]},
        "own.mine.requirement.scenarios.0.move: 0.1, a tilt of the smile has none: make it 0",
        {"kind": "derive_pmrm2", "scenarios": [{"move": 0, "vol": "linear"}]},
    ),
    (
        {"kind": "derive_pmrm2", "collateral": {"A": "E"}},
        BUILT + "requirement.collateral: 'A' is not an asset beside the numeraire, use one of E",
        {"kind": "derive_pmrm2", "collateral": {"E": "E"}},
    ),
    (
        {"kind": "derive_pmrm2", "collateral": {"E": "A"}},
        BUILT
        + "requirement.collateral.E: 'A' is not an underlying of this market, use one of B, E",
        {"kind": "derive_pmrm2", "collateral": {"E": "B"}},
    ),
    (
        {"kind": "open_interest", "lower": 5e6, "upper": 1e6},
        "own.mine.requirement.lower: 5e+06 is above upper 1e+06, lower it or set upper to 0",
        {"kind": "open_interest", "lower": 1e6, "upper": 1e6},
    ),
    (
        {"kind": "open_interest", "lower": 5e6, "upper": 1e6},
        "own.mine.requirement.lower: 5e+06 is above upper 1e+06, lower it or set upper to 0",
        {"kind": "open_interest", "lower": 5e6, "upper": 0},
    ),
    (
        {"kind": "lognormal", "search": 1.6},
        "own.mine.requirement.initial: 1.5 is not between search 1.6 and release 1.7, sort the "
        "three levels",
        {"kind": "lognormal", "search": 1.5, "initial": 1.6},
    ),
    (
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 0.5]]}},
        "own.mine.requirement.model.correlation: rows of [2] numbers, must be 1 rows of 1",
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 0.5], [0.5, 1]]}},
    ),
    (
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 0.5], [0.4, 1]]}},
        "own.mine.requirement.model.correlation.0.1: 0.5 is not 0.4, the entry at 1.0, but the "
        "matrix must "
        "be symmetric: correct one",
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 0.4], [0.4, 1]]}},
    ),
    (
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[2, 0.5], [0.5, 1]]}},
        "own.mine.requirement.model.correlation.0.0: 2, must be 1, everything moves with itself: "
        "correct it",
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 0.5], [0.5, 1]]}},
    ),
    (
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 2], [2, 1]]}},
        "own.mine.requirement.model.correlation: not positive semi-definite (smallest eigenvalue "
        "-1)",
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 1], [1, 1]]}},
    ),
    (
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1]]}},
        BUILT
        + "requirement.model.correlation: 1 rows, the pool has 2 underlyings, give one row each",
        {"kind": "tail", "model": {"kind": "covariance", "correlation": [[1, 0], [0, 1]]}},
    ),
    (
        {"kind": "tieredd"},
        "own.mine.requirement.kind: 'tieredd' is not one of ",
        {"kind": "tiered"},
    ),
    ({"tiers": []}, "own.mine.requirement.kind: missing, must be one of ", {"kind": "tiered"}),
    (
        {"kind": "sum", "parts": []},
        "own.mine.requirement.parts: a list of 0",
        {"kind": "sum", "parts": [{"kind": "tiered"}]},
    ),
]

VALUATIONS: list[tuple[Change, str, Change]] = [
    (
        {"kind": "haircut", "maintenance": {"E": 5}},
        "own.mine.valuation.maintenance.E: 5 is not between 0 and 1, give a share",
        {"kind": "haircut", "maintenance": {"E": 0.05}},
    ),
    (
        {"kind": "haircut", "initial": {"E": -1}},
        "own.mine.valuation.initial.E: -1 is not between 0 and 1, give a share",
        {"kind": "haircut", "initial": {"E": 1}},
    ),
    (
        {"kind": "haircut", "maintenance": {"E": 0.2}, "initial": {"E": 0.1}},
        "own.mine.valuation.initial.E: 0.1 is below the 0.2 of maintenance, raise it",
        {"kind": "haircut", "maintenance": {"E": 0.2}, "initial": {"E": 0.2}},
    ),
    (
        {"kind": "haircut", "initial": {"E": 0.1}},
        "own.mine.valuation.initial.E: 0.1 is below the 1 of other, which is its share to keep: "
        "add maintenance.E",
        {"kind": "haircut", "initial": {"E": 0.1}, "maintenance": {"E": 0.05}},
    ),
    (
        {"kind": "haircut", "maintenance": {"A": 0.2}},
        BUILT
        + (
            "valuation: 'A' is neither an asset nor an instrument of this venue, use one of E, "
            "P, S, X"
        ),
        {"kind": "haircut", "maintenance": {"S": 0.2}},
    ),
    (
        {"kind": "weighted", "tokens": {"E": {"initial": 0.95}}},
        "own.mine.valuation.tokens.E.initial: 0.95 counts more than maintenance 0.9, lower it",
        {"kind": "weighted", "tokens": {"E": {"initial": 0.9}}},
    ),
    (
        {"kind": "weighted", "tokens": {"E": {"owed_initial": 1.05}}},
        "own.mine.valuation.tokens.E.owed_initial: 1.05 is below owed_maintenance 1.1, raise it",
        {"kind": "weighted", "tokens": {"E": {"owed_initial": 1.1}}},
    ),
    (
        {
            "kind": "brackets",
            "brackets": {"E": [{"cap": 9, "counted_share": 0.9}, {"cap": 5, "counted_share": 0.8}]},
        },
        "own.mine.valuation.brackets.E.1.cap: 5 does not exceed the one before, 9, sort by cap",
        {
            "kind": "brackets",
            "brackets": {"E": [{"cap": 5, "counted_share": 0.8}, {"cap": 9, "counted_share": 0.8}]},
        },
    ),
    (
        {
            "kind": "brackets",
            "brackets": {"E": [{"cap": 5, "counted_share": 0.8}, {"cap": 9, "counted_share": 0.9}]},
        },
        "own.mine.valuation.brackets.E.1.counted_share: 0.9 is more than the 0.8 of the bracket "
        "before: lower it",
        {
            "kind": "brackets",
            "brackets": {"E": [{"cap": 5, "counted_share": 0.8}, {"cap": 9, "counted_share": 0.8}]},
        },
    ),
    (
        {"kind": "dynamic", "price_instruments": {"E": "E"}},
        "own.mine.valuation.price_instruments.E: an asset cannot stand for itself, name an "
        "instrument",
        {"kind": "dynamic", "price_instruments": {"E": "X"}},
    ),
    (
        {"kind": "delta_adjusted", "other": 0.01},
        "own.mine.valuation.other: 0.01 is not between hedged, 0.02, and 1, change either",
        {"kind": "delta_adjusted", "other": 0.01, "hedged": 0.01},
    ),
    (
        {"kind": "delta_adjusted", "unhedged": {"S": 2}},
        "own.mine.valuation.unhedged.S: 2 is not between hedged, 0.02, and 1, change either",
        {"kind": "delta_adjusted", "unhedged": {"S": 1}},
    ),
    (
        {"kind": "delta_adjusted", "unhedged": {"Q": 0.5}},
        BUILT
        + (
            "valuation: 'Q' is neither an asset nor an instrument of this venue, use one of E, "
            "P, S, X"
        ),
        {"kind": "delta_adjusted", "unhedged": {"S": 0.5}},
    ),
]

OTHERS: list[tuple[Change, str, Change]] = [
    (
        {"netting": {"kind": "groups", "groups": [["P", "S", "X", "Q"]]}},
        BUILT
        + "netting.groups: 'Q' is not an instrument of this venue, remove it or use one of P, S, X",
        {"netting": {"kind": "groups", "groups": [["P", "S", "X"]]}},
    ),
    (
        {"netting": {"kind": "groups", "groups": [["P", "S"], ["X", "P"]]}},
        BUILT + "netting.groups: 'P' stands in 2 groups, list it in exactly one",
        {"netting": {"kind": "groups", "groups": [["P", "S"], ["X"]]}},
    ),
    (
        {"netting": {"kind": "groups", "groups": [["P", "S"]]}},
        BUILT + "netting.groups: 'X' stands in 0 groups, list it in exactly one",
        {"netting": {"kind": "groups", "groups": [["P", "S"], ["X"]]}},
    ),
    (
        {"compression": 1},
        "own.mine.compression: 1, must be less than 1 (share",
        {"compression": 0.99},
    ),
    (
        {"margin_multiplier": 0},
        "own.mine.margin_multiplier: 0, must be greater than 0 (multiplier",
        {"margin_multiplier": 1},
    ),
    (
        {"options": {"kind": "per_contract", "initial": 1, "maintenance": 2}},
        "own.mine.options.maintenance: 2, may not exceed initial, 1: lower it",
        {"options": {"kind": "per_contract", "initial": 1, "maintenance": 1}},
    ),
]

ALL = [
    *(
        ({"requirement": wrong}, expected, {"requirement": mended})
        for wrong, expected, mended in REQUIREMENTS
    ),
    *(
        ({"valuation": wrong}, expected, {"valuation": mended})
        for wrong, expected, mended in VALUATIONS
    ),
    *OTHERS,
]


@pytest.mark.parametrize(("wrong", "expected", "mended"), ALL)
def test_the_remedy_of_a_wrong_engine_works(
    tmp_path: Path, wrong: Change, expected: str, mended: Change
) -> None:
    found = judged(tmp_path, wrong)
    assert found.startswith(expected), found
    assert not judged(tmp_path, mended)
