"""Every engine preset runs: in a tiny market by default, in the calm and the crash when slow."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from agents import populate
from experiments.config import load_run
from experiments.generated import presets
from experiments.generated.presets import (
    BEGIN,
    CALM_RUN,
    CRASH_RUN,
    PAGE,
    PRESETS,
    TABLE_HEADER,
    build_row,
    read_rows,
    run_preset,
)
from experiments.generated.reference_books import ENGINES
from sim.margin.engine import EngineConfig
from sim.market import Market

every = pytest.mark.parametrize("name", PRESETS)

SCHEMA = "# yaml-language-server: $schema=../schema.json#/$defs/EngineConfig\n# "
TINY = ("duration=3600", "populations.0.count=100", "stresses.0.at=1200", "stresses.1.at=1200")


@every
def test_it_is_an_engine_that_says_where_it_comes_from(name: str) -> None:
    path = ENGINES / f"{name}.yaml"
    EngineConfig.model_validate(OmegaConf.to_container(OmegaConf.load(path)))
    assert path.read_text(encoding="utf-8").startswith(SCHEMA)


@every
def test_it_runs_in_a_small_crash(name: str) -> None:
    market = run_preset(CRASH_RUN, name, TINY, quick=True)
    assert market.recorder.summary()["trades"] > 0


BOOKISH = [
    {"kind": "liquidation_buffer", "inner": {"kind": "tiered"}},
    {
        "kind": "stressed",
        "every": 10,
        "inner": {"kind": "liquidation_buffer", "inner": {"kind": "tiered"}},
    },
    {
        "kind": "sum",
        "parts": [{"kind": "tiered"}, {"kind": "liquidity"}, {"kind": "concentration"}],
    },
]


@pytest.mark.parametrize(
    "engine", [*PRESETS, *BOOKISH], ids=lambda each: each if each in PRESETS else each["kind"]
)
def test_the_first_step_asks_what_the_next_ones_ask(engine: str | dict[str, Any]) -> None:
    """Empty quotes and positions before the first step neither raise nor lower the margin."""
    made = EngineConfig.model_validate(
        OmegaConf.to_container(OmegaConf.load(ENGINES / f"{engine}.yaml"))
        if isinstance(engine, str)
        else {"requirement": engine}
    )
    config = load_run(CALM_RUN, ["populations.0.count=50"])
    venues = config.venues[0].model_copy(update={"engine": made}), *config.venues[1:]
    config = config.model_copy(update={"venues": venues})
    market = Market(config, populate(config.populations), seed=config.seed)
    venue, asked = market.venues[0], []
    for _ in range(5):
        asked.append(1 / np.array([venue.max_leverage_long[0], venue.max_leverage_short[0]]))
        market.step()
    assert venue.view.depth[0] > 0
    np.testing.assert_allclose(asked, np.broadcast_to(asked[-1], (5, 2)), rtol=0.1)


@pytest.mark.slow
@every
@pytest.mark.parametrize("run", [CALM_RUN, CRASH_RUN])
def test_it_runs_to_the_end(run: str, name: str) -> None:
    market = run_preset(run, name, quick=True)
    assert market.recorder.summary()["trades"] > 100


def test_the_table_names_every_preset_and_no_other() -> None:
    """One row each, as many cells as the head has, initial no less than maintenance."""
    assert (
        list(read_rows())
        == list(PRESETS)
        == sorted(path.stem for path in Path(ENGINES).glob("*.yaml"))
    )
    assert f"{BEGIN}\n\n{TABLE_HEADER}\n" in PAGE.read_text(encoding="utf-8")
    for line in read_rows().values():
        assert line.count("|") == TABLE_HEADER.count("|")
        initial, maintenance = map(float, re.findall(r"([\d.]+)%", line))
        assert initial >= maintenance > 0


def test_writing_the_table_keeps_the_rest_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page has a second generated part, the parameters, with the same closing mark."""
    copy = tmp_path / "README.md"
    copy.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(presets, "PAGE", copy)
    rows = read_rows()
    presets.write_table(rows | {"span": "| `span` |"})
    assert copy.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8").replace(
        rows["span"], "| `span` |"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gate", "span"])
def test_rows_of_the_table_come_out_again(name: str) -> None:
    """If not: ``python -m experiments.generated.presets``."""
    assert build_row(name) == read_rows()[name]
