"""Figures of a run, drawn by its process and by a helper that starts before the run.

To import the plotting libraries takes longer than to draw several figures. The helper imports them
while the run is simulated. Then each of the two takes the next figure until none is left. A helper
that is not ready by then draws nothing, so that no run waits for it.
"""

import functools
import gc
import importlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from experiments.imports import pause_garbage_collection
from experiments.processes import count_processors, prepare_worker

if TYPE_CHECKING:
    from experiments.figures.style import Frames

Draw = Callable[..., Path]
"""A function that draws one figure, as in ``overview.FIGURES``."""

LIBRARIES = (
    *("experiments.figures.overview", "seaborn", "matplotlib.figure"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf"),
)
"""Modules that figures import when they are drawn."""


class RunFiles(NamedTuple):
    """Place of a run's data, and the units of its figures."""

    folder: Path  # result folder, with the Parquet files of all frames
    unit: int  # minor units in one unit of the numeraire
    currency: str  # name of the numeraire


class Helper:
    """A process that imports the plotting libraries at once, and then draws figures.

    Raises:
        OSError, ImportError, RuntimeError: the system refuses a process, or what it needs.
    """

    def __init__(self) -> None:
        import loky

        self._pool = loky.ProcessPoolExecutor(
            1, initializer=prepare_worker, initargs=(os.getpid(),)
        )
        with _ignore_interrupts():  # inherited, so that an interrupt never ends the helper
            self.ready: Future[None] = self._pool.submit(_import_libraries)

    def draw(self, figure: Draw, files: RunFiles) -> "Future[None]":
        """Start to draw one figure.

        Raises:
            RuntimeError: the helper has ended.
        """
        return self._pool.submit(_draw_from_files, figure, files)

    def close(self) -> None:
        """End the process at once."""
        self._pool.shutdown(wait=True, kill_workers=True)


@contextmanager
def open_helper() -> Iterator[Helper | None]:
    """Start a helper, which ends with the context; none if there is one processor only."""
    helper = _start_helper()
    try:
        yield helper
    finally:
        if helper is not None:
            helper.close()


def _start_helper() -> Helper | None:
    if count_processors() < 2 or threading.current_thread() is not threading.main_thread():
        return None
    try:
        return Helper()
    except (OSError, ImportError, RuntimeError):
        return None


@contextmanager
def _ignore_interrupts() -> Iterator[None]:
    """Ignore interrupts in this process and in those that the block starts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def draw_figures(
    figures: Sequence[Draw], frames: "Frames", files: RunFiles, helper: Helper | None
) -> None:
    """Draw figures of a run into the folder ``figures`` of its result.

    The bytes are the same with and without a helper. So is the error that is raised if some cannot
    be drawn, because those at which the helper fails are drawn again here.

    Args:
        figures: functions that draw one figure each.
        frames: frames of the run, as in its files.
        files: result folder, and units.
        helper: process that draws some of them; none = this process draws all.

    Raises:
        Exception: what the first figure in order that cannot be drawn raises.
    """
    (files.folder / "figures").mkdir()
    draw = functools.partial(_draw, frames=frames, files=files)
    waiting, errors = deque(figures), dict[Draw, Exception]()
    with _lend_helper(helper, waiting, files) as drawn:
        while (figure := _take(waiting)) is not None:
            try:
                draw(figure)
            except Exception as error:
                errors[figure] = error
                waiting.clear()
            else:
                drawn.add(figure)
    for figure in figures:
        if figure in errors:
            raise errors[figure]
        if figure not in drawn:
            draw(figure)


@contextmanager
def _lend_helper(
    helper: Helper | None, waiting: deque[Draw], files: RunFiles
) -> Iterator[set[Draw]]:
    """Let a helper draw waiting figures during the block, and return the set of those drawn.

    The block ends when the helper is done with the figure that it draws.
    """
    drawn: set[Draw] = set()
    if helper is None:
        yield drawn
        return
    emptied: Future[None] = Future()
    located = files._replace(folder=files.folder.absolute())

    def feed() -> None:
        wait([helper.ready, emptied], return_when=FIRST_COMPLETED)
        with suppress(RuntimeError, CancelledError):  # the helper has ended
            while helper.ready.done() and (figure := _take(waiting)) is not None:
                if helper.draw(figure, located).exception() is not None:
                    return
                drawn.add(figure)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    yield drawn
    emptied.set_result(None)
    feeder.join()


def _take(waiting: deque[Draw]) -> Draw | None:
    """Return the next figure, which is no longer waiting; None if no figure is."""
    with suppress(IndexError):
        return waiting.popleft()
    return None


def _draw(figure: Draw, frames: "Frames", files: RunFiles) -> None:
    figure(frames, files.folder / "figures", unit=files.unit, currency=files.currency)


def _import_libraries() -> None:
    """Import all that figures need; it stays, so that no garbage collection need look at it."""
    with pause_garbage_collection():
        for name in LIBRARIES:
            importlib.import_module(name)
    gc.freeze()


def _draw_from_files(figure: Draw, files: RunFiles) -> None:
    """Draw one figure from the files of a run."""
    from experiments.results.store import decode_frame

    with pause_garbage_collection():
        paths = files.folder.glob("*.parquet")
        _draw(figure, {path.stem: decode_frame(path.read_bytes()) for path in paths}, files)
