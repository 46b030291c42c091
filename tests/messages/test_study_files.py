"""Messages about a study's file and module: raised, the remedy applied word for word."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.sweep.config import load_study
from experiments.sweep.plan import JobPlanner, SettingRequest
from experiments.sweep.runner import SweepOptions, run_sweep
from experiments.sweep.study import StudyError, load_study_module, made_by, request_refinement
from sim.errors import ConfigError

TINY = Path(__file__).parent.parent / "studies" / "tiny.yaml"
LEVERAGE = "venues.0.engine.requirement.tiers.0.max_leverage"
CAP: dict[str, Any] = {"name": "cap", "values": [2], "paths": {LEVERAGE: 1}}
MOVE: dict[str, Any] = {"name": "move", "values": [-0.1], "paths": {"stresses.0.size": 1}}
SOBOL = {"kind": "sobol", "points": 16}

Changes = dict[str, Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(TINY.with_suffix(".py"), "mine.py")


def planned(changes: Changes, *also: str, **options: Any) -> None:
    """Read a study that differs from the tiny one, and plan all its runs; None removes a key."""
    plain = {**yaml.safe_load(TINY.read_text(encoding="utf-8")), "name": "mine", **changes}
    plain = {key: value for key, value in plain.items() if value is not None}
    Path("mine.yaml").write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    JobPlanner(load_study("mine.yaml", also, **options)).plan_first_jobs()


def axis(**changes: Any) -> Changes:
    """The cap with changes; None removes a key."""
    return {
        "axes": [{key: value for key, value in {**CAP, **changes}.items() if value is not None}]
    }


def value(**changes: Any) -> Changes:
    """A cap of one labelled value."""
    return axis(values=[{"label": "x", "set": {"dt": 30}, **changes}], paths=None)


def sampled(span: Changes, **more: Any) -> Changes:
    """A cap from a span."""
    return {**axis(values=None, span=span), "design": SOBOL, **more}


ROWS: list[tuple[Changes, str, Changes]] = [
    (
        sampled({"low": 5, "high": 2}),
        "axes.0.span.high: 2, must be above low = 5, exchange",
        sampled({"low": 2, "high": 5}),
    ),
    (
        sampled({"low": 0, "high": 2, "scale": "log"}),
        "axes.0.span.low: 0, must be above 0 on a log scale, raise it or use scale: linear",
        sampled({"low": 1.5, "high": 2, "scale": "linear"}),
    ),
    (
        axis(values=[]),
        "axes.0.values: an axis has either values or a span, give one of them, such as [1, 2]",
        axis(values=[1, 2]),
    ),
    (
        axis(span={"low": 1, "high": 2}),
        "axes.0.values: an axis has either values or a span, and this one has both, remove",
        axis(),
    ),
    (
        axis(paths=None),
        "axes.0.paths: none, a value must go somewhere, name a path and a factor such as {dt: 1}",
        axis(values=[30], paths={"dt": 1}),
    ),
    (
        axis(values=["full"], paths={"dt": 2}),
        "axes.0.paths: 2 times 'full', words have no multiples, write 1",
        axis(values=["cross"], paths={"venues.0.engine.netting.kind": 1}),
    ),
    (
        axis(values=[2, 2]),
        "axes.0.values: 2, 2, must differ, remove the one that stands twice",
        axis(),
    ),
    (
        axis(values=[[1, 2]]),
        "axes.0.values.0: a list of 2, must be a number, a word, true or false, or a mapping of "
        "label and set",
        axis(values=[2]),
    ),
    (axis(values=[None]), "axes.0.values.0: nothing, must be a number, a word", value()),
    (axis(values=3), "axes.0.values: 3, must be a list", axis(values=[3])),
    (
        value(label=""),
        "axes.0.values.0.label: '', must be text that is not empty",
        value(label="y"),
    ),
    (
        value(set={}),
        "axes.0.values.0.set: a mapping, must be a mapping of at least 1 key",
        value(set={"dt": 30}),
    ),
    (value(seeds=0), "axes.0.values.0.seeds: 0, must be at least 1", value(seeds=1)),
    (
        value(lable="y"),
        "axes.0.values.0.lable: unknown key (did you mean 'label'?)",
        value(label="y"),
    ),
    (
        axis(name="Cap"),
        "axes.0.name: 'Cap', must be text of lower-case letters, digits and _, a letter first",
        axis(name="cap"),
    ),
    (
        axis(paths=["dt"]),
        "axes.0.paths: a list of 1, must be a mapping",
        axis(values=[30], paths={"dt": 1}),
    ),
    (
        axis(values=[30], paths={"dt": "1"}),
        "axes.0.paths.dt: '1', must be a number, write 1 without quotes",
        axis(values=[30], paths={"dt": 1}),
    ),
    ({"axes": []}, "axes: a list of 0, must be a list of at least 1", axis()),
    ({"axes": {"cap": CAP}}, "axes: a mapping, must be a list", axis()),
    (
        {"axes": [CAP, {**MOVE, "name": "cap"}]},
        "axes: cap, names must differ, rename one",
        {"axes": [CAP, MOVE]},
    ),
    (
        axis(name="seed"),
        "axes: seed, is a column of every study's results, rename it",
        axis(name="cap"),
    ),
    (
        axis(name="role"),
        "axes: role, is a column of every study's results, rename it",
        axis(name="cap"),
    ),
    (
        {"roles": {"base": {"dt": 30}}},
        "roles: base, is the run itself, choose another name",
        {"roles": {"slow": {"dt": 30}}},
    ),
    (
        {"roles": {"twin": None}},
        "roles.twin: nothing, must be a mapping",
        {"roles": {"twin": {"dt": 30}}},
    ),
    (
        {"axes": [axis(values=[2, 3])["axes"][0], MOVE], "design": {"kind": "list"}},
        "design: 'list', needs as many values on every axis, but cap has 2, move has 1, add some "
        "or write design: "
        "{kind: grid}",
        {"axes": [axis(values=[2, 3])["axes"][0], MOVE], "design": {"kind": "grid"}},
    ),
    (
        {"design": SOBOL},
        "design: 'sobol', takes its points from spans, but no axis has one, give one a span or "
        "write design: "
        "{kind: grid}",
        {"design": {"kind": "grid"}},
    ),
    (
        sampled({"low": 2, "high": 5}, design={"kind": "grid"}),
        "design: 'grid', takes no points from the span of cap, write design: {kind: sobol, "
        "points: 16}",
        sampled({"low": 2, "high": 5}, design={"kind": "sobol", "points": 16}),
    ),
    (
        {"design": {"kind": "gird"}},
        "design.kind: 'gird' is not one of grid, list, latin_hypercube, sobol (did you mean "
        "'grid'?)",
        {"design": {"kind": "grid"}},
    ),
    (
        sampled({"low": 2, "high": 5}, design={"kind": "sobol"}),
        "design.points: missing, must be given",
        sampled({"low": 2, "high": 5}),
    ),
    (
        sampled({"low": 2, "high": 5}, design={**SOBOL, "points": 0}),
        "design.points: 0, must be at least 1",
        sampled({"low": 2, "high": 5}),
    ),
    (
        {"name": "my study"},
        "name: 'my study', must be text of lower-case letters, digits and _ (",
        {"name": "my_study"},
    ),
    ({"base": ""}, "base: '', must be text that is not empty", {}),
    (
        {"base": "smal_crash"},
        "base: smal_crash: no such file or packaged configuration (did you mean 'small_crash'?)",
        {"base": "small_crash"},
    ),
    (
        {"base": "nothing"},
        "base: nothing: no such file or packaged configuration, packaged are: baseline",
        {"base": "small_crash"},
    ),
    (
        {"base": "studies/compression"},
        "base: 'studies/compression' is no market, name one such as small_crash",
        {"base": "small_crash"},
    ),
    (
        {"base": "span"},
        "base: 'span' is no market, name one such as small_crash",
        {"base": "small_crash"},
    ),
    ({"seeds": 0}, "seeds: 0, must be at least 1", {"seeds": 1}),
    ({"foo": 1}, "foo: unknown key, known are name, description, base", {}),
    ({"metrics": "low"}, "metrics: 'low', must be a list", {"metrics": ["low"]}),
    ({"seconds": -1}, "seconds: -1, must be at least 0", {"seconds": 0}),
    (
        {"overrides": {"seed": 3}},
        "overrides: 'seed', a sweep sets it by itself in every replication, remove it; the "
        "study's seeds:",
        {"seed": 3},
    ),
    (
        {"overrides": {"quick": {}}},
        "overrides: 'quick', --quick of a run has no part in a sweep, remove it",
        {},
    ),
    (
        {"overrides": {"name": "x"}},
        "overrides: 'name', it is a name and changes nothing in a run, remove it and label values",
        value(),
    ),
    (
        {"overrides": {"description": "x"}},
        "overrides: 'description', it is a text and changes nothing in a run, remove it",
        {},
    ),
    (
        axis(name="n", values=[1], paths={"seed": 1}),
        "axes.n.paths: 'seed', a sweep sets it by itself",
        axis(),
    ),
    (
        value(set={"name": "b"}),
        "axes.cap: x: 'name', it is a name and changes nothing in a run",
        value(),
    ),
    ({"roles": {"twin": {"seed": 4}}}, "roles.twin: 'seed', a sweep sets it by itself", {}),
    (
        {"also": ["dt"]},
        "dt: not an override, must read path=value, write for example seed=3",
        {"also": ["dt=30"]},
    ),
    ({"also": ["seed=3"]}, "changes: 'seed', a sweep sets it by itself", {"also": []}),
    (
        axis(values=[30], paths={"dt": 1}) | {"also": ["dt=20"]},
        "changes: 'dt', has no effect: the axis cap sets 'dt' in every run, remove one of the two",
        axis(values=[30], paths={"dt": 1}),
    ),
    (
        axis(values=[30], paths={"dt": 1}) | {"overrides": {"dt": 20}},
        "overrides: 'dt', has no effect: the axis cap sets 'dt' in every run",
        axis(values=[30], paths={"dt": 1}) | {"overrides": {}},
    ),
    (
        {"axes": [CAP, {**CAP, "name": "other"}]},
        f"axes.cap: '{LEVERAGE}', has no effect: the axis other sets '{LEVERAGE}' afterwards, "
        "remove",
        axis(),
    ),
    (
        axis(paths={"venues.0.engine.cap": 1}),
        "mine at cap=2.0: venues.0.engine.cap: unknown key",
        axis(),
    ),
    (
        axis(paths={"populations.*.leverag": 1}),
        "populations.*.leverag: no item there has a part 'leverag'",
        axis(paths={"populations.*.leverage": 1}),
    ),
]
"""Wrong changes of the tiny study, a part of the message, and the changes after its remedy."""


@pytest.mark.parametrize(("wrong", "expected", "mended"), ROWS, ids=[row[1][:60] for row in ROWS])
def test_remedies_of_study_files_work(wrong: Changes, expected: str, mended: Changes) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(wrong)
    assert any(expected in line for line in caught.value.problems), caught.value.problems
    assert len(caught.value.problems) <= 2
    planned(mended)


NAMES = [
    ("studies/compresion", "(did you mean 'compression'?)", "compression"),
    ("studies/compresion.yaml", "(did you mean 'studies/compression'?)", "studies/compression"),
    ("nothing.yaml", "packaged are: studies/anatomy, ", "studies/anatomy"),
    ("nothing", "'nothing' is not one of anatomy, ", "anatomy"),
    ("mine", "'mine' is no packaged study, name the file if you mean that: mine.yaml", "mine.yaml"),
    ("alone.yaml", "no alone.py beside it, a study is two files", "mine.yaml"),
]


@pytest.mark.parametrize(("wrong", "expected", "mended"), NAMES)
def test_remedies_of_study_names_work(wrong: str, expected: str, mended: str) -> None:
    planned({})
    shutil.copy("mine.yaml", "alone.yaml")
    with pytest.raises(ConfigError) as caught:
        load_study(wrong)
    assert expected in str(caught.value)
    load_study(mended)


def test_packaged_studies_may_be_named_by_their_paths() -> None:
    packaged = Path(__file__).parent.parent.parent / "configs" / "studies" / "refinement.yaml"
    for name in ("studies/refinement", "configs/studies/refinement.yaml", packaged):
        assert load_study(name).module == "experiments.studies.refinement"


def test_an_engine_that_the_study_varies_is_left_out() -> None:
    for engine, expected in (
        ("span", "'span', the study sets venues.0.engine itself"),
        ("", "'', names no engine"),
    ):
        with pytest.raises(ConfigError, match=f"--engine: {expected}"):
            load_study("compression", words={"engine": engine})
    load_study("compression")
    planned({"overrides": {}, **axis(values=[30], paths={"dt": 1})}, words={"engine": "span"})


def test_copies_in_results_are_not_run() -> None:
    planned({})
    Path("results").mkdir()
    for name in ("mine.yaml", "mine.py"):
        shutil.copy(name, "results")
    shutil.copy("mine.yaml", "results/study.resolved.yaml")
    with pytest.raises(
        ConfigError,
        match="lies in a result, whose code never runs, copy it and its module to a folder",
    ):
        load_study("results/mine.yaml")
    load_study("mine.yaml")


MODULE = """
import pandas as pd
from experiments.sweep.plan import SettingRequest

