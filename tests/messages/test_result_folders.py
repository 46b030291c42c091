"""Messages about damaged or wrong result folders: raised, the remedy applied word for word."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.config import load_run
from experiments.results import store
from experiments.run import execute_run
from experiments.sweep.config import load_study
from experiments.sweep.runner import SweepOptions, run_sweep

pytestmark = pytest.mark.usefixtures("without_figures")

TINY = Path(__file__).parent.parent / "studies" / "tiny.yaml"
CRASH = "stresses=[{kind: move, at: 600, duration: 300, size: -0.3}]"
OWN = ["--study", TINY]
OUT = ["--out", "out"]
FAST = ["--sample", 0]


def call(*words: object) -> Result:
    return CliRunner().invoke(app.app, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run and of a sweep."""
    place = tmp_path_factory.mktemp("made")
    execute_run(
        load_run("small_crash", ["duration=1800", "profile_every=0", CRASH]), out=place / "run"
    )
    run_sweep(load_study(TINY), out=place / "tiny", options=SweepOptions("serial", quiet=True))
    return place


@pytest.fixture(autouse=True)
def copies(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of them in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "tiny"):
        shutil.copytree(made / name, name)


def again(folder: str, made: Path) -> None:
    """Make a result again, as a message proposes: a run from its copy, a sweep by its command."""
    if folder == "run":
        shutil.rmtree("run")
        shutil.copytree(made / "run", "run")
        return
    done = call("sweep", TINY, "--executor", "serial", "--quiet", "--out", folder)
    assert done.exit_code == 0, done.stderr


def one() -> str:
    """The first run of the sweep."""
    return sorted(path.name for path in Path("tiny/runs").iterdir())[0]


GO_ON = "start deleverage sweep with this folder again"
MAKE = "make the run again"

DAMAGE: list[tuple[str, bytes | None, Sequence[object], str]] = [
    (
        "tiny/scores.parquet",
        None,
        ("tables", "tiny", *OWN, *OUT),
        f"no run has been scored yet, {GO_ON}, it resumes the sweep",
    ),
    (
        "tiny/scores.parquet",
        b"x",
        ("tables", "tiny", *OWN, *OUT),
        f"tiny/scores.parquet: cannot be read (*), {GO_ON}",
    ),
    (
        "tiny/runs.parquet",
        None,
        ("tables", "tiny", *OWN, *OUT),
        f"tiny/runs.parquet: is not there, {GO_ON}",
    ),
    (
        "tiny/runs.parquet",
        b"x",
        ("report", "tiny", *OWN, *OUT),
        f"tiny/runs.parquet: cannot be read (*), {GO_ON}",
    ),
    (
        "tiny/runs.parquet",
        b"x",
        ("verify", "tiny", *FAST),
        f"tiny/runs.parquet: cannot be read (*), {GO_ON}",
    ),
    (
        "tiny/manifest.json",
        None,
        ("tables", "tiny", *OWN, *OUT),
        f"tiny/manifest.json: is not there, {GO_ON}",
    ),
    (
        "tiny/manifest.json",
        b"[1]",
        ("tables", "tiny", *OWN, *OUT),
        f"tiny/manifest.json: cannot be read, {GO_ON}",
    ),
    (
        "tiny/manifest.json",
        None,
        ("verify", "tiny", *FAST),
        f"tiny: has no manifest.json, hence no finished *, {GO_ON}",
    ),
    (
        "tiny/manifest.json",
        b"{",
        ("verify", "tiny", *FAST),
        f"tiny/manifest.json: cannot be read (*), {GO_ON}",
    ),
    (
        "tiny/manifest.json",
        b"{}",
        ("verify", "tiny", *FAST),
        f"tiny/manifest.json: holds no checksums of files, {GO_ON}",
    ),
    (
        "run/manifest.json",
        None,
        ("verify", "run", *FAST),
        f"run: has no manifest.json, hence no finished result, {MAKE}",
    ),
    (
        "run/manifest.json",
        b"{",
        ("verify", "run", *FAST),
        f"run/manifest.json: cannot be read (*), {MAKE}",
    ),
    ("run/manifest.json", b"[1]", ("explain", "run"), f"run/manifest.json: cannot be read, {MAKE}"),
    (
        "run/manifest.json",
        None,
        ("tables", "run", *OUT),
        "run: does not record which version made it, *, make the result",
    ),
    (
        "run/config.resolved.yaml",
        None,
        ("explain", "run"),
        f"run/config.resolved.yaml: is not there, {MAKE}",
    ),
    (
        "run/config.resolved.yaml",
        b"{}",
        ("tails", "run"),
        "run/config.resolved.yaml: is no configuration of this version (*), restore",
    ),
    ("run/summary.json", None, ("explain", "run"), f"run/summary.json: is not there, {MAKE}"),
    (
        "run/summary.json",
        b"[1]",
        ("tables", "run", *OUT),
        f"run/summary.json: cannot be read, {MAKE}",
    ),
    ("run/steps.parquet", None, ("explain", "run"), f"run: steps.parquet is not there, {MAKE}"),
    (
        "run/steps.parquet",
        b"x",
        ("tables", "run", *OUT),
        f"run/steps.parquet: cannot be read (*), {MAKE}",
    ),
    (
        "run/closeouts.parquet",
        None,
        ("explain", "run"),
        f"run: no closeouts.parquet, {MAKE} with this version",
    ),
    (
        "run/closeouts.parquet",
        b"x",
        ("tails", "run"),
        f"run/closeouts.parquet: cannot be read (*), {MAKE}",
    ),
    (
        "run/causes.parquet",
        None,
        ("tables", "run", *OUT),
        f"tables/origins: not made, causes: no such frame, *, {MAKE}",
    ),
    (
        "run/losses.parquet",
        None,
        ("tables", "run", *OUT),
        f"tables/closing: not made, losses.parquet is not there *, {MAKE}",
    ),
]


