"""The worked example of sim/margin/README.md: one file, one line, one YAML, and it is an engine."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from contracts import test_margin_contract as contract

from agents import populate
from experiments.config import load_run
from experiments.generated.presets import PRESETS
from sim import margin
from sim.checks.law import run_suite
from sim.checks.requirements import SUITE
from sim.margin.engine import EngineConfig
from sim.market import Market

PAGE = (Path(__file__).parents[2] / "sim" / "margin" / "README.md").read_text(encoding="utf-8")
ADDED = PAGE.split("## Adding an engine")[1].split("\n## ")[0]
(CODE,), (CONFIG,) = (
    re.findall(rf"```{name}\n(.*?)```", ADDED, flags=re.DOTALL) for name in ("python", "yaml")
)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file is there, the line is written, the YAML is read."""
    module = types.ModuleType("sim.margin.root")
    monkeypatch.setitem(sys.modules, "sim.margin.root", module)
    exec(CODE, module.__dict__)
    monkeypatch.setitem(margin.REQUIREMENTS, "root", module.__dict__["Root"])
    return EngineConfig.model_validate(yaml.safe_load(CONFIG))


def test_it_keeps_the_promises(engine: Any) -> None:
    findings = run_suite(SUITE, engine.requirement, worlds=50)
    assert [(each.law.name, each.fault) for each in findings if each.fault] == []
    contract.test_compression_scales_exactly(engine.requirement)


def test_it_runs_in_a_market(engine: Any) -> None:
    config = load_run("flash_crash", ("duration=1800", "populations.0.count=50"), quick=True)
    venue = config.venues[0].model_copy(update={"engine": engine})
    config = config.model_copy(update={"venues": (venue, *config.venues[1:])})
    market = Market(config, populate(config.populations), seed=1)
    while market.tick < market.steps_planned:
        market.step()
    market.ledger.check_conservation()
    assert market.recorder.summary()["trades"] > 0


def test_the_sum_in_the_text_is_an_engine() -> None:
    (text,) = re.findall(r"```yaml\n(requirement:\n  kind: sum.*?)```", PAGE, flags=re.DOTALL)
    EngineConfig.model_validate(yaml.safe_load(text))


def test_every_preset_and_every_kind_is_described() -> None:
    table = PAGE.split("## Engines")[1].split("## Rules")[0]
    assert [name for name in PRESETS if f"`{name}`" not in table] == ["cross", "isolated"]
    for registry in (margin.NETTINGS, margin.VALUATIONS, margin.REQUIREMENTS):
        assert [kind for kind in registry if f"`{kind}`" not in PAGE] == []
