"""Figures drawn by a run and its helper: same bytes and errors as by the run alone, no orphans."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from synthetic import FakeMarket, frames
from typer.testing import CliRunner

from experiments import run
from experiments.cli import app
from experiments.figures import overview, parallel
from experiments.figures.overview import FIGURES
from experiments.figures.parallel import Draw, Helper, RunFiles, draw_figures, open_helper
from experiments.results.store import restore_frame, write_frame

PATIENCE = 120.0
"""Seconds that a helper may take to be ready, on a machine that does other things too."""


@pytest.fixture(scope="module")
def two_processors() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "count_processors", lambda: 2)
        yield


def write_run(folder: Path) -> tuple[Any, RunFiles]:
    """Write the frames of a run, and return them as its figures get them."""
    folder.mkdir()
    made = {name: restore_frame(frame) for name, frame in frames(50).items()}
    for name, frame in made.items():
        write_frame(frame, folder / f"{name}.parquet", {})
    return made, RunFiles(folder, 100, "USD")


def read_figures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}


def find_process(helper: Helper) -> int:
    (number,) = helper._pool._processes
    return number


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def helper(two_processors: None) -> Iterator[Helper]:
    """A helper that was interrupted from the keyboard while its process started."""
    with open_helper() as made:
        assert made is not None
        os.kill(find_process(made), signal.SIGINT)
        made.ready.result(PATIENCE)
        yield made


def test_the_bytes_are_those_of_one_process(
    helper: Helper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def count(self: Helper, figure: Draw, files: RunFiles) -> "Future[None]":
        drawn.append(figure)
        return draw(self, figure, files)

    draw = Helper.draw
    monkeypatch.setattr(Helper, "draw", count)
    for name, by in (("alone", None), ("both", helper)):
        made, files = write_run(tmp_path / name)
        draw_figures(list(FIGURES.values()), made, files, by)
    assert 0 < len(drawn) < len(FIGURES)
    assert read_figures(tmp_path / "both") == read_figures(tmp_path / "alone")
    assert len(read_figures(tmp_path / "both")) == 3 * len(FIGURES)


def name_figure(number: int, act: Callable[[int], object]) -> Draw:
    """Return a figure that acts, and then writes the process that draws it."""

    def draw(made: object, folder: Path, **_: object) -> Path:
        time.sleep(0.05)  # so that each process gets some
        act(number)
        path = folder / f"{number}.txt"
        path.write_text(str(os.getpid()))
        return path

    return draw


def draw_named(folder: Path, helper: Helper, act: Callable[[int], object]) -> dict[int, int]:
    """Draw eight such figures, and return the process that drew each."""
    made, files = write_run(folder)
    draw_figures([name_figure(number, act) for number in range(8)], made, files, helper)
    return {int(name.split(".")[0]): int(text) for name, text in read_figures(folder).items()}


def test_what_the_helper_cannot_draw_is_drawn_again(helper: Helper, tmp_path: Path) -> None:
    driver = os.getpid()

    def fail(number: int) -> None:
        if os.getpid() != driver:
            raise ValueError("no display")

    drawn = draw_named(tmp_path / "x", helper, fail)
    assert drawn == dict.fromkeys(range(8), driver)


@pytest.mark.parametrize("bad", [{0, 1}, {1, 2}, {7}])
def test_the_first_figure_that_fails_is_named(
    helper: Helper, tmp_path: Path, bad: set[int]
) -> None:
    def fail(number: int) -> None:
        if number in bad:
            raise ValueError(f"figure {number}: no such colour")

    with pytest.raises(ValueError, match=f"^figure {min(bad)}: no such colour$"):
        draw_named(tmp_path / "x", helper, fail)


def test_a_helper_that_is_not_ready_draws_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = object.__new__(Helper)
    late.ready = Future()
    drawn = draw_named(tmp_path / "x", late, lambda number: None)
    assert drawn == dict.fromkeys(range(8), os.getpid())


def test_a_helper_that_dies_loses_no_figure(two_processors: None, tmp_path: Path) -> None:
    driver = os.getpid()

    def die(number: int) -> None:
        if os.getpid() != driver:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_helper() as mortal:
        assert mortal is not None
        mortal.ready.result(PATIENCE)
        assert draw_named(tmp_path / "x", mortal, die) == dict.fromkeys(range(8), driver)


def refuse(*_: object, **__: object) -> None:
    raise OSError("no more processes")


@pytest.mark.parametrize("refused", ["processor", "process"])
def test_no_helper_is_no_failure(
    two_processors: None, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if refused == "processor":
        monkeypatch.setattr(parallel, "count_processors", lambda: 1)
    else:
        monkeypatch.setattr("loky.ProcessPoolExecutor", refuse)
    with open_helper() as none:
        assert none is None


@pytest.mark.parametrize(
    ("words", "happens", "code"),
    [((), "", 0), ((), "fail", 1), (("sede=3",), "", 2), ((), "interrupted twice", 130)],
)
def test_no_command_leaves_a_process(
    two_processors: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    happens: str,
    code: int,
) -> None:
    def interrupt(market: FakeMarket, steps: int) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    started = []

    def start() -> Helper:
        helper = Helper()
        started.append(find_process(helper))
        return helper

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "Helper", start)
    monkeypatch.setattr(run, "Market", FakeMarket)
    monkeypatch.setattr(overview, "FIGURES", {"overview": FIGURES["overview"]})
    monkeypatch.setattr(FakeMarket, "at", {3: happens})
    if happens == "interrupted twice":
        monkeypatch.setattr(FakeMarket, "advance", interrupt)
    done = CliRunner().invoke(app.app, ["run", "crash_2008", "--out", "x", *words])
    assert (done.exit_code, len(started)) == (code, 1)
    assert "Traceback" not in done.output
    assert not is_running(started[0])
