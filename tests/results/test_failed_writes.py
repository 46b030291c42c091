"""A disk that is full or read-only at any write: one line, exit code 1, same bytes on retry."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from experiments.cli import app
from experiments.figures import overview
from experiments.figures.overview import FIGURES

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"

CRASH = (
    *("small_crash", "duration=300", "profile_every=120"),
    "stresses=[{kind: move, at: 120, duration: 120, size: -0.30}]",
    "populations=[{kind: traders, count: 20, venue: exchange, leverage: 8, "
    "reference_leverage: 40, initial_entry_share: 1, "
    "warm_up: 60}, {kind: makers, count: 3, venue: exchange}]",
)

FULL, READ_ONLY = (errno.ENOSPC,), (errno.EROFS, errno.EACCES)
MAKES = ("open", "os.mkdir")
CHANGES = ("os.rename", "os.remove", "os.rmdir")
"""Audit events of writes. A full disk refuses what makes something, a read-only one all."""


class Disk:
    """Refuses the n-th write below a folder, or that and all after it."""

    def __init__(self) -> None:
        self.folder, self.at, self.number, self.lasts = "", 0, errno.ENOSPC, False
        self.writes = 0

    @contextmanager
    def refusing(self, folder: Path, at: int, number: int, lasts: bool) -> Iterator[None]:
        self.folder, self.at, self.number, self.lasts, self.writes = (
            str(folder),
            at,
            number,
            lasts,
            0,
        )
        try:
            yield
        finally:
            self.folder = ""

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder or event not in MAKES + CHANGES:
            return
        path, number = arguments[0], arguments[-1]
        if event == "open" and not number & (os.O_WRONLY | os.O_RDWR):
            return
        inside = isinstance(path, str | bytes | Path) and os.fsdecode(path).startswith(self.folder)
        by_descriptor = event in CHANGES[1:] and number != -1
        if inside or by_descriptor:
            self.count(os.fsdecode(path), event)

    def count(self, path: str, event: str) -> None:
        """One more write; refused if it is the one."""
        self.writes += 1
        reached = self.writes >= self.at if self.lasts else self.writes == self.at
        if reached and not (self.number in FULL and event in CHANGES):
            raise OSError(self.number, os.strerror(self.number), path)


DISK = Disk()
sys.addaudithook(DISK.hear)


@pytest.fixture(autouse=True)
def half_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that becomes full while a frame is written leaves half a file."""
    original = Path.write_bytes

    def write_bytes(path: Path, content: Any) -> int:
        try:
            return original(path, content)
        except OSError:
            if DISK.folder and DISK.number in FULL and path.suffix == ".parquet":
                folder, DISK.folder = DISK.folder, ""
                original(path, b"PAR1 half")
                DISK.folder = folder
            raise

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app.app, list(map(str, arguments)))


def files(folder: Path) -> dict[str, bytes]:
    """All but the manifest."""
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if name != "manifest.json"}


def kind(at: int) -> tuple[int, bool]:
    """Each write meets another kind of refusal, once or for good."""
    return (*FULL, *READ_ONLY)[at % 3], at // 3 % 2 == 0


def told(done: Result, at: int) -> None:
    lines = done.stderr.splitlines()
    assert done.exit_code == 1, (at, done.stderr, done.exception)
    assert len(lines) == 1, (at, done.stderr)
    assert os.strerror(DISK.number) in lines[0], (at, lines)
    assert isinstance(done.exception, SystemExit), (at, done.exception)


def each(command: tuple[object, ...], out: Path, chosen: Callable[[int], bool]) -> Iterator[int]:
    """Refuse one write after another and yield its number while its traces are on disk."""
    at = 0
    while True:
        at += 1
        if not chosen(at):
            continue
        number, lasts = kind(at)
        with DISK.refusing(out.parent, at, number, lasts):
            done = call(*command)
        if DISK.writes < at:
            assert done.exit_code == 0
            return
        if (
            number in FULL and done.exit_code == 0
        ):  # the n-th write was a removal, which a full disk allows
            shutil.rmtree(out)
            continue
        told(done, at)
        yield at


def sweeps_survive(tmp_path: Path, chosen: Callable[[int], bool]) -> int:
    whole, seen = tmp_path / "whole" / "x", 0
    assert call("sweep", TINY, "--executor", "serial", "--quiet", "--out", whole).exit_code == 0
    out = tmp_path / "0" / "x"
    out.parent.mkdir()
    command = ("sweep", TINY, "--executor", "serial", "--quiet", "--out", out)
    for at in each(command, out, chosen):
        again = call(*command)
        assert (again.exit_code, again.stderr) == (0, ""), at
        assert files(out) == files(whole), at
        os.rename(out, tmp_path / f"made-{at}")
        seen += 1
    return seen


