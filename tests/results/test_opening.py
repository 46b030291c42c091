"""Results of a stranger: nothing in them runs, and a study's module comes from the command line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.figures.overview import FIGURES
from experiments.paper import figures
from experiments.sweep.config import load_study
from experiments.sweep.runner import SweepOptions, run_sweep

pytestmark = pytest.mark.usefixtures("without_figures")

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "studies" / "tiny.yaml"
PLANTED = (
    "from pathlib import Path\n"
    "Path({mark!r}).write_text(__file__)\n"
    "raise SystemExit('planted code ran')\n"
)


def call(*words: object) -> Result:
    return CliRunner().invoke(app.app, [str(word) for word in words])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result folder of a sweep of a user's own study."""
    return run_sweep(
        load_study(TINY),
        out=tmp_path_factory.mktemp("swept") / "tiny",
        options=SweepOptions("serial"),
    ).folder


@pytest.fixture
def result(swept: Path, tmp_path: Path) -> Path:
    return shutil.copytree(swept, tmp_path / "result")


NAMES = (
    "tiny",
    "study",
    "study.resolved",
    "plugin",
    "sitecustomize",
    "sim",
    "agents",
    "scores",
    "conftest",
    "numpy",
)
"""What a stranger might call a module to have it run."""


def plant(folder: Path, mark: Path, *names: str) -> None:
    for name in names or NAMES:
        for place in (folder, *(path for path in folder.glob("runs/*"))):
            (place / f"{name}.py").write_text(PLANTED.format(mark=str(mark)), encoding="utf-8")
    package = folder / "experiments" / "studies"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(PLANTED.format(mark=str(mark)), encoding="utf-8")


def commands(result: Path, run: Path) -> Iterator[tuple[str, ...]]:
    """Every command that opens a result, with a study, one of its runs and a run."""
    one = next(path for path in sorted((result / "runs").iterdir()))
    for name in ("figures", "tables", "report", "tails", "verify", "explain"):
        yield from ((name, str(folder)) for folder in (result, one, run))
    yield ("explain", str(run), "--cascade", "1", "--twins", "1")
    yield ("backtest", "--run", str(run))
    yield ("backtest", "--run", str(one))
    yield (
        "sweep",
        str(result / "study.resolved.yaml"),
        "--executor",
        "serial",
        "--out",
        str(result),
    )
    yield ("sweep", str(result / "tiny.yaml"), "--executor", "serial", "--out", str(result))
    yield ("sweep", str(TINY), "--executor", "serial", "--out", str(result))
    yield (
        "sweep",
        str(TINY),
        "--executor",
        "serial",
        "--out",
        str(result) + "-other",
        "--known",
        str(result),
    )
    yield ("run", str(run / "config.resolved.yaml"), "--out", str(run), "--overwrite")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ran") / "run"
    done = call("run", "small_crash", "duration=300", "profile_every=0", "--out", folder, "--quiet")
    assert done.exit_code == 0, done.output
    return folder


def test_nothing_in_a_result_runs(
    result: Path, ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FIGURES", {"overview": FIGURES["overview"]})
    run, mark = shutil.copytree(ran, tmp_path / "run"), tmp_path / "MARK"
    shutil.copy(TINY, result / "tiny.yaml")
    for command in commands(result, run):
        plant(result, mark)
        plant(run, mark)
        done = call(*command)
        assert not mark.exists(), f"{command}: ran {mark.read_text()}"
        assert "planted" not in done.output
        assert done.exit_code in (0, 1, 2), command
        assert done.exception is None or isinstance(done.exception, SystemExit), command


@pytest.mark.slow  # three commands, each in a process of its own
def test_nothing_runs_from_the_working_folder_either(result: Path, tmp_path: Path) -> None:
    """In a process of its own that starts in the result."""
    mark = tmp_path / "MARK"
    plant(result, mark)
    code = "from experiments.cli.app import main; main()"
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    for words in (
        ("tables", "."),
        ("report", ".", "--study", str(TINY)),
        ("verify", ".", "--sample", "1"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=result,
            env=settings,
            capture_output=True,
            text=True,
        )
        assert not mark.exists()
        assert "Traceback" not in done.stderr


def test_the_module_is_named_on_the_command_line(result: Path) -> None:
    done = call("tables", result)
    assert done.exit_code == 2
    rule = (
        "is a study of a user's own, and code that lies in a result never runs, "
        "name its file: --study tiny.yaml"
    )
    assert done.output == f"tiny: {rule}\n"
    for file in (TINY, TINY.with_suffix(".py")):
        done = call("tables", result, "--study", file)
        assert (done.exit_code, done.stderr) == (0, "")
    assert call("tables", result, "--study", TINY.with_name("nowhere.yaml")).exit_code == 2
    run = next((result / "runs").iterdir())
    assert "is no result of a study, leave it out" in call("figures", run, "--study", TINY).output


def test_another_module_than_the_one_of_the_scores_is_told(result: Path, tmp_path: Path) -> None:
    other = tmp_path / "mine" / "tiny.py"
    other.parent.mkdir()
    other.write_text(
        TINY.with_suffix(".py").read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8"
    )
    done = call("report", result, "--study", other)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{other}: is not the module that made the scores of {result} (")
    assert done.stderr.count("\n") == 1
    assert call("report", result, "--study", TINY).stderr == ""


def test_a_module_that_has_changed_is_read_again(tmp_path: Path) -> None:
    """In the same process, within the same second, at the same size."""
    (tmp_path / "mine.yaml").write_text(
        TINY.read_text(encoding="utf-8").replace("name: tiny", "name: mine")
    )
    text = TINY.with_suffix(".py").read_text(encoding="utf-8")
    lows = []
    for word in ("[0]", "[1]"):
        (tmp_path / "mine.py").write_text(
            text.replace('"closed": [len(frames["closeouts"])]', f'"closed": {word}')
        )
        run_sweep(
            load_study(tmp_path / "mine.yaml"), out=tmp_path / "x", options=SweepOptions("serial")
        )
        manifest = json.loads((tmp_path / "x" / "manifest.json").read_text())
        lows.append(
            (manifest["module"], (tmp_path / "x" / "report.md").read_text().split()[-1][-3:])
        )
    assert [told for _, told in lows] == ["0.0", "1.0"]
    assert lows[0][0] != lows[1][0]
