"""The study of contagion between coins: two short runs, and its tables on known scores."""

from pathlib import Path

import pandas as pd
import pytest
from twins import build

from experiments.config import RunConfig, load_run
from experiments.studies import cross_contagion as study


def run(*overrides: str) -> tuple[RunConfig, dict[str, pd.DataFrame]]:
    config = load_run("coin_crash", ["profile_every=0", *overrides])
    market = build(config, config.seed)
    market.advance(market.steps_planned)
    return config, market.recorder.frames()


def test_only_a_shared_account_passes_the_fall_on() -> None:
    """Ether is closed out under cross margin, and neither under isolated nor without the fall."""
    (shared,) = study.score(*run(), None).to_dict("records")
    assert 0.8 * shared["closed"] <= shared["from_btc"] <= shared["closed"] + 1e-9
    assert shared["closed"] > 1
    for cut in ("venues.0.engine.netting.kind=isolated", "stresses.0.size=0"):
        (found,) = study.score(*run(cut), None).to_dict("records")
        assert found["from_btc"] == 0
        assert found["closed"] < 0.1 * shared["closed"]


def test_effects_are_paired_by_seed(tmp_path: Path) -> None:
    rows = [
        {"engine": engine, "holdings": "both coins", "seed": seed, "role": role}
        | {"closed": closed, "from_btc": traced, "owners": 1.0, "closed_btc": 2.0}
        for engine, more in (("isolated", 0.0), ("cross", 4.0))
        for seed in range(4)
        for role, closed, traced in (
            ("base", seed + more, more),
            ("still", float(seed), 0.0),
            ("apart", seed + more / 2, 0.0),
        )
    ]
    runs = pd.DataFrame(rows)
    found = study.measure_effects(runs).set_index(["engine", "measure"])["mean"]
    assert found["cross"].to_dict() == pytest.approx(
        {"attributed": 4, "fall": 4, "link": 2, "gap": 0}
    )
    assert found["isolated"].abs().max() == 0
    assert "| cross | both coins | 5.5" in study.report(runs)
    study.figures(runs, tmp_path)
    assert (tmp_path / "cross_contagion.pdf").exists()
