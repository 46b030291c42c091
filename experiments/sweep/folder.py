"""The folder of one study's results: whose it is, and its files, each of them whole or not there."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments import store
from experiments.sweep.config import RESOLVED, StudyConfig
from sim.documents import read_yaml
from sim.errors import ConfigError, OutputError

GROWS = ("description", "axes", "design", "seeds", "quick", "metrics", "tables", "figures", "seconds")
"""What may change in a study whose results are there: runs are named by what they are, so more can join them."""

WORDS = {"also": "also (changes of every run: the study's, --engine, and a.b=3 on the command line)"}
"""What keys of a study are called where they say too little."""

HALF_DONE = re.compile(r"\.([0-9a-f]{12}\.)?\d+\.tmp")
"""Names of what a process is making: a run's folder, or an entry of the results."""


class Results:
    """The folder that a sweep writes to.

    Args:
        place: existing or not.
        kept: words for what a failed write leaves, with a comma after them; see ``store.refused``.
    """

    def __init__(self, place: Path, kept: str = "") -> None:
        self.place, self.kept = place, kept

    @contextmanager
    def claimed(self, study: StudyConfig) -> Iterator[None]:
        """Make it the study's, or find that it is, and nobody else's meanwhile; what is half done goes, first and last.

        Raises:
            OutputError: it belongs to another study or to something else, is in use, or can hold no results.
            WriteError: a write failed.
        """
        plain = study.model_dump(mode="json")
        if self.place.is_symlink() and not self.place.exists():
            rule = "is a link to nothing, results need a folder, choose another with --out"
            raise OutputError(f"{self.place}: {rule}")
        with self._told(self.kept if self.place.is_dir() else ""):
            if self.place.exists():
                self._refuse(plain)
            (self.place / "runs").mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._sweep_up()
            self.put(RESOLVED, lambda path: store.write_yaml(plain, path))
            if study.module.endswith(".py"):
                self.put(Path(study.module).name, lambda path: shutil.copyfile(study.module, path))
            yield
            self._sweep_up()

    @contextmanager
    def _told(self, kept: str | None = None) -> Iterator[None]:
        """Failed writes within are reported in one line, with words for what is kept; none = those of the folder."""
        try:
            yield
        except OSError as error:
            raise store.refused(error, self.place, self.kept if kept is None else kept) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The system frees the folder when the process ends, however it does. On Windows there is no such lock."""
        if sys.platform == "win32":
            yield
            return
        import fcntl

        with self._told():
            number = os.open(self.place, os.O_RDONLY)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                rule = "another sweep writes to it, wait for that or choose another folder with --out"
                raise OutputError(f"{self.place}: {rule}") from error
            yield
        finally:
            os.close(number)

    def _refuse(self, plain: dict[str, Any]) -> None:
        if not self.place.is_dir():
            raise OutputError(f"{self.place}: is a file, results need a folder, choose another with --out")
        held = {path.name for path in self.place.iterdir() if not self._is_beginning(path)}
        if not held:
            return
        if RESOLVED not in held:
            raise OutputError(f"{self.place}: holds no {RESOLVED}, hence no study's results, choose another with --out")
        other = self._resolved()
        if not other.get("name"):
            rule = "is no study, restore it or choose another folder with --out"
            raise OutputError(f"{self.place / RESOLVED}: {rule}")
        if other["name"] != plain["name"]:
            rule = f"holds results of the study {other.get('name')!r}, not of {plain['name']!r}"
            raise OutputError(f"{self.place}: {rule}, choose another folder with --out")
        differ = [key for key in plain if key not in GROWS and other.get(key) != plain[key]]
        if differ:
            told = ", ".join(WORDS.get(key, key) for key in differ)
            rule = f"holds results of {plain['name']!r} with other values of {told}"
            raise OutputError(f"{self.place}: {rule}, choose another folder with --out")

    def _is_beginning(self, path: Path) -> bool:
        """Whether an entry is of a sweep that was ended before it wrote whose folder this is."""
        unused = path.name == "runs" and path.is_dir() and not any(path.iterdir())
        return unused or re.fullmatch(r"\.\d+\.tmp", path.name) is not None

    def _resolved(self) -> dict[str, Any]:
        try:
            found = read_yaml(self.place / RESOLVED)
        except (ConfigError, OSError) as error:
            told = f"{self.place / RESOLVED}: cannot be read, restore it or choose another folder with --out"
            raise OutputError(told) from error
        return found if isinstance(found, dict) else {}

    def _sweep_up(self) -> None:
        """Remove what processes that were ended from outside left half done, and links where tracebacks are written."""
        failed = self.place / store.FAILED
        with self._told():
            for path in [*self.place.glob("runs/.*.tmp"), *self.place.glob(".*.tmp")]:
                if not HALF_DONE.fullmatch(path.name):
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            for path in [failed, *failed.glob("*")]:
                if path.is_symlink():  # what it leads to is no part of the results
                    path.unlink()

    def forget(self, failed: Collection[str]) -> None:
        """Remove tracebacks but those of these runs."""
        folder = self.place / store.FAILED
        with self._told():
            for path in folder.glob("*.txt"):
                if path.stem not in failed:
                    path.unlink()
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def put(self, name: str, make: Callable[[Path], object]) -> None:
        """A file or folder that is the old one or the new one at any moment, but for an instant between.

        Args:
            name: of the entry.
            make: writes it, at another path.
        """
        final, draft = self.place / name, self.place / f".{os.getpid()}.tmp"
        try:
            with self._told():
                draft.mkdir(exist_ok=True)
                make(draft / name)
                if final.is_dir():
                    _replace_folder(draft / name, final, draft / f".{name}.old")
                else:
                    os.replace(draft / name, final)
                shutil.rmtree(draft)
        finally:
            if draft.exists():  # the entry failed, or an interrupt came
                shutil.rmtree(draft, ignore_errors=True)


def _replace_folder(new: Path, final: Path, old: Path) -> None:
    """Put a folder in the place of another, which stays if that fails."""
    os.replace(final, old)
    try:
        os.replace(new, final)
    except OSError:
        os.replace(old, final)
        raise
