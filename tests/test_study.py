"""Studies on markets small enough to be quick: the plan, processes, twins, folders, the command."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from crowd import TRADERS, TRADING
from typer.testing import CliRunner

from experiments import cli
from experiments.config import load_run
from experiments.studies import leverage_caps
from experiments.studies.shocks import perpetual, shocked
from experiments.study import (
    Axis,
    Outcome,
    StudyConfig,
    StudyError,
    Task,
    evaluate,
    execute,
    load_study,
    make,
    plan,
    simulate,
)
from sim.errors import ConfigError
from sim.loading import packaged

STUDIES = [name.removeprefix("studies/") for name in packaged() if name.startswith("studies/")]

SMALL: dict[str, Any] = {
    "duration": 7200,
    "profile_every": 0,
    "populations": TRADING,
    "stresses": [{"kind": "move", "at": 5400, "duration": 600, "size": -0.10}],
    "venues.0.engine.requirement.tiers": [{"floor": 0, "max_leverage": 40}],
}
TIER = "venues.0.engine.requirement.tiers.0.max_leverage"


def small(**changes: object) -> StudyConfig:
    """Leverage caps of 2 and 50, one elasticity, one seed."""
    axes = (
        Axis(name="elasticity", values=(1.0,), paths={"populations.0.elasticity": 1}),
        Axis(name="cap", values=(2.0, 50.0), paths={TIER: 1}),
    )
    told = {"name": "leverage_caps", "base": "flash_crash", "overrides": SMALL, "axes": axes, "seeds": 1, "twin": True}
    return StudyConfig(**(told | changes))


@pytest.fixture(scope="module")
def rows() -> list[pd.DataFrame]:
    return [evaluate(task) for task in plan(small())]


def test_the_plan_is_every_setting_and_seed() -> None:
    tasks = list(plan(small(seeds=2)))
    assert [task.setting for task in tasks] == [
        {"elasticity": 1.0, "cap": cap, "seed": seed} for seed in (1, 2) for cap in (2.0, 50.0)
    ]
    assert f"{TIER}=50.0" in tasks[1].overrides
    assert tasks[2].overrides[-1] == "seed=2"


def test_paths_get_multiples_of_the_value() -> None:
    axis = Axis(name="cap", values=(20.0,), paths={"a.b": 1, "a.c": 0.25})
    study = small(axes=(axis,), overrides={}, also=("a.d=x",))
    assert next(plan(study)).overrides == ("a.d=x", "a.b=20.0", "a.c=5.0", "seed=1")


def test_a_star_stands_for_all_who_have_the_key() -> None:
    people = [TRADERS | {"name": "a"}, TRADING[1], TRADERS | {"name": "b"}]
    axis = Axis(name="eager", values=(0.5,), paths={"populations.*.elasticity": 2})
    task = next(plan(small(axes=(axis,), overrides={"populations": people})))
    assert task.overrides[1:3] == ("populations.0.elasticity=1.0", "populations.2.elasticity=1.0")
    with pytest.raises(ConfigError, match=r"populations\.\*\.nothing: no item of 'populations' has 'nothing'"):
        list(plan(small(axes=(Axis(name="size", values=(1.0,), paths={"populations.*.nothing": 1}),))))


def test_a_row_says_what_the_shock_took(rows: list[pd.DataFrame]) -> None:
    calm, wild = (part.iloc[0] for part in rows)
    assert list(rows[0].columns[:3]) == ["elasticity", "cap", "seed"]
    assert (calm["closed_out"], calm["amplification"]) == (0, 1), "nobody was closed out: the run is its own twin"
    assert wild["closed_out"] > 0.05
    assert wild["amplification"] != 1
    assert wild["open_interest"] > 2 * calm["open_interest"]


def test_a_run_nobody_touched_is_its_twin_to_the_bit() -> None:
    task = next(plan(small()))
    run, twin = (simulate(load_run(task.base, (*task.overrides, f"suppress_closeouts={x}"))) for x in ("false", "true"))
    assert not len(run["closeouts"])
    assert all(run[name].equals(twin[name]) for name in run)


def test_processes_do_not_change_results(rows: list[pd.DataFrame]) -> None:
    apart = make(list(plan(small())), jobs=2)
    pd.testing.assert_frame_equal(apart, pd.concat(rows, ignore_index=True), check_exact=True)


def test_the_folder_holds_tables_figures_and_where_they_came_from(
    rows: list[pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.study.make", lambda tasks, jobs: pd.concat(rows, ignore_index=True))
    folder, report = execute(small(), jobs=1, out=tmp_path / "x")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    drawn = {f"figures/leverage_caps.{suffix}" for suffix in ("pdf", "png", "csv")}
    assert files == {
        *("runs.parquet", "estimates.csv", "differences.csv", "report.md", "study.resolved.yaml", "manifest.json"),
        *drawn,
    }
    assert (folder / "report.md").read_text(encoding="utf-8") == report + "\n"
    assert json.loads((folder / "manifest.json").read_text())["runs"] == 2
    assert pd.read_parquet(folder / "runs.parquet")["cap"].tolist() == [2, 50]


def test_a_run_that_fails_is_named_with_its_setting() -> None:
    task = Task("leverage_caps", "flash_crash", ("duration=120", "stresses=[]"), False, {"cap": 20.0, "seed": 1})
    with pytest.raises(StudyError, match=r"leverage_caps: cap 20, seed 1: ValueError: amplification needs a twin"):
        evaluate(task)


def test_the_shock_begins_with_the_first_move() -> None:
    config = load_run("flash_crash", ["dt=50"])
    assert shocked(config) == math.ceil(28_800 / 50)
    assert perpetual(config) == "BTC-PERP"
    with pytest.raises(ConfigError, match="no move among them"):
        shocked(load_run("baseline"))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", STUDIES)
def test_every_setting_of_a_packaged_study_is_valid(name: str, quick: bool) -> None:
    study = load_study(name, quick=quick)
    assert study.name == name
    assert study.description.endswith("?")
    for task in plan(study):
        if task.setting["seed"] == 1:
            load_run(task.base, task.overrides)


def test_what_is_no_study_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["study", "leverage_cap"])
    assert done.exit_code == cli.BAD_INPUT
    assert "studies/leverage_cap: no such file or packaged configuration" in done.stderr
    assert "did you mean 'studies/leverage_caps'?" in done.stderr


def test_the_command_prints_report_and_folder(rows: list[pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    table = leverage_caps.report(pd.concat(rows))
    monkeypatch.setattr("experiments.study.execute", lambda study, **options: Outcome(Path("results/x"), table))
    done = CliRunner().invoke(cli.app, ["study", "leverage_caps", "--quick"])
    assert (done.exit_code, done.stdout) == (0, f"{table}\n\nresults/x\n")
