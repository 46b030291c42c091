"""A study whose module has only ``score``: default table, figure and report."""

import shlex
from pathlib import Path

import pandas as pd
import pytest

from experiments.paper.report_file import describe_command
from experiments.studies.shared.default_outputs import make_tables, split_columns
from experiments.sweep.config import list_study_names, load_study
from experiments.sweep.runner import SweepOptions, run_sweep
from experiments.sweep.study import load_study_module
from sim.errors import ConfigError

STUDY = """
name: lone
base: small_crash
overrides:
  duration: 300
  venues.0.engine.requirement.tiers: [{floor: 0, max_leverage: 40}]
  populations:
    - {kind: traders, count: 20, venue: exchange, leverage: 8, reference_leverage: 40,
       initial_entry_share: 1, warm_up: 60}
    - {kind: makers, count: 3, venue: exchange}
axes:
  - {name: cap, values: [2, 50], paths: {venues.0.engine.requirement.tiers.0.max_leverage: 1}}
seeds: 3
"""
SCORE = """
import pandas as pd

def score(config, frames, twin):
    steps = frames["steps"]
    moved = bool(steps["mark"].nunique() > 1)
    return pd.DataFrame({"low": [steps["mark"].min()], "moved": [moved]})
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "lone.yaml").write_text(STUDY)
    (tmp_path / "lone.py").write_text(SCORE)
    return tmp_path / "lone.yaml"


def test_a_study_with_a_score_has_all_outputs(study: Path, tmp_path: Path) -> None:
    outcome = run_sweep(load_study(study), out=tmp_path / "r", options=SweepOptions(jobs=1))
    scores = pd.read_parquet(tmp_path / "r" / "scores.parquet")
    table = pd.read_csv(tmp_path / "r" / "tables" / "estimates.csv")
    lows = table[table["measure"] == "low"].set_index("cap")["mean"]
    for cap, rows in scores.groupby("cap"):
        assert lows[cap] == pytest.approx(rows["low"].mean())
    assert set(table["measure"]) == {"low", "moved"}
    head = """# Lone

Command: `deleverage sweep lone.yaml --seeds 3`, with the settings in `study.resolved.yaml`, which \
include overrides.

Each table has the measures of the study at its settings. A measure is in the unit that its \
label or column name gives, or else as `score` returns it. A setting has up to 3 replications \
(seeds 1 to 3).

- `cap` sets `venues.0.engine.requirement.tiers.0.max_leverage`: highest leverage; its inverse is \
the initial rate (ratio)

`mean (95% interval)` is the mean over the replications of a setting, with its 95% confidence \
interval in parentheses.

"""
    assert (tmp_path / "r" / "report.md").read_text() == f"{head}{outcome.report}\n"
    assert outcome.report.startswith(
        "| cap | measure | mean (95% interval) |\n|---|---|---|\n| 2 | low | "
    )
    assert {path.name for path in (tmp_path / "r" / "figures").iterdir()} == {
        "estimates.csv",
        "estimates.pdf",
        "estimates.png",
    }


def test_rows_within_a_run_are_averaged_before_replications() -> None:
    """A measure with many rows a run counts each run once."""
    runs = pd.DataFrame(
        {"cap": 1.0, "seed": [1, 1, 1, 2], "day": "a", "loss": [0.0, 0.0, 3.0, 5.0]}
    )
    assert split_columns(runs) == (["cap", "day"], ["loss"])
    (row,) = make_tables(runs)["estimates"].itertuples()
    assert (row.n, row.mean) == (2, 3.0)


def test_own_functions_stay_and_misspelt_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SCORE + "def tables(runs): return {'mine': runs}\n")
    runs = pd.DataFrame({"cap": [1.0], "seed": [1], "low": [2.0]})
    module = load_study_module(str(path))
    assert list(module.tables(runs)) == ["mine"]
    assert module.report(runs).splitlines()[0] == "| cap | seed | low |"
    path.write_text(SCORE + "def tabels(runs): return {'mine': runs}\n")
    with pytest.raises(ConfigError, match="no function 'tables', but 'tabels': rename it"):
        load_study_module(str(path))
    path.write_text("def tables(runs): return {}\n")
    with pytest.raises(ConfigError, match="no function 'score', every study has one, write it"):
        load_study_module(str(path))


def test_the_command_in_a_report_makes_the_same_study() -> None:
    for name in list_study_names():
        for is_quick in (False, True):
            study = load_study(name, ["dt=30", "name=a b"], quick=is_quick)
            _, _, given, *words = shlex.split(describe_command(study, ["mine"]))
            assert words[:2] == ["dt=30", "name=a b"]
            assert words[-2:] == ["--plugin", "mine"]
            seeds = int(words[words.index("--seeds") + 1]) if "--seeds" in words else None
            made = load_study(given, words[:2], quick="--quick" in words, seeds=seeds)
            assert made.model_dump() == study.model_dump()
    study = load_study("leverage_cap", quick=True, seeds=9)
    assert describe_command(study) == "deleverage sweep leverage_cap --seeds 9"
