"""Every engine that ships runs: in a tiny market by default, in the calm and the crash to their ends when slow."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import configs
from agents import populate
from experiments.config import load_run
from sim.margin.engine import EngineConfig
from sim.market import Market

FOLDER = Path(configs.__file__).parent / "engines"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
every = pytest.mark.parametrize("name", PRESETS)

SCHEMA = "# yaml-language-server: $schema=../schema.json#/$defs/EngineConfig\n# "
TINY = ("duration=3600", "populations.0.count=100", "stresses.0.at=1200", "stresses.1.at=1200")


def ran(run_name: str, preset: str, *overrides: str) -> Market:
    """A packaged run whose exchange has this engine, hurried, at its end."""
    engine = json.dumps(OmegaConf.to_container(OmegaConf.load(FOLDER / f"{preset}.yaml")))
    config = load_run(run_name, (f"venues.0.engine={engine}", *overrides), quick=True)
    market = Market(config, populate(config.populations), seed=config.seed)
    while market.tick < market.steps_planned:
        market.step()
    market.ledger.check()
    return market


@every
def test_it_is_an_engine_that_says_where_it_comes_from(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    EngineConfig.model_validate(OmegaConf.to_container(OmegaConf.load(path)))
    assert path.read_text(encoding="utf-8").startswith(SCHEMA)


@every
def test_it_runs_in_a_small_crash(name: str) -> None:
    market = ran("flash_crash", name, *TINY)
    assert market.recorder.summary()["trades"] > 0


@pytest.mark.slow
@every
@pytest.mark.parametrize("run_name", ["baseline", "flash_crash"])
def test_it_runs_to_the_end(run_name: str, name: str) -> None:
    market = ran(run_name, name)
    assert market.recorder.summary()["trades"] > 100
