"""The performative check: effects of margins on their own market (seeds: sim/margin/README.md)."""

import numpy as np
import pytest
from papers.performative import ENGINES, LEVEL, WHERE, compare, differences, means


@pytest.mark.slow
def test_models_in_markets_that_they_move(capsys: pytest.CaptureFixture[str]) -> None:
    """One seed decides nothing about the difference; the model's shortfall shows in each."""
    rows = {row["engine"]: row for row in compare(1)}
    with capsys.disabled():
        for name, row in rows.items():
            rounded = {key: round(value, 4) for key, value in row.items() if key != "engine"}
            print(f"\n{name}: {rounded}", end="")
    assert set(rows) == {*ENGINES, "static"}
    for name in ENGINES:
        for where in WHERE:
            assert (rows[name][f"{where}_needed"] > 1) == (
                rows[name][f"{where}_breached"] > 1 - LEVEL
            )
    learned, filtered, static = (rows[name] for name in ("learned", "fhs", "static"))
    assert min(learned[f"{where}_breached"] for where in ("binds", "untouched")) > 0.015
    assert filtered["mean"] > static["mean"]
    assert filtered["binds_breached"] < static["binds_breached"]
    assert all(0.005 < row["mean"] < 0.02 and 0.05 < row["closed"] < 0.5 for row in rows.values())


def test_seeds_that_would_decide() -> None:
    """Differences of 1 with a deviation of 2 take some 30 pairs; equal ones give no number."""
    names = [*ENGINES, "static"]
    rows = [
        {
            "seed": seed,
            "engine": name,
            "mean": 0.01,
            "closed": float(name == "static"),
            "volatility": 1.0,
        }
        | {
            f"{where}_{key}": shift * (where == "binds")
            for where in WHERE
            for key in ("breached", "needed")
        }
        for seed, shift in enumerate([3.0, -1.0, 3.0, -1.0] * 5)
        for name in names
    ]
    told = differences(rows).set_index(["engine", "what"])
    found = told.loc["ewma", "breached: binds - untouched"]
    assert (found["n"], found["mean"]) == (20, 1.0)
    assert found["low"] < 1 < found["high"]
    assert found["seeds"] == pytest.approx(2.8**2 * 4 * 20 / 19)
    assert told.loc["fhs", "closed: less static"]["mean"] == -1
    assert np.isinf(told.loc["ewma", "breached: watches - untouched"]["seeds"])
    assert means(rows).loc["learned", "closed"] == 0
