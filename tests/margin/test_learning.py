"""A run that ends before its margin engine has learnt is reported once, with a remedy (MAR-5)."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from agents import populate
from experiments.cli import app
from experiments.config import load_run
from experiments.generated.reference_books import ENGINES
from experiments.sweep.config import StudyConfig, load_study
from experiments.sweep.runner import SweepOptions, run_sweep
from sim.errors import LearningWarning, SettingWarning
from sim.margin.learning import describe_kinds, format_duration
from sim.market import Market

pytestmark = pytest.mark.usefixtures("without_figures")

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"
SLOW = {"kind": "tail", "every": 60, "model": {"kind": "covariance", "window": 600}}


def engine(preset: str) -> str:
    settings = OmegaConf.to_container(OmegaConf.load(ENGINES / f"{preset}.yaml"))
    return f"venues.0.engine={json.dumps(settings)}"


def lines(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app.app, list(arguments))
    assert done.exit_code == 0, done.output
    return [line for line in done.stderr.splitlines() if "of past" in line]


@pytest.mark.parametrize(
    ("preset", "needed"),
    [("fhs_es", "17 h"), ("fhs_var", "17 h"), ("learned", "2.208 days"), ("binance", "")],
)
def test_a_market_warns_of_what_it_is_too_short_for(preset: str, needed: str) -> None:
    config = load_run(
        "flash_crash", [engine(preset), "duration=600", "populations.0.count=10"], quick=True
    )
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        Market(config, populate(config.populations), seed=1)
    reported = [str(each.message) for each in met if each.category is LearningWarning]
    assert len(reported) == bool(needed)
    if reported:
        kinds = describe_kinds(config.venues[0].engine.requirement)
        assert reported[0].startswith(f"venues.0.engine: {kinds} needs {needed} of past")
        assert "the run lasts 10 min" in reported[0]


def test_a_run_says_so_in_one_line_and_the_remedies_work(tmp_path: Path) -> None:
    rule = f"venues.0.engine={json.dumps({'requirement': SLOW})}"
    common = ("run", "small_crash", rule, "populations.0.count=20", "--quiet", "--out")
    (reported,) = lines(*common, str(tmp_path / "short"), "duration=300")
    assert reported == (
        "venues.0.engine: tail(covariance) needs 10 min of past (10 steps) and the run lasts "
        "5 min, so that some or all of its margin stays at its opening value: run longer "
        "(duration=660), begin with more past (history={days: 1}), or shorten "
        "requirement.model.window"
    )
    assert lines(*common, str(tmp_path / "long"), "duration=660") == []
    assert lines(*common, str(tmp_path / "past"), "duration=300", "history={days: 1}") == []
    assert (
        lines(
            *common,
            str(tmp_path / "same"),
            "duration=300",
            "venues.0.engine.requirement.model.window=240",
        )
        == []
    )


def test_a_sweep_says_so_once(tmp_path: Path) -> None:
    """Not once a setting or a run, nor by its workers."""
    study = load_study(TINY)
    slow: dict[str, Any] = {
        "label": "slow",
        "set": {
            "venues.0.engine": {
                "requirement": {**SLOW, "model": {"kind": "covariance", "window": 86_400}}
            }
        },
    }
    quick = {"label": "quick", "set": {"venues.0.engine": {"requirement": {"kind": "tiered"}}}}
    plain = study.model_dump()
    overrides = {path: value for path, value in plain["overrides"].items() if "engine" not in path}
    cap = {"name": "cap", "values": [2, 8], "paths": {"populations.0.leverage": 1}}
    axes = [cap, plain["axes"][1], {"name": "engine", "values": [slow, quick]}]
    changed = plain | {"overrides": overrides, "axes": axes}
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        run_sweep(
            StudyConfig.model_validate(changed).with_module(study.module),
            out=tmp_path / "out",
            options=SweepOptions("serial"),
        )
    reported = [str(each.message) for each in met if each.category is LearningWarning]
    assert len(reported) == 1, reported
    assert reported[0].startswith(
        f"{study.name} at engine=slow: venues.0.engine: tail(covariance) needs 24 h of past"
    )


def test_a_sweep_says_once_which_setting_does_not_act(tmp_path: Path) -> None:
    """As `run` does, but once for all settings and replications."""
    study = load_study(TINY)
    idle = {"kind": "liquidators", "venue": "exchange", "count": 2, "wealth": 1000.0}
    overrides = {**study.overrides, "venues.0.liquidation": {"kind": "full"}, "populations": [idle]}
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        changed = StudyConfig.model_validate(study.model_dump() | {"overrides": overrides})
        run_sweep(
            changed.with_module(study.module), out=tmp_path / "out", options=SweepOptions("serial")
        )
    reported = [str(each.message) for each in met if issubclass(each.category, SettingWarning)]
    assert [line.split(" bid for")[0] for line in reported] == [
        f"{study.name}: populations.0: 'liquidators'"
    ], reported


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(30, "30 s"), (90, "1.5 min"), (3600, "1 h"), (86_400, "24 h"), (43_200_000, "500 days")],
)
def test_lengths_of_time_are_spelt(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
