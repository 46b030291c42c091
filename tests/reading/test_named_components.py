"""A name alone where a component is expected, in files as in overrides."""

from pathlib import Path

import pytest

from experiments.config import RunConfig, load_run
from sim.errors import ConfigError

TOP = """
include: [small_crash]
venues:
  - name: exchange
    instruments: [{name: BTC-PERP, underlying: btc, tick: 1, lot: 0.01, max_price: 500_000}]
    engine: %(engine)s
    funding: %(funding)s
    liquidation: %(liquidation)s
    waterfall: %(waterfall)s
  - name: outside
    instruments:
      - {name: BTC-SPOT, underlying: btc, kind: spot, tick: 1, lot: 0.01, max_price: 500_000}
    engine: {netting: %(netting)s}
"""

NAMED = {
    "engine": "span",
    "funding": "spread",
    "liquidation": "hyperliquid",
    "waterfall": "bitmex",
    "netting": "isolated",
}
WRITTEN = {
    "engine": "{include: engines/span.yaml}",
    "funding": "{kind: spread}",
    "liquidation": "{include: liquidations/hyperliquid.yaml}",
    "waterfall": "[{kind: fund}, {kind: adl_queue, score: bitmex}]",
    "netting": "{kind: isolated}",
}


def load(folder: Path, text: str, *overrides: str) -> RunConfig:
    folder.mkdir(exist_ok=True)
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_run(path, overrides)


def test_names_in_a_file_are_those_of_packaged_files_and_kinds(tmp_path: Path) -> None:
    named = load(tmp_path, TOP % NAMED)
    assert named == load(tmp_path, TOP % WRITTEN)
    given = [f"venues.0.{key}={NAMED[key]}" for key in NAMED if key != "netting"]
    given += ["venues.1.engine={netting: isolated}"]
    plain = TOP % (WRITTEN | {"engine": "{}", "funding": "null", "waterfall": "[]"})
    assert named == load(tmp_path, plain, *given), "an override reads names inside a component too"


def test_a_file_beside_the_file_comes_first_and_may_use_names_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the command is run."""
    folder, elsewhere = tmp_path / "mine", tmp_path / "elsewhere"
    for place, multiplier in ((folder, 1.5), (elsewhere, 2.5)):
        place.mkdir()
        text = f"{{requirement: span, netting: cross, margin_multiplier: {multiplier}}}"
        (place / "own.yaml").write_text(text)
    monkeypatch.chdir(elsewhere)
    engine = load(folder, TOP % (NAMED | {"engine": "own.yaml"})).venues[0].engine
    assert (engine.margin_multiplier, engine.requirement.kind) == (1.5, "span")
    engine = load(folder, TOP % NAMED, "venues.0.engine=own.yaml").venues[0].engine
    assert engine.margin_multiplier == 2.5


def test_keys_on_top_of_a_name_change_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("engine: span")
    own = "include: base.yaml\n    engine: {margin_multiplier: 2}\n    funding:"
    text = TOP.replace("    engine: %(engine)s\n", "").replace("funding:", own)
    engine = load(tmp_path, text % NAMED).venues[0].engine
    assert (engine.margin_multiplier, engine.requirement.kind) == (2, "span")


def test_unknown_names_are_reported_by_file_and_place(tmp_path: Path) -> None:
    wrong = NAMED | {"engine": "spam", "funding": "spred", "netting": "crossed"}
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, TOP % wrong)
    path = tmp_path / "mine.yaml"
    engine, funding, netting = caught.value.problems
    assert engine.startswith(f"{path}: venues.0.engine: 'spam'")
    assert "did you mean 'span'?" in engine
    assert funding.startswith(f"{path}: venues.0.funding: 'spred'")
    assert "spread" in funding
    assert netting.startswith(f"{path}: venues.1.engine.netting: 'crossed'")
    assert "cross" in netting