@pytest.mark.parametrize(
    ("file", "content", "command", "expected"), DAMAGE, ids=[row[3][:70] for row in DAMAGE]
)
def test_remedies_of_damage_work(
    file: str, content: bytes | None, command: Sequence[object], expected: str, made: Path
) -> None:
    Path(file).unlink()
    if content is not None:
        Path(file).write_bytes(content)
    done = call(*command)
    assert done.exit_code == 2
    parts = expected.split("*")
    assert any(all(part in line for part in parts) for line in done.stderr.splitlines()), (
        done.stderr
    )
    again(file.partition("/")[0], made)
    mended = call(*command)
    assert mended.exit_code == 0, mended.stderr


@pytest.mark.parametrize("content", [None, b"", b"x", b"[1", b"{}", b"name: tiny\nfoo: 1\n"])
def test_a_lost_description_of_a_study_keeps_its_runs(content: bytes | None) -> None:
    lost = Path("tiny/study.resolved.yaml")
    whole = lost.read_bytes()
    lost.unlink()
    if content is not None:
        lost.write_bytes(content)
    done = call("tables", "tiny", *OWN, *OUT)
    assert done.exit_code == 2
    assert (
        "tiny/study.resolved.yaml: " in done.stderr
        or "study.resolved.yaml is not there" in done.stderr
    )
    assert "validation error" not in done.stderr
    assert done.stderr.endswith(
        "or run the sweep again into another folder with --out; --known tiny keeps its runs\n"
    )
    assert call("sweep", TINY, "--executor", "serial", "--out", "tiny").exit_code == 2, (
        "not into the same"
    )
    new = call("sweep", TINY, "--executor", "serial", "--quiet", "--out", "new", "--known", "tiny")
    assert new.exit_code == 0, new.stderr
    assert call("tables", "new", *OWN, *OUT).exit_code == 0
    lost.write_bytes(whole)
    assert call("tables", "tiny", *OWN, *OUT).exit_code == 0


def test_folders_that_are_no_results_name_those_that_are() -> None:
    for command in ("tables", "figures", "report", "explain", "tails", "verify"):
        assert "nowhere: no such folder, name the result of" in call(command, "nowhere").stderr
        assert (
            "run/steps.parquet: is no folder, name the result of"
            in call(command, "run/steps.parquet").stderr
        )
    for command in ("tables", "explain", "tails"):
        assert (
            "run/figures: is a part of a result, name the whole: run"
            in call(command, "run/figures").stderr
        )
        assert (
            "tiny/runs: is a part of a result, name the whole: tiny"
            in call(command, "tiny/runs").stderr
        )
    expected = (
        f"tiny: is a study, explain describes one of its runs, name one such as tiny/runs/{one()}\n"
    )
    assert call("explain", "tiny").stderr == expected
    calm = ("explain", f"tiny/runs/{one()}")
    none = "--cascade: 1, nothing was closed out in this run, hence there is none, leave it out"
    assert call(*calm, "--cascade", 1).stderr.splitlines()[-1] == none
    assert call(*calm).exit_code == 0


