"""A study of a user's own, word for word as experiments/README.md shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (
    (ROOT / "experiments" / "README.md")
    .read_text(encoding="utf-8")
    .split("## A study of your own")[1]
)


def block(begins: str) -> str:
    """The one block of the section that begins so."""
    (found,) = [
        code
        for code in re.findall(r"```\w+\n(.*?)```", PAGE, flags=re.DOTALL)
        if code.startswith(begins)
    ]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's working folder."""
    place = tmp_path_factory.mktemp("user")
    (place / "thin_book.yaml").write_text(block("name: thin_book"), encoding="utf-8")
    (place / "thin_book.py").write_text(block('"""Test whether'), encoding="utf-8")
    return place


def test_two_files_are_a_study(folder: Path) -> None:
    """In processes of its own, as it would be run."""
    command = [
        sys.executable,
        "-c",
        "from experiments.cli.app import main; main()",
        "sweep",
        "thin_book.yaml",
        "--quick",
    ]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "HOME": str(folder)}
    done = subprocess.run(
        [*command, "--jobs", "1"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("thin_book: 4 of 4, "), "how far it is"
    assert done.stdout.startswith("| makers | measure | mean (95% interval) |\n")
    results = folder / "results" / "thin_book-quick"
    assert done.stdout.splitlines()[-1] == "results/thin_book-quick"
    assert {path.name for path in results.iterdir()} == {
        *(
            "runs",
            "runs.parquet",
            "scores.parquet",
            "tables",
            "figures",
            "report.md",
            "manifest.json",
        ),
        *("study.resolved.yaml", "thin_book.py"),
    }
    scores = pd.read_parquet(results / "scores.parquet")
    assert scores["makers"].tolist() == [3, 1, 3, 1]
    assert (scores["fall"] < -0.05).all()


def test_a_notebook_gets_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(block("import pandas as pd").replace("Options(jobs=2)", 'Options("serial")'), names)
    scores, steps = names["scores"], names["steps"]
    assert isinstance(scores, pd.DataFrame)
    assert len(scores) == 2
    assert isinstance(steps, pd.DataFrame)
    assert steps["step"].max() == 5400 / 30
