"""Result folder of one study: its ownership, and its files, which are replaced atomically."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.results import store
from experiments.sweep.config import RESOLVED_STUDY, StudyConfig
from sim.errors import ConfigError, OutputError
from sim.reading.documents import read_yaml

EXTENDABLE_FIELDS = (
    "description",
    "axes",
    "design",
    "seeds",
    "quick",
    "metrics",
    "tables",
    "figures",
    "seconds",
)
"""Keys of a study that may change while results exist, because runs are named by their content."""

WORDS = {
    "also": "also (changes of every run: the study's, --engine and the like, and a.b=3 on the "
    "command line)"
}
"""Longer names of a study's keys for messages."""

UNFINISHED_NAME = re.compile(r"\.([0-9a-f]{12}\.)?\d+\.tmp")
"""Names of unfinished entries: a run's folder, or an entry of the results."""


class ResultFolder:
    """Folder to which a sweep writes.

    Args:
        place: path, existing or not.
        kept: notice of what a failed write leaves behind, followed by a comma; see
            ``store.translate_os_error``.
    """

    def __init__(self, place: Path, kept: str = "") -> None:
        self.path, self.kept_notice = place, kept

    @contextmanager
    def claim(self, study: StudyConfig) -> Iterator[None]:
        """Claim the folder for this study and lock it; delete partial runs on entry and exit.

        Raises:
            OutputError: the folder belongs to another study or to something else, is in use, or
                cannot hold results.
            WriteError: a write failed.
        """
        plain = study.model_dump(mode="json")
        if self.path.is_symlink() and not self.path.exists():
            rule = "is a link to nothing, results need a folder, choose another with --out"
            raise OutputError(f"{self.path}: {rule}")
        with self._report_write_errors(self.kept_notice if self.path.is_dir() else ""):
            if self.path.exists():
                self._refuse_other_results(plain)
            (self.path / "runs").mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._remove_unfinished()
            self.replace_entry(RESOLVED_STUDY, lambda path: store.write_yaml(plain, path))
            if study.module.endswith(".py"):
                self.replace_entry(
                    Path(study.module).name, lambda path: shutil.copyfile(study.module, path)
                )
            yield
            self._remove_unfinished()

    @contextmanager
    def _report_write_errors(self, kept: str | None = None) -> Iterator[None]:
        """Report failed writes on one line with a notice of what is kept; None = the folder's
        notice.
        """
        try:
            yield
        except OSError as error:
            raise store.translate_os_error(
                error, self.path, self.kept_notice if kept is None else kept
            ) from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Lock the folder until the process ends, however it ends. Windows has no such lock."""
        if sys.platform == "win32":
            yield
            return
        import fcntl

        with self._report_write_errors():
            number = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                rule = (
                    "another sweep writes to it, wait for that or choose another folder with --out"
                )
                raise OutputError(f"{self.path}: {rule}") from error
            yield
        finally:
            os.close(number)

    def _refuse_other_results(self, plain: dict[str, Any]) -> None:
        if not self.path.is_dir():
            raise OutputError(
                f"{self.path}: is a file, results need a folder, choose another with --out"
            )
        held = {path.name for path in self.path.iterdir() if not self._is_unstarted_sweep(path)}
        if not held:
            return
        if RESOLVED_STUDY not in held:
            rule = f"holds no {RESOLVED_STUDY}, hence no study's results"
            raise OutputError(f"{self.path}: {rule}, choose another with --out")
        other = self._read_resolved()
        if not other.get("name"):
            rule = "is no study, restore it or choose another folder with --out"
            raise OutputError(f"{self.path / RESOLVED_STUDY}: {rule}")
        if other["name"] != plain["name"]:
            rule = f"holds results of the study {other.get('name')!r}, not of {plain['name']!r}"
            raise OutputError(f"{self.path}: {rule}, choose another folder with --out")
        differ = [
            key for key in plain if key not in EXTENDABLE_FIELDS and other.get(key) != plain[key]
        ]
        if differ:
            names = ", ".join(WORDS.get(key, key) for key in differ)
            rule = f"holds results of {plain['name']!r} with other values of {names}"
            raise OutputError(f"{self.path}: {rule}, choose another folder with --out")

    def _is_unstarted_sweep(self, path: Path) -> bool:
        """Return True for an entry of a sweep that ended before it recorded its study."""
        unused = path.name == "runs" and path.is_dir() and not any(path.iterdir())
        return unused or re.fullmatch(r"\.\d+\.tmp", path.name) is not None

    def _read_resolved(self) -> dict[str, Any]:
        path = self.path / RESOLVED_STUDY
        try:
            content = read_yaml(path)
        except (ConfigError, OSError) as error:
            rule = "cannot be read, restore it or choose another folder with --out"
            raise OutputError(f"{path}: {rule}") from error
        return content if isinstance(content, dict) else {}

    def _remove_unfinished(self) -> None:
        """Remove unfinished entries of ended processes, and links in the folder of tracebacks."""
        failed = self.path / store.FAILED
        with self._report_write_errors():
            for path in [*self.path.glob("runs/.*.tmp"), *self.path.glob(".*.tmp")]:
                if not UNFINISHED_NAME.fullmatch(path.name):
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            for path in [failed, *failed.glob("*")]:
                if path.is_symlink():  # its target is no part of the results
                    path.unlink()

    def remove_tracebacks(self, failed: Collection[str]) -> None:
        """Remove all tracebacks except those of these failed runs."""
        folder = self.path / store.FAILED
        with self._report_write_errors():
            for path in folder.glob("*.txt"):
                if path.stem not in failed:
                    path.unlink()
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def replace_entry(self, name: str, make: Callable[[Path], object]) -> None:
        """Replace a file or folder almost atomically.

        Args:
            name: name of the entry.
            make: function that writes the entry at another path.
        """
        final, draft = self.path / name, self.path / f".{os.getpid()}.tmp"
        try:
            with self._report_write_errors():
                draft.mkdir(exist_ok=True)
                make(draft / name)
                if final.is_dir():
                    _replace_folder(draft / name, final, draft / f".{name}.old")
                else:
                    os.replace(draft / name, final)
                shutil.rmtree(draft)
        finally:
            if draft.exists():  # the entry failed, or an interrupt arrived
                shutil.rmtree(draft, ignore_errors=True)


def _replace_folder(new: Path, final: Path, old: Path) -> None:
    """Replace a folder by another; the old one stays if that fails."""
    os.replace(final, old)
    try:
        os.replace(new, final)
    except OSError:
        os.replace(old, final)
        raise