def test_the_module_of_a_study_is_named() -> None:
    alone = call("tables", "tiny", *OUT)
    assert "code that lies in a result never runs, name its file: --study tiny.yaml" in alone.stderr
    shutil.copy(TINY, "tiny.yaml")
    assert (
        "--study none.yaml: none.py: no such file"
        in call("tables", "tiny", "--study", "none.yaml", *OUT).stderr
    )
    shutil.copy(TINY.with_suffix(".py"), "tiny.py")
    assert call("tables", "tiny", "--study", "tiny.yaml", *OUT).exit_code == 0
    other = call("tables", "tiny", "--study", "compression", *OUT)
    assert other.stderr == (
        "--study compression: is the study 'compression', the results are of 'tiny', name the "
        "file of that: "
        "--study tiny.yaml\n"
    )
    assert "run is no result of a study, leave it out" in call("tables", "run", *OWN, *OUT).stderr


QUESTIONS = [
    (
        ["--metric", "lwo"],
        "--metric: 'lwo' is not one of low, alone, closed (did you mean 'low'?)",
        ["--metric", "low"],
    ),
    (
        ["--against", "kap=2"],
        "--against: 'kap' is not one of cap, move (did you mean 'cap'?)",
        ["--against", "cap=2"],
    ),
    (
        ["--against", "cap=3"],
        "--against: cap: '3' is not one of 2, 50, use one of them",
        ["--against", "cap=50"],
    ),
]


@pytest.mark.parametrize(("wrong", "expected", "mended"), QUESTIONS)
def test_remedies_of_questions_work(wrong: list[str], expected: str, mended: list[str]) -> None:
    done = call("tables", "tiny", *OWN, *OUT, *wrong)
    assert (done.exit_code, done.stderr) == (2, f"{expected}\n")
    assert call("tables", "tiny", *OWN, *OUT, *mended).exit_code == 0


def owners() -> list[str]:
    """Owners of the largest cascade, as explain lists them."""
    done = call("explain", "run", "--cascade", 1, "--twins", 0, "--without", "nothing_of_that_name")
    listed = done.stderr.partition("those that were are ")[2].partition(", choose")[0]
    assert listed, done.stderr
    return listed.split(" and ")[0].split(", ")


def test_remedies_of_explain_work() -> None:
    for option, value in (("--without", "noise"), ("--engine", "span"), ("--worlds", "1")):
        assert (
            call("explain", "run", option, value).stderr
            == f"{option}: applies to one cascade, name it with --cascade N\n"
        )
    far = call("explain", "run", "--cascade", 99).stderr
    last = int(far.partition("is not one of 1 to ")[2].partition(",")[0])
    quick = ("explain", "run", "--twins", 0, "--cascade")
    assert call(*quick, last).exit_code == 0
    assert call(*quick, last + 1).exit_code == 2
    population, first, *_ = owners()
    for name in (population, first):
        assert call(*quick, 1, "--without", name).exit_code == 0
    when = call(*quick, 1, "--without", f"{first}@999999").stderr
    assert "was not closed out then in cascade 1, choose one of " in when
    assert (
        call(
            *quick, 1, "--without", when.rpartition("choose one of ")[2].split(", ")[0].strip()
        ).exit_code
        == 0
    )
    for name, expected in (
        ("", "--engine: '', names no engine"),
        ("spam", "(did you mean 'span'?)"),
        ("engines/spam", "'span'?"),
    ):
        assert expected in call(*quick, 1, "--engine", name).stderr
    Path("mine.yaml").write_text("include: small_crash\n", encoding="utf-8")
    assert (
        call(*quick, 1, "--engine", "mine.yaml").stderr
        == "mine.yaml: is a market, use deleverage run mine.yaml\n"
    )
    Path("mine.yaml").write_text("include: engines/span\n", encoding="utf-8")
    for name in ("span", "mine.yaml"):
        assert call(*quick, 1, "--engine", name).exit_code == 0
    assert call("explain", "run", "--export", "run/steps.parquet").stderr.endswith(
        "choose another with --export\n"
    )
    assert call("explain", "run", "--export", "new").exit_code == 0


STRAY = [
    "run/extra.txt",
    "tiny/stray.csv",
    "tiny/runs/stray",
    "tiny/runs/@/extra.txt",
    "tiny/runs/@/.hidden",
]
"""Files that no command writes; @ = a run."""


@pytest.mark.parametrize("name", STRAY)
def test_verify_names_files_that_are_no_part_of_a_result(name: str) -> None:
    folder, _, inner = name.replace("@", one()).partition("/")
    assert call("verify", folder, *FAST).exit_code == 0
    (Path(folder) / inner).write_text("x", encoding="utf-8")
    done = call("verify", folder, *FAST)
    assert (done.exit_code, done.stderr) == (
        1,
        f"{inner}: was not written by deleverage, remove it\n",
    )
    if "@" in name:
        alone = call("verify", Path(folder, inner).parent, *FAST)
        assert (alone.exit_code, alone.stderr) == (
            1,
            f"{Path(inner).name}: was not written by deleverage, remove it\n",
        )
    (Path(folder) / inner).unlink()
    assert call("verify", folder, *FAST).exit_code == 0


