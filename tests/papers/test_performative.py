"""The performative check: what margins do to the market that they are set for (sim/margin/README.md has four seeds)."""

import pytest
from papers.performative import ENGINES, compare


@pytest.mark.slow
def test_models_in_markets_that_they_move(capsys: pytest.CaptureFixture[str]) -> None:
    """One seed: who watches a market that closes people out is breached more often than on the untouched index."""
    rows = {row["engine"]: row for row in compare(1)}
    with capsys.disabled():
        for name, row in rows.items():
            print(f"\n{name}: { ({key: round(value, 4) for key, value in row.items() if key != 'engine'}) }", end="")
    assert set(rows) == {*ENGINES, "static"}
    for name in ("ewma", "fhs"):
        assert rows[name]["watches_breached"] > rows[name]["untouched_breached"]
    learned = rows["learned"]
    assert min(learned[f"{where}_breached"] for where in ("binds", "watches", "untouched")) > 0.015
    assert all(0.005 < row["mean"] < 0.02 and row["closed"] > 0.3 for row in rows.values())