def runs_survive(tmp_path: Path, chosen: Callable[[int], bool]) -> int:
    whole, seen = tmp_path / "whole" / "x", 0
    assert call("run", *CRASH, "--quiet", "--out", whole).exit_code == 0
    out = tmp_path / "0" / "x"
    out.parent.mkdir()
    command, expected = ("run", *CRASH, "--quiet", "--out", out), files(whole)
    for at in each(command, out, chosen):
        for kept in out.parent.iterdir():
            if kept == out:
                continue
            held = files(kept)
            assert {
                name: content for name, content in held.items() if expected[name] != content
            } == {}, at
            assert held or not any(kept.rglob("*.*")), at
        names = [path.name for path in out.parent.iterdir() if files(path)]
        if names and not out.exists():
            os.rename(out.parent / names[0], tmp_path / f"kept-{at}")
        again = call(*command, "--overwrite")
        assert (again.exit_code, again.stderr) == (0, ""), at
        assert files(out) == expected, at
        os.rename(out.parent, tmp_path / f"made-{at}")
        out.parent.mkdir()
        seen += 1
    return seen


def test_some_writes_of_a_sweep_fail(tmp_path: Path) -> None:
    assert sweeps_survive(tmp_path, lambda at: at in (2, 4, 9, 40, 90) or at > 1000) >= 4


def test_some_writes_of_a_run_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one figure; below, a run with all figures fails at every write."""
    monkeypatch.setattr(overview, "FIGURES", {"overview": FIGURES["overview"]})
    assert runs_survive(tmp_path, lambda at: at in (14, 15, 18) or at > 1000) == 3


@pytest.mark.slow
def test_every_write_of_a_sweep_fails(tmp_path: Path) -> None:
    assert sweeps_survive(tmp_path, lambda at: True) > 60


@pytest.mark.slow
def test_every_write_of_a_run_fails(tmp_path: Path) -> None:
    assert runs_survive(tmp_path, lambda at: True) > 30


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sweep and of a run, and a series."""
    place = tmp_path_factory.mktemp("results")
    assert (
        call("sweep", TINY, "--executor", "serial", "--quiet", "--out", place / "sweep").exit_code
        == 0
    )
    assert call("run", *CRASH, "--quiet", "--out", place / "run").exit_code == 0
    moves = np.random.default_rng(1).standard_t(4, 260) / 100
    pd.DataFrame({"price": 100 * np.exp(np.cumsum(moves))}).to_csv(
        place / "series.csv", index=False
    )
    return place


BACKTEST = ("backtest", "--data", "series.csv", "--engines", "hs_100", "--window", "100", "--out")
WRITERS = (
    ("figures", "sweep", "--study", str(TINY), "--out"),
    ("tables", "sweep", "--study", str(TINY), "--out"),
    ("report", "sweep", "--study", str(TINY), "--out"),
    ("explain", "run", "--export"),
    BACKTEST,
    ("schema", "--out"),
)


@pytest.mark.parametrize("command", WRITERS, ids=lambda command: command[0])
def test_every_command_reports_a_failed_write(
    command: tuple[str, ...], results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    out = tmp_path / "0" / "x"
    out.parent.mkdir()
    for _ in each((*command, out), out, lambda at: at in (1, 2, 4, 7) or at > 1000):
        left = [
            path
            for path in out.parent.rglob("*")
            if path.name.endswith(".tmp") and DISK.number in FULL
        ]
        assert left == []
        shutil.rmtree(out.parent)
        out.parent.mkdir()
    shutil.rmtree(out.parent)
    out.parent.mkdir()
    assert call(*command, out).exit_code == 0


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    """The system refuses files of more than 6 kB while they are written, by Arrow too."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))"
    code = f"{limit}; from experiments.__main__ import main; main()"
    command = [sys.executable, "-c", code, "run", *CRASH, "--quiet", "--out", "x"]
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        r"\S*: cannot be written \(.*File too large.*\), what was written is kept in .*\n",
        done.stderr,
    )
    (kept,) = tmp_path.iterdir()
    assert {"config.resolved.yaml"} <= set(files(kept))
    assert all(size <= 6000 for size in map(len, files(kept).values()))
    assert call("run", *CRASH, "--quiet", "--out", tmp_path / "x").exit_code == 0
    assert {name: files(tmp_path / "x")[name] for name in files(kept)} == files(kept)


def test_a_place_that_can_never_hold_results_is_bad_input(tmp_path: Path, results: Path) -> None:
    (tmp_path / "file").touch()
    for command in (("run", *CRASH), ("figures", results / "sweep", "--study", TINY), ("schema",)):
        done = call(*command, "--out", tmp_path / "file" / "x")
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
        assert "cannot be written (Not a directory), choose another with --out" in done.stderr


def test_a_figure_that_fails_costs_no_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no such colour")

    monkeypatch.setitem(FIGURES, "overview", broken)
    done = call("run", *CRASH, "--quiet", "--out", tmp_path / "x")
    assert done.exit_code == 1
    assert "what was written is kept in" in done.stderr
    assert "ValueError: no such colour" in done.stderr
    kept = next(path for path in tmp_path.iterdir() if path.name.endswith(".kept"))
    assert {"steps.parquet", "summary.json", "config.resolved.yaml"} <= set(files(kept))
    assert (kept / "manifest.json").is_file()
