"""Studies on small markets: settings, plan, twins, packaged studies, commands."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from crowd import TRADERS, TRADING
from typer.testing import CliRunner

from experiments.cli import app
from experiments.config import RunConfig, load_run
from experiments.simulation import simulate_run
from experiments.studies.shared.shocks import find_first_perpetual, find_shock_step
from experiments.sweep.axes import iterate_settings
from experiments.sweep.config import StudyConfig, list_study_names, load_study
from experiments.sweep.cost import count_runs
from experiments.sweep.plan import JobPlanner, PlannedJob, SettingRequest, plan_study
from experiments.sweep.plan import unpack_config as read
from experiments.sweep.runner import SweepOptions, run_sweep
from experiments.sweep.study import load_study_module
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
    told = {
        "name": "leverage_caps",
        "base": "flash_crash",
        "overrides": SMALL,
        "axes": axes,
        "seeds": 1,
    }
    told |= {"roles": {"twin": {"suppress_closeouts": True}}}
    return StudyConfig.model_validate(told | changes)


def config(unit: PlannedJob, role: str = "base") -> RunConfig:
    return read(unit.pack_job().runs[role].config)


def test_the_plan_is_every_setting_and_seed() -> None:
    units = plan_study(small(seeds=2))
    assert [unit.setting_and_seed for unit in units] == [
        {"elasticity": 1.0, "cap": cap, "seed": seed} for seed in (1, 2) for cap in (2.0, 50.0)
    ]
    assert [config(unit).seed for unit in units] == [1, 1, 2, 2]
    assert config(units[1]).venues[0].engine.requirement.tiers[0].max_leverage == 50
    assert config(units[1], "twin") == config(units[1]).model_copy(
        update={"suppress_closeouts": True}
    )
    assert len({name for unit in units for name in unit.hashes.values()}) == 8


def test_paths_get_multiples_of_the_value_over_what_all_runs_change() -> None:
    axis = {"name": "cap", "values": [20], "paths": {TIER: 0.5, "dt": 1}}
    (unit,) = plan_study(small(axes=[axis], also=("venues.0.band=0.07",)))
    found = config(unit)
    assert (
        found.dt,
        found.venues[0].engine.requirement.tiers[0].max_leverage,
        found.venues[0].band,
    ) == (20, 10, 0.07)


def test_a_star_stands_for_all_who_have_the_key() -> None:
    people = [TRADERS | {"name": "a"}, TRADING[1], TRADERS | {"name": "b"}]
    axis = {"name": "eager", "values": [0.5], "paths": {"populations.*.elasticity": 2}}
    (unit,) = plan_study(small(axes=[axis], overrides=SMALL | {"populations": people}))
    assert [getattr(each, "elasticity", None) for each in config(unit).populations] == [1, None, 1]
    wrong = {"name": "size", "values": [1], "paths": {"populations.*.nothing": 1}}
    with pytest.raises(
        ConfigError,
        match=r"leverage_caps at size=1\.0: populations\.\*\.nothing: no item there has",
    ):
        plan_study(small(axes=[wrong]))


LADDER = "venues.0.engine.requirement.tiers"
TIERS = [{"floor": 0, "max_leverage": 40}, {"floor": 1e6, "max_leverage": 20}]


@pytest.mark.parametrize(
    ("venue", "number", "cap", "expected", "remedy"),
    [
        (
            "0",
            0,
            10,
            "max_leverage 20 at floor 1e+06 is more than the 10 before it",
            (1, "lower", 10),
        ),
        (
            "*",
            0,
            10,
            "max_leverage 20 at floor 1e+06 is more than the 10 before it",
            (1, "lower", 10),
        ),
        (
            "0",
            1,
            50,
            "max_leverage 50 at floor 1e+06 is more than the 40 before it",
            (0, "raise", 50),
        ),
    ],
)
def test_an_axis_that_breaks_the_order_of_tiers_names_the_other_tier(
    venue: str, number: int, cap: int, expected: str, remedy: tuple[int, str, int]
) -> None:
    ladder = LADDER.replace("0", venue, 1)
    paths = {f"{ladder}.{number}.max_leverage": 1}
    axis = {"name": "cap", "values": [30, cap], "paths": paths}
    other, verb, bound = remedy
    with pytest.raises(ConfigError) as caught:
        plan_study(small(axes=[axis], overrides=SMALL | {LADDER: TIERS}))
    side = "or less" if verb == "lower" else "or more"
    assert str(caught.value).splitlines()[0] == (
        f"leverage_caps at cap={float(cap)}: {LADDER}: {expected}: let the axis {verb} "
        f"{LADDER}.{other}.max_leverage to {bound} {side} too"
    )
    mended = axis | {"paths": paths | {f"{LADDER}.{other}.max_leverage": 1}}
    plan_study(small(axes=[mended], overrides=SMALL | {LADDER: TIERS}))


def test_an_appended_item_overwrites_nothing() -> None:
    added = {"kind": "makers", "name": "more", "count": 2, "venue": "exchange"}
    axis = {"name": "crowd", "values": [{"label": "more", "set": {"populations+": added}}]}
    (unit,) = plan_study(small(axes=[axis], also=(f"populations+={added | {'name': 'yet'}}",)))
    assert [each.name for each in config(unit).populations][-2:] == ["yet", "more"]
    whole = {"name": "crowd", "values": [{"label": "few", "set": {"populations": TRADING}}]}
    with pytest.raises(ConfigError, match=r"changes: 'populations\+', has no effect"):
        plan_study(small(axes=[whole], also=(f"populations+={added}",)))


def test_words_and_labels_vary_too() -> None:
    engine = {"label": "tight", "set": {"venues.0.engine.netting.kind": "isolated", TIER: 5}}
    axes = [
        {"name": "rule", "values": [engine, "cross"], "paths": {"venues.0.engine.netting.kind": 1}},
        {"name": "dt", "values": [60, 30], "paths": {"dt": 1}},
    ]
    units = plan_study(small(axes=axes))
    assert [unit.setting_and_seed["rule"] for unit in units] == ["tight", "tight", "cross", "cross"]
    engines = [config(unit).venues[0].engine for unit in units]
    assert [each.netting.kind for each in engines] == ["isolated", "isolated", "cross", "cross"]
    assert [each.requirement.tiers[0].max_leverage for each in engines] == [5, 5, 40, 40]


def test_a_list_goes_through_axes_together() -> None:
    axes = [CAP, {"name": "dt", "values": [60, 30], "paths": {"dt": 1}}]
    assert list(iterate_settings(small(axes=axes, design={"kind": "list"}))) == [
        {"cap": 2, "dt": 60},
        {"cap": 50, "dt": 30},
    ]


def test_a_label_may_ask_for_fewer_replications() -> None:
    few = {"label": "few", "seeds": 2, "set": {"dt": 30}}
    study = small(
        axes=[{"name": "step", "values": [{"label": "all", "set": {"dt": 60}}, few]}],
        seeds=3,
        roles={},
    )
    assert [(unit.setting_and_seed["step"], unit.seed) for unit in plan_study(study)] == [
        *(("all", 1), ("few", 1), ("all", 2), ("few", 2), ("all", 3))
    ]
    assert count_runs(study) == (5, 5)


@pytest.mark.parametrize("kind", ["latin_hypercube", "sobol"])
def test_points_of_a_span_are_even_on_its_scale(kind: str) -> None:
    spans: list[dict[str, Any]] = [
        {"name": "cap", "span": {"low": 1, "high": 100, "scale": "log"}, "paths": {TIER: 1}},
        {
            "name": "count",
            "span": {"low": 10, "high": 50, "is_integer": True},
            "paths": {"populations.0.count": 1},
        },
    ]
    axes = [*spans, {"name": "dt", "values": [60, 30], "paths": {"dt": 1}}]
    found = list(iterate_settings(small(axes=axes, design={"kind": kind, "points": 16})))
    assert found == list(iterate_settings(small(axes=axes, design={"kind": kind, "points": 16}))), (
        "drawn from a seed"
    )
    assert [each["dt"] for each in found] == [60, 30] * 16
    caps = sorted(float(each["cap"]) for each in found[::2])
    assert [math.floor(8 * math.log10(cap)) for cap in caps] == list(range(16)), (
        "one point in each slice"
    )
    assert all(
        float(each["count"]).is_integer() and 10 <= float(each["count"]) <= 50 for each in found
    )


def test_further_settings_join_once() -> None:
    planner = JobPlanner(small(seeds=2))
    assert [unit.number for unit in planner.plan_first_jobs()] == [0, 1, 2, 3]
    more = planner.plan_more_jobs(
        [
            SettingRequest({"cap": 7.5, "elasticity": 1.0}, (2, 9)),
            SettingRequest({"elasticity": 1.0, "cap": 50.0}),
        ]
    )
    assert [(unit.number, unit.setting_and_seed) for unit in more] == [
        (4, {"elasticity": 1.0, "cap": 7.5, "seed": 2}),
        (5, {"elasticity": 1.0, "cap": 7.5, "seed": 9}),
    ]
    with pytest.raises(ConfigError, match="no value for 'elasticity'"):
        planner.plan_more_jobs([SettingRequest({"cap": 7.5})])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"axes": []}, r"axes"),
        (
            {"axes": [{"name": "cap", "values": [], "paths": {TIER: 1}}]},
            "an axis has either values or a span",
        ),
        ({"axes": [{"name": "cap", "values": [2, 2], "paths": {TIER: 1}}]}, "must differ"),
        ({"axes": [{"name": "cap", "values": [2]}]}, "a value must go somewhere"),
        (
            {"axes": [{"name": "kind", "values": ["cross"], "paths": {"a.b": 2}}]},
            "words have no multiples, write 1",
        ),
        ({"axes": [CAP, CAP]}, "axes: cap, names must differ, rename one"),
        ({"axes": [CAP | {"name": "seed"}]}, "axes: seed, is a column of every study's results"),
        (
            {"axes": [{"name": "cap", "span": {"low": 2, "high": 1}, "paths": {TIER: 1}}]},
            "high: 1, must be above",
        ),
        (
            {"axes": [{"name": "cap", "span": {"low": 1, "high": 2}, "paths": {TIER: 1}}]},
            "no points from the span of cap",
        ),
        (
            {"design": {"kind": "sobol", "points": 4}},
            "sobol', takes its points from spans, but no axis has one",
        ),
        ({"roles": {"base": {}}}, "roles: base, is the run itself"),
    ],
)
def test_what_is_no_study_is_told(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        small(**changes)


def test_a_run_nobody_touched_is_its_twin_to_the_bit() -> None:
    unit = plan_study(small())[0]
    run, twin = simulate_run(config(unit)), simulate_run(config(unit, "twin"))
    assert not len(run["closeouts"])
    assert all(run[name].equals(twin[name]) for name in run)


def test_the_shock_begins_with_the_first_move() -> None:
    crash = load_run("flash_crash", ["dt=50"])
    assert find_shock_step(crash) == math.ceil(28_800 / 50)
    assert find_first_perpetual(crash) == "BTC-PERP"
    with pytest.raises(ConfigError, match="no move among them"):
        find_shock_step(load_run("baseline"))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", list_study_names())
def test_every_setting_of_a_packaged_study_is_valid(name: str, quick: bool) -> None:
    study = load_study(name, quick=quick)
    assert study.name == name
    assert study.description.endswith("?")
    assert study.seconds > 0
    one = study.model_copy(update={"seeds": 1})
    assert len(plan_study(one)) == count_runs(one)[0]
    assert count_runs(one)[0] <= count_runs(study)[0] <= count_runs(one)[0] * study.seeds
    assert load_study_module(study.module)


def test_what_is_no_packaged_study_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app.app, ["sweep", "refinements"])
    assert done.exit_code == app.BAD_INPUT
    assert "study: 'refinements' is not one of anatomy, " in done.stderr
    assert "(did you mean 'refinement'?)" in done.stderr
    assert not list(tmp_path.iterdir())


def test_studies_are_listed_with_question_and_cost() -> None:
    done = CliRunner().invoke(app.app, ["studies", "--jobs", "2"])
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("leverage_caps "))
    assert lines[at].endswith("in a fall of 10% within half an hour?")
    assert lines[at + 1].strip() == "480 runs, 1 min; --quick 72 runs, 1 min (on 2 processors)"


def test_the_leverage_study_reports_what_the_shock_took(tmp_path: Path) -> None:
    """A real market from plan to report, in this process."""
    outcome = run_sweep(small(), out=tmp_path / "x", options=SweepOptions("serial"))
    scores = pd.read_parquet(tmp_path / "x" / "scores.parquet")
    calm, wild = scores.iloc[0], scores.iloc[1]
    assert list(scores.columns[:3]) == ["elasticity", "cap", "seed"]
    assert (calm["closed_out"], calm["amplification"]) == (0, 1), (
        "no account was closed out: the run is its own twin"
    )
    assert wild["closed_out"] > 0.05
    assert wild["amplification"] != 1
    assert wild["open_interest"] > 2 * calm["open_interest"]
    assert outcome.counts == {"complete": 3}
    assert (outcome.folder / "figures" / "leverage_caps.pdf").is_file()
