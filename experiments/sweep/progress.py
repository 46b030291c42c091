"""How far a sweep is: a bar on a terminal, else a line now and then; rate and time left, always on stderr."""

import sys
import time
from collections.abc import Sized
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

EVERY = 30.0
"""Seconds between lines where there is no terminal."""


class Counter:
    """Counts jobs that are done.

    Args:
        name: of the study.
        quiet: say nothing.
        slots: jobs done at a time; so many of the first ones compile.
    """

    def __init__(self, name: str, *, quiet: bool, slots: int = 1) -> None:
        self.name, self.slots = name, slots
        console = Console(stderr=True)
        self.lines = not quiet and not console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
        )
        self._bar = Progress(*columns, console=console, disable=quiet or self.lines, transient=True)
        self._task: TaskID = self._bar.add_task(name, total=0, told="")
        self.total = self.done = 0
        self.began = self.told = self.warm = time.monotonic()

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take it away."""
        self._bar.stop()

    def expect(self, more: Sized) -> None:
        """These are to be done on top."""
        if self.lines and self.done and len(more):
            sys.stderr.write(f"{self.name}: {len(more)} runs more, where the answer lies\n")
        self.total += len(more)
        self._bar.update(self._task, total=self.total)

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        if self.done <= self.slots:
            self.warm = time.monotonic()
        words, now = self._words(), time.monotonic()
        self._bar.update(self._task, completed=self.done, told=words)
        if self.lines and (now - self.told > EVERY or self.done == self.total):
            self.told = now
            sys.stderr.write(f"{self.name}: {self.done} of {self.total}, {words}\n")

    def _words(self) -> str:
        """Rate and time left; the first runs compile and read what later ones find ready, so they do not count."""
        counted, since = self.done - self.slots, self.warm
        if counted <= 0 and self.done < self.total:
            return "the first runs compile, time left is not known yet"
        if counted <= 0:
            counted, since = self.done, self.began
        rate = counted / max(time.monotonic() - since, 1e-9)
        left = round((self.total - self.done) / rate)
        speed = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
        return f"{speed}, {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
