"""Progress of a sweep on stderr: a bar on a terminal, else occasional lines."""

import sys
import time
from collections.abc import Sized
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

LINE_INTERVAL = 30.0
"""Time between lines without a terminal (s)."""


class ProgressReporter:
    """Progress display of finished jobs.

    Args:
        name: name of the study.
        quiet: print nothing.
        slots: number of jobs done at a time; the same number of first jobs compile.
    """

    def __init__(self, name: str, *, quiet: bool, slots: int = 1) -> None:
        self.name, self.slots = name, slots
        console = Console(stderr=True)
        self.writes_lines = not quiet and not console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        self._bar = Progress(
            *columns, console=console, disable=quiet or self.writes_lines, transient=True
        )
        self._task: TaskID = self._bar.add_task(name, total=0, rate="")
        self.n_jobs = self.n_done = 0
        self.started_at = self.reported_at = self.warmed_up_at = time.monotonic()

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def add_jobs(self, more: Sized) -> None:
        """Add jobs to the total."""
        if self.writes_lines and self.n_done and len(more):
            sys.stderr.write(f"{self.name}: {len(more)} more runs to refine the result\n")
        self.n_jobs += len(more)
        self._bar.update(self._task, total=self.n_jobs)

    def count_job(self) -> None:
        """Count one finished job."""
        self.n_done += 1
        if self.n_done <= self.slots:
            self.warmed_up_at = time.monotonic()
        words, now = self._describe_rate(), time.monotonic()
        self._bar.update(self._task, completed=self.n_done, rate=words)
        if self.writes_lines and (
            now - self.reported_at > LINE_INTERVAL or self.n_done == self.n_jobs
        ):
            self.reported_at = now
            sys.stderr.write(f"{self.name}: {self.n_done} of {self.n_jobs}, {words}\n")

    def _describe_rate(self) -> str:
        """Return rate and time left, without the first runs, which compile."""
        counted, since = self.n_done - self.slots, self.warmed_up_at
        if counted <= 0 and self.n_done < self.n_jobs:
            return "the first runs compile, time left is not known yet"
        if counted <= 0:
            counted, since = self.n_done, self.started_at
        rate = counted / max(time.monotonic() - since, 1e-9)
        left = round((self.n_jobs - self.n_done) / rate)
        speed = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
        return f"{speed}, {left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left"
