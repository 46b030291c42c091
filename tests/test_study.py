"""Studies on markets small enough to be quick: settings, plan, twins, the packaged ones, the commands."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from crowd import TRADERS, TRADING
from typer.testing import CliRunner

from experiments import cli
from experiments.config import RunConfig, load_run
from experiments.simulation import simulate
from experiments.studies.shocks import perpetual, shocked
from experiments.sweep.axes import settings
from experiments.sweep.config import StudyConfig, load_study, names
from experiments.sweep.cost import size
from experiments.sweep.plan import Planner, Task, Unit, plan
from experiments.sweep.plan import unpacked as read
from experiments.sweep.runner import Options, sweep
from experiments.sweep.study import module_of
from sim.errors import ConfigError

SMALL: dict[str, Any] = {
    "duration": 7200,
    "profile_every": 0,
    "populations": TRADING,
    "stresses": [{"kind": "move", "at": 5400, "duration": 600, "size": -0.10}],
    "venues.0.engine.requirement.tiers": [{"floor": 0, "max_leverage": 40}],
}
TIER = "venues.0.engine.requirement.tiers.0.max_leverage"
CAP = {"name": "cap", "values": [2, 50], "paths": {TIER: 1}}


def small(**changes: object) -> StudyConfig:
    """Leverage caps of 2 and 50, one elasticity, one seed."""
    axes = [{"name": "elasticity", "values": [1], "paths": {"populations.0.elasticity": 1}}, CAP]
    told = {"name": "leverage_caps", "base": "flash_crash", "overrides": SMALL, "axes": axes, "seeds": 1}
    told |= {"roles": {"twin": {"suppress_closeouts": True}}}
    return StudyConfig.model_validate(told | changes)


def config(unit: Unit, role: str = "base") -> RunConfig:
    return read(unit.job().runs[role].config)


def test_the_plan_is_every_setting_and_seed() -> None:
    units = plan(small(seeds=2))
    assert [unit.setting for unit in units] == [
        {"elasticity": 1.0, "cap": cap, "seed": seed} for seed in (1, 2) for cap in (2.0, 50.0)
    ]
    assert [config(unit).seed for unit in units] == [1, 1, 2, 2]
    assert config(units[1]).venues[0].engine.requirement.tiers[0].max_leverage == 50
    assert config(units[1], "twin") == config(units[1]).model_copy(update={"suppress_closeouts": True})
    assert len({name for unit in units for name in unit.hashes.values()}) == 8


def test_paths_get_multiples_of_the_value_over_what_all_runs_change() -> None:
    axis = {"name": "cap", "values": [20], "paths": {TIER: 0.5, "dt": 1}}
    (unit,) = plan(small(axes=[axis], also=("venues.0.band=0.07",)))
    found = config(unit)
    assert (found.dt, found.venues[0].engine.requirement.tiers[0].max_leverage, found.venues[0].band) == (20, 10, 0.07)


def test_a_star_stands_for_all_who_have_the_key() -> None:
    people = [TRADERS | {"name": "a"}, TRADING[1], TRADERS | {"name": "b"}]
    axis = {"name": "eager", "values": [0.5], "paths": {"populations.*.elasticity": 2}}
    (unit,) = plan(small(axes=[axis], overrides=SMALL | {"populations": people}))
    assert [getattr(each, "elasticity", None) for each in config(unit).populations] == [1, None, 1]
    wrong = {"name": "size", "values": [1], "paths": {"populations.*.nothing": 1}}
    with pytest.raises(ConfigError, match=r"leverage_caps at size=1\.0: populations\.\*\.nothing: no item there has"):
        plan(small(axes=[wrong]))


def test_words_and_labels_vary_too() -> None:
    engine = {"label": "tight", "set": {"venues.0.engine.netting.kind": "isolated", TIER: 5}}
    axes = [
        {"name": "rule", "values": [engine, "cross"], "paths": {"venues.0.engine.netting.kind": 1}},
        {"name": "dt", "values": [60, 30], "paths": {"dt": 1}},
    ]
    units = plan(small(axes=axes))
    assert [unit.setting["rule"] for unit in units] == ["tight", "tight", "cross", "cross"]
    engines = [config(unit).venues[0].engine for unit in units]
    assert [each.netting.kind for each in engines] == ["isolated", "isolated", "cross", "cross"]
    assert [each.requirement.tiers[0].max_leverage for each in engines] == [5, 5, 40, 40]


def test_a_list_goes_through_axes_together() -> None:
    axes = [CAP, {"name": "dt", "values": [60, 30], "paths": {"dt": 1}}]
    assert list(settings(small(axes=axes, design={"kind": "list"}))) == [{"cap": 2, "dt": 60}, {"cap": 50, "dt": 30}]


def test_a_label_may_ask_for_fewer_replications() -> None:
    few = {"label": "few", "seeds": 2, "set": {"dt": 30}}
    study = small(axes=[{"name": "step", "values": [{"label": "all", "set": {"dt": 60}}, few]}], seeds=3, roles={})
    assert [(unit.setting["step"], unit.seed) for unit in plan(study)] == [
        *(("all", 1), ("few", 1), ("all", 2), ("few", 2), ("all", 3))
    ]
    assert size(study) == (5, 5)


@pytest.mark.parametrize("kind", ["latin_hypercube", "sobol"])
def test_points_of_a_span_are_even_on_its_scale(kind: str) -> None:
    spans: list[dict[str, Any]] = [
        {"name": "cap", "span": {"low": 1, "high": 100, "scale": "log"}, "paths": {TIER: 1}},
        {"name": "count", "span": {"low": 10, "high": 50, "whole": True}, "paths": {"populations.0.count": 1}},
    ]
    axes = [*spans, {"name": "dt", "values": [60, 30], "paths": {"dt": 1}}]
    found = list(settings(small(axes=axes, design={"kind": kind, "points": 16})))
    assert found == list(settings(small(axes=axes, design={"kind": kind, "points": 16}))), "drawn from a seed"
    assert [each["dt"] for each in found] == [60, 30] * 16
    caps = sorted(float(each["cap"]) for each in found[::2])
    assert [math.floor(8 * math.log10(cap)) for cap in caps] == list(range(16)), "one point in each slice"
    assert all(float(each["count"]).is_integer() and 10 <= float(each["count"]) <= 50 for each in found)


def test_further_settings_join_once() -> None:
    planner = Planner(small(seeds=2))
    assert [unit.number for unit in planner.first()] == [0, 1, 2, 3]
    more = planner.more([Task({"cap": 7.5, "elasticity": 1.0}, (2, 9)), Task({"elasticity": 1.0, "cap": 50.0})])
    assert [(unit.number, unit.setting) for unit in more] == [
        (4, {"elasticity": 1.0, "cap": 7.5, "seed": 2}),
        (5, {"elasticity": 1.0, "cap": 7.5, "seed": 9}),
    ]
    with pytest.raises(ConfigError, match="no value for 'elasticity'"):
        planner.more([Task({"cap": 7.5})])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"axes": []}, r"axes"),
        ({"axes": [{"name": "cap", "values": [], "paths": {TIER: 1}}]}, "an axis has either values or a span"),
        ({"axes": [{"name": "cap", "values": [2, 2], "paths": {TIER: 1}}]}, "must differ"),
        ({"axes": [{"name": "cap", "values": [2]}]}, "a value must go somewhere"),
        ({"axes": [{"name": "kind", "values": ["cross"], "paths": {"a.b": 2}}]}, "words have no multiples, write 1"),
        ({"axes": [CAP, CAP]}, "axes: cap, names must differ, rename one"),
        ({"axes": [CAP | {"name": "seed"}]}, "axes: seed, is a column of every study's results"),
        ({"axes": [{"name": "cap", "span": {"low": 2, "high": 1}, "paths": {TIER: 1}}]}, "high: 1, must be above"),
        (
            {"axes": [{"name": "cap", "span": {"low": 1, "high": 2}, "paths": {TIER: 1}}]},
            "no points from the span of cap",
        ),
        ({"design": {"kind": "sobol", "points": 4}}, "sobol', takes its points from spans, but no axis has one"),
        ({"roles": {"base": {}}}, "roles: base, is the run itself"),
    ],
)
def test_what_is_no_study_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        small(**changes)


def test_a_run_nobody_touched_is_its_twin_to_the_bit() -> None:
    unit = plan(small())[0]
    run, twin = simulate(config(unit)), simulate(config(unit, "twin"))
    assert not len(run["closeouts"])
    assert all(run[name].equals(twin[name]) for name in run)


def test_the_shock_begins_with_the_first_move() -> None:
    crash = load_run("flash_crash", ["dt=50"])
    assert shocked(crash) == math.ceil(28_800 / 50)
    assert perpetual(crash) == "BTC-PERP"
    with pytest.raises(ConfigError, match="no move among them"):
        shocked(load_run("baseline"))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", names())
def test_every_setting_of_a_packaged_study_is_valid(name: str, quick: bool) -> None:
    study = load_study(name, quick=quick)
    assert study.name == name
    assert study.description.endswith("?")
    assert study.seconds > 0
    one = study.model_copy(update={"seeds": 1})
    assert len(plan(one)) == size(one)[0]
    assert size(one)[0] <= size(study)[0] <= size(one)[0] * study.seeds
    assert module_of(study.module)


def test_what_is_no_packaged_study_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["sweep", "refinements"])
    assert done.exit_code == cli.BAD_INPUT
    assert "study: 'refinements' is not one of anatomy, " in done.stderr
    assert "(did you mean 'refinement'?)" in done.stderr
    assert not list(tmp_path.iterdir())


def test_studies_are_listed_with_question_and_cost() -> None:
    done = CliRunner().invoke(cli.app, ["studies", "--jobs", "2"])
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("leverage_caps "))
    assert lines[at].endswith("in a fall of 10% within half an hour?")
    assert lines[at + 1].strip() == "480 runs, 20 min; --quick 72 runs, 3 min (on 2 processors)"


def test_the_leverage_study_says_what_the_shock_took(tmp_path: Path) -> None:
    """A real market from plan to report, in this process."""
    outcome = sweep(small(), out=tmp_path / "x", options=Options("serial"))
    scores = pd.read_parquet(tmp_path / "x" / "scores.parquet")
    calm, wild = scores.iloc[0], scores.iloc[1]
    assert list(scores.columns[:3]) == ["elasticity", "cap", "seed"]
    assert (calm["closed_out"], calm["amplification"]) == (0, 1), "nobody was closed out: the run is its own twin"
    assert wild["closed_out"] > 0.05
    assert wild["amplification"] != 1
    assert wild["open_interest"] > 2 * calm["open_interest"]
    assert outcome.counts == {"complete": 3}
    assert (outcome.folder / "figures" / "leverage_caps.pdf").is_file()