def test_verify_leaves_what_commands_add() -> None:
    for command in ("report", "tables", "figures"):
        assert call(command, "tiny", *OWN).exit_code == 0
    assert call("report", "run").exit_code == 0
    for folder in ("tiny", "run"):
        done = call("verify", folder, *FAST)
        assert (done.exit_code, done.stderr) == (0, "")


def test_each_line_of_verify_names_its_file() -> None:
    Path("run/config.resolved.yaml").write_text("foo: 1\n", encoding="utf-8")
    done = call("verify", "run", *FAST)
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) > 3
    assert all(line.startswith("config.resolved.yaml: ") for line in done.stderr.splitlines())


PLACES: list[tuple[Callable[[], object], str, str]] = [
    (
        lambda: Path("x").write_text("x"),
        "x",
        "x: is a file, results need a folder, choose another with --out",
    ),
    (
        lambda: Path("x").write_text("x"),
        "x/y",
        "cannot be written (Not a directory), choose another with --out",
    ),
    (
        lambda: Path("x").symlink_to("nowhere"),
        "x",
        "x: is a link to nothing, results need a folder, choose another with",
    ),
    (
        lambda: shutil.copytree("run", "x"),
        "x",
        "x: holds no study.resolved.yaml, hence no study's results, choose another",
    ),
    (
        lambda: store.write_yaml([1], Path("tiny/study.resolved.yaml")),
        "tiny",
        "tiny/study.resolved.yaml: is no study, restore",
    ),
    (
        lambda: Path("tiny/study.resolved.yaml").write_text("[1"),
        "tiny",
        "tiny/study.resolved.yaml: cannot be read, restore",
    ),
    (
        lambda: store.write_yaml({"name": "a"}, Path("tiny/study.resolved.yaml")),
        "tiny",
        "of the study 'a', not of 'tiny', choose",
    ),
]


@pytest.mark.parametrize(
    ("prepare", "place", "expected"), PLACES, ids=[row[2][:60] for row in PLACES]
)
def test_remedies_of_places_work(prepare: Callable[[], object], place: str, expected: str) -> None:
    prepare()
    command = ("sweep", TINY, "--executor", "serial", "--quiet", "--known", "tiny", "--out")
    done = call(*command, place)
    assert (done.exit_code, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "finished runs" not in done.stderr
    assert call(*command, "another").exit_code == 0


def test_a_folder_of_other_things_is_never_to_be_overwritten() -> None:
    Path("own").mkdir()
    Path("own/file").write_text("mine", encoding="utf-8")
    quick = ("run", "small_crash", "duration=60", "--quiet", "--out")
    for more in ([], ["--overwrite"]):
        done = call(*quick, "own", *more)
        expected = (
            "own: holds other things than a result (no manifest.json), it will not be replaced, "
            "name another folder"
        )
        assert (done.exit_code, done.stderr) == (2, f"{expected} with --out\n")
    assert "add --overwrite or name another folder with --out" in call(*quick, "run").stderr


def test_a_schema_never_waits_for_the_reader_of_a_pipe() -> None:
    os.mkfifo("pipe")
    done = call("schema", "--out", "pipe")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "pipe: is a pipe, which waits for a reader, name a file with --out, or leave it out and "
        "use > in the shell\n"
    )
    assert call("schema", "--out", "schema.json").exit_code == 0
    assert json.loads(call("schema").stdout) == json.loads(
        Path("schema.json").read_text(encoding="utf-8")
    )


def test_scores_that_parquet_cannot_hold_name_their_column() -> None:
    for name in ("tiny.yaml", "tiny.py"):
        shutil.copy(TINY.with_name(name), name)
    module = Path("tiny.py").read_text(encoding="utf-8")
    Path("tiny.py").write_text(
        module.replace('[len(frames["closeouts"])]', "[object()]"), encoding="utf-8"
    )
    command = (
        "sweep",
        "tiny.yaml",
        "--executor",
        "serial",
        "--quiet",
        "--known",
        "tiny",
        "--out",
        "new",
    )
    done = call(*command)
    assert done.exit_code == 1
    assert (
        "tiny.py: column 'closed' of score holds values of type object, which must all be numbers"
        in done.stderr
    )
    Path("tiny.py").write_text(module, encoding="utf-8")
    assert call(*command).exit_code == 0
    assert len(pd.read_parquet("new/scores.parquet")) == 4
