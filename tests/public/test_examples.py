"""Every example runs, and prints what stands in the file beside it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


OWN = ("own_agent", "own_margin_engine", "own_study")
"""Examples in a process of their own: they register kinds, or start worker processes."""


LONG = ("own_study",)
"""Examples that sweep; `studies/test_own_study.py` holds a study of two files by default."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in LONG))
        for path in EXAMPLES
    ],
)
def test_an_example_prints_what_stands_beside_it(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After an intended change: python experiments/examples/NAME.py > .../NAME.out."""
    expected = path.with_suffix(".out").read_text(encoding="utf-8")
    if path.stem in OWN:
        done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert tuple(capsys.readouterr()) == (expected, "")


def test_the_folder_says_what_each_is_for() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f"`{path.name}`" not in page] == []
