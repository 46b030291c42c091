"""Causes of a cascade must be connected to it: each of three mechanisms, if off, changes a crash.

Reassessment within a step (``max_rounds: 1`` has none), arbitrageurs that move spot
(``depth: null``), and makers whose quotes follow their capital (``is_capital_limited: false``).
Twenty seeds, paired by seed; intervals are t-intervals of the differences at 95% for all measures
of a mechanism together (Bonferroni). The table is printed: ``pytest -m slow -rP``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from papers import crash
from scipy import stats

SEEDS = range(20)
MECHANISMS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "none": ({}, {}),
    "reassessment": ({"max_rounds": 1}, {}),
    "spot impact": ({"depth": None}, {}),
    "withdrawal of makers": ({}, {"is_capital_limited": False}),
}
"""What is switched off: changes of the market and of its makers."""

MEASURES = ["amplification", "lowest mark", "worst basis", "closed out", "deleveraged", "shortfall"]


def cascade(seed: int, rules: Mapping[str, Any], makers: Mapping[str, Any]) -> dict[str, float]:
    """Measure one run; its amplification is relative to a run without close-outs (model.md)."""
    measured = crash.measures(crash.run(crash.market(seed, crash.config(**rules), makers)))
    calm = crash.config(**{**rules, "suppress_closeouts": True})
    twin = crash.measures(crash.run(crash.market(seed, calm, makers)))
    return measured | {"amplification": measured["fell"] / twin["fell"]}


@pytest.fixture(scope="module")
def cascades() -> pd.DataFrame:
    """Measures by mechanism that is switched off and seed."""
    rows = {
        (name, seed): cascade(seed, rules, makers)
        for name, (rules, makers) in MECHANISMS.items()
        for seed in SEEDS
    }
    return pd.DataFrame(rows).T


@pytest.mark.slow
def test_there_is_a_cascade_to_change(cascades: pd.DataFrame) -> None:
    base = cascades.loc["none"]
    assert (base["rounds"] > 20).all()
    assert base["amplification"].mean() > 1.1
    assert base["deleveraged"].mean() > 0
    assert base["shortfall"].mean() > 0


@pytest.mark.slow
def test_every_mechanism_is_connected(cascades: pd.DataFrame) -> None:
    base, undecided = cascades.loc["none"], []
    print(
        f"{len(SEEDS)} seeds; mark and basis in %, notional and money in millions; "
        "* = interval without 0"
    )
    print(
        f"{'switched off':22}{'measure':15}{'with it':>9}{'without':>9}"
        f"{'difference, 95% of all together':>35}"
    )
    for name in list(MECHANISMS)[1:]:
        without, connected = cascades.loc[name], False
        for measure in MEASURES:
            paired = stats.ttest_rel(without[measure], base[measure])
            low, high = paired.confidence_interval(1 - 0.05 / len(MEASURES))
            clear = bool(low > 0 or high < 0)
            connected |= clear
            means = f"{base[measure].mean():9.3f}{without[measure].mean():9.3f}"
            print(
                f"{name:22}{measure:15}{means}"
                f"{f'{low:+.3f} to {high:+.3f}':>33}{'*' if clear else ' ':>2}"
            )
        undecided += [] if connected else [name]
    assert not undecided


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MECHANISMS)[1:])
def test_every_mechanism_amplifies(cascades: pd.DataFrame, name: str) -> None:
    """None of the three is imposed to make a crash worse, but each does."""
    assert np.mean(cascades.loc[name]["amplification"] - cascades.loc["none"]["amplification"]) < 0