def score(config, frames, twin): return pd.DataFrame({"low": [1.0]})
def tables(runs): return {"means": runs}
def figures(runs, folder): pass
def report(runs): return "none"
def refine(study, runs): return [SettingRequest({"cap": 2.0})]
"""

FAULTS: list[tuple[str, str, str]] = [
    ("def score(", "def score(:", "fails when imported (SyntaxError: "),
    (
        "import pandas",
        "import nothing_such, pandas",
        "fails when imported (ModuleNotFoundError: No module named 'nothing_such'",
    ),
    (
        "import pandas",
        "raise SystemExit\nimport pandas",
        "fails when imported (SystemExit: no message, ",
    ),
    (
        "score(config, frames, twin)",
        "score(config, frames)",
        "score(config, frames) cannot take 3 arguments, write def score(config, frames, twin)",
    ),
    (
        "refine(study, runs)",
        "refine(study, *, runs)",
        "refine(study, *, runs) cannot take 2 arguments, write def refine(study, scores)",
    ),
    ("def tables", "def tabels", "no function 'tables', but 'tabels': rename it"),
    (
        "def score(config, frames, twin): return",
        "score =",
        "no function 'score', every study has one, write it",
    ),
    (
        'return pd.DataFrame({"low": [1.0]})',
        "return {}",
        "score returns a dict, must return a pandas DataFrame",
    ),
    (
        'return pd.DataFrame({"low": [1.0]})',
        "pass",
        "score returns nothing, must return a pandas DataFrame",
    ),
    ('return {"means": runs}', "return runs['nothing']", "tables fails (KeyError: 'nothing', "),
    (
        'return {"means": runs}',
        "return [runs]",
        "tables returns a list, must return pandas DataFrames by name",
    ),
    (
        'return {"means": runs}',
        'return {"means": 3}',
        "tables returns an int, must return pandas DataFrames by name",
    ),
    ("folder): pass", "folder): 1 / 0", "figures fails (ZeroDivisionError: division by zero, "),
    ('return "none"', "return 3", "report returns an int, must return text"),
    ("return [SettingRequest", "return 1 / [SettingRequest", "refine fails (TypeError: "),
    (
        'return [SettingRequest({"cap": 2.0})]',
        "return 3",
        "refine returns an int, must return a list of SettingRequest",
    ),
    (
        'return [SettingRequest({"cap": 2.0})]',
        "return [3]",
        "refine returns an int in it, must return a list of SettingRequest",
    ),
]


def used() -> None:
    """Call every function of the module."""
    planned({})
    study, module = load_study("mine.yaml"), load_study_module(str(Path("mine.py").resolve()))
    runs = made_by(module, "score", None, {}, None)
    made_by(module, "tables", runs)
    made_by(module, "figures", runs, Path())
    made_by(module, "report", runs)
    request_refinement(study, lambda: runs)


@pytest.mark.parametrize(("old", "new", "expected"), FAULTS, ids=[row[2][:50] for row in FAULTS])
def test_faults_of_modules_are_lines_that_name_them(old: str, new: str, expected: str) -> None:
    assert old in MODULE
    Path("mine.py").write_text(MODULE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises((ConfigError, StudyError)) as caught:
        used()
    assert expected in str(caught.value)
    assert "mine.py" in str(caught.value)
    Path("mine.py").write_text(MODULE, encoding="utf-8")
    used()


def test_a_wrong_signature_is_found_before_the_first_run() -> None:
    wrong = MODULE.replace("score(config, frames, twin)", "score(config)")
    Path("mine.py").write_text(wrong, encoding="utf-8")
    planned({})
    with pytest.raises(ConfigError, match=r"write def score\(config, frames, twin\)"):
        run_sweep(load_study("mine.yaml"), out="results", options=SweepOptions("serial"))
    assert not Path("results").exists()


WANTED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (
        {"cap": 2.0},
        "setting: no value for 'move', every axis needs one, add it",
        {"cap": 2.0, "move": "small"},
    ),
    (
        {"cap": 2.0, "move": "smal"},
        "axes.move: 'smal' is not one of small, large (did you mean 'small'?)",
        {"cap": 2.0, "move": "small"},
    ),
    (
        {"cap": 2.0, "move": "small", "foo": 1},
        "setting: 'foo' is not one of cap, move, use one of them",
        {"cap": 2.0, "move": "large"},
    ),
]


@pytest.mark.parametrize(
    ("wrong", "expected", "mended"), WANTED, ids=[row[1][:40] for row in WANTED]
)
def test_tasks_that_a_module_asks_for(wrong: Changes, expected: str, mended: Changes) -> None:
    planner = JobPlanner(load_study(TINY))
    with pytest.raises(ConfigError) as caught:
        planner.plan_more_jobs([SettingRequest(wrong)])
    assert str(caught.value) == expected
    assert len(planner.plan_more_jobs([SettingRequest(mended)])) == 1
