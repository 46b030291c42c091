"""Results on disk: deterministic Parquet and JSON, in a folder that appears whole or not at all."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import yaml

from sim.errors import OutputError, printable

FAILED = "failed"
"""Subfolder of tracebacks; a folder that holds nothing else is no result yet."""


FINISHED = "the finished result"
RUNS_KEPT = "all finished runs are kept, "
"""Words for what a failed write leaves."""

WRONG_PLACE = {
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
}
"""What the system answers to a path that can never hold results; all else, such as a full disk, may pass."""


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of cells that spreadsheets run as formulas, or skip before one (OWASP, CSV injection)."""


class WriteError(OSError):
    """A write that the system refused: a full disk, a read-only folder. Its text is one line for the user."""


def refused(error: OSError, place: Path, kept: str = "", option: str = "--out") -> WriteError | OutputError:
    """Return what to raise in place of a failed write.

    Args:
        error: from the system.
        place: file or folder that was to be written.
        kept: words for what is kept meanwhile, with a comma after them; empty if nothing is.
        option: that names another place.
    """
    if isinstance(error, WriteError):
        return error
    reason = printable(error.strerror or str(error) or type(error).__name__)
    told = f"{printable(str(error.filename or place))}: cannot be written ({reason})"
    if error.errno in WRONG_PLACE and not kept:
        return OutputError(f"{told}, choose another with {option}")
    room = "make room or " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
    return WriteError(f"{told}, {kept}{room}choose another place with {option}, then start the same command again")


def canonical(value: Any) -> str:
    """JSON of plain data with one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_hash(config: Mapping[str, Any], code: str, digests: Mapping[str, str]) -> str:
    """12 hex digits that differ whenever a run's results may.

    Args:
        config: resolved, with its seed.
        code: digest of the code that makes the run, see ``identity.facts``.
        digests: of the data that it replays, by underlying.
    """
    text = canonical({"config": config, "code": code, "data": dict(digests)})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Draft:
    """A result folder under construction, beside its final place under a temporary name.

    Used as a context; what was not committed by its end is removed.

    Args:
        final: where the result goes.
        overwrite: whether a result that is there already may be replaced.

    Raises:
        OutputError: a result is there already, or the place cannot be written.
    """

    def __init__(self, final: Path, *, overwrite: bool = False) -> None:
        self.final = final
        self.overwrite = overwrite
        if final.name in ("", ".."):
            raise OutputError(f"{final}: is no new folder, results need one of their own, name it with --out")
        self.folder = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        self._is_kept = False

    def __enter__(self) -> Self:
        """Make the temporary folder."""
        try:
            self._refuse()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        except OSError as error:  # the temporary name means nothing to the user
            raise refused(OSError(error.errno, error.strerror), self.final) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove it, if it has not become the result; what was written before a write failed is kept beside it.

        Raises:
            WriteError: a write failed.
        """
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise refused(error, self.final, self.keep()) from error
        if not self._is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def commit(self) -> None:
        """Put the folder in its place, keeping the tracebacks of earlier failures.

        Raises:
            OutputError: the place was taken or closed meanwhile; the finished result is kept beside it, and named.
            WriteError: the system refuses; likewise.
        """
        try:
            self._refuse()
            self._replace()
        except OutputError as error:
            raise OutputError(f"{error}; {self.keep(FINISHED)}".removesuffix(", ")) from error
        except OSError as error:
            raise refused(error, self.final, self.keep(FINISHED)) from error

    def _replace(self) -> None:
        old = self.folder.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        if self.final.exists():
            if (self.final / FAILED).is_dir():
                shutil.copytree(self.final / FAILED, self.folder / FAILED)
            os.replace(self.final, old)
        try:
            os.replace(self.folder, self.final)
        except OSError:
            if old.exists():
                os.replace(old, self.final)
            raise
        shutil.rmtree(old, ignore_errors=True)

    def keep(self, what: str = "what was written") -> str:
        """Move the folder to a name that lasts, and return words for it; none if nothing was written."""
        if not any(path.is_file() for path in self.folder.rglob("*")):
            return ""
        kept = self.folder.with_name(f"{self.final.name}.{os.getpid()}.kept")
        try:
            shutil.rmtree(kept, ignore_errors=True)
            os.replace(self.folder, kept)
        except OSError:
            kept = self.folder
        self._is_kept = True
        return f"{what} is kept in {kept}, "

    def fail(self, name: str, text: str) -> Path:
        """Keep a traceback in the final folder's ``failed/``.

        Raises:
            WriteError: it cannot be written.
        """
        folder = self.final / FAILED
        path = folder / f"{name}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_text(text, path)
        except OSError as error:
            raise refused(error, path) from error
        return path

    def _refuse(self) -> None:
        if self.final.is_symlink() and not self.final.exists():
            raise OutputError(f"{self.final}: is a link to nothing, results need a folder, choose another with --out")
        if not self.final.exists():
            return
        if not self.final.is_dir():
            raise OutputError(f"{self.final}: is a file, results need a folder, choose another with --out")
        held = {path.name for path in self.final.iterdir()} - {FAILED}
        if held and "manifest.json" not in held:
            told = "holds other things than a result (no manifest.json), it will not be replaced"
            raise OutputError(f"{self.final}: {told}, name another folder with --out")
        if held and not self.overwrite:
            told = "exists, results are never replaced silently"
            raise OutputError(f"{self.final}: {told}, add --overwrite or name another folder with --out")


@contextmanager
def whole(*paths: Path) -> Iterator[None]:
    """Remove files whose writing failed halfway."""
    try:
        yield
    except OSError:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def write_frame(frame: pd.DataFrame, path: Path, metadata: Mapping[str, str]) -> None:
    """One Parquet file whose bytes depend on the frame and metadata alone. Missing numbers are null.

    Args:
        frame: tidy columns; the index is dropped.
        path: file to write.
        metadata: goes into the file's key-value metadata in place of pandas's own, beside the units of the columns.
    """
    columns = {name: _canonical_column(column) for name, column in frame.items()}
    units = {"units": json.dumps(frame.attrs["units"])} if "units" in frame.attrs else {}
    table = pa.table(columns, metadata=dict(sorted((units | dict(metadata)).items())))
    with whole(path):
        pyarrow.parquet.write_table(table, path.absolute(), compression="zstd", compression_level=3)


def frame_of(content: bytes) -> pd.DataFrame:
    """The frame in a Parquet file's bytes; ``pandas.read_parquet`` looks for a data set first, which takes longer.

    Raises:
        ValueError: these are no Parquet file's bytes.
    """
    return pyarrow.parquet.ParquetFile(pa.BufferReader(content)).read(use_threads=False).to_pandas()


def write_text(text: str, path: Path) -> None:
    """A text file with one kind of line end on every system.

    Raises:
        OutputError: the path is a pipe, which would wait for a reader; those of the shell below /dev have one.
        OSError: the system refuses.
    """
    if path.is_fifo() and path.parts[:2] not in (("/", "dev"), ("/", "proc")):
        rule = "is a pipe, which waits for a reader, name a file with --out, or leave it out and use > in the shell"
        raise OutputError(f"{path}: {rule}")
    with whole(path):
        path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Tidy CSV. Text that a spreadsheet would run as a formula begins with an apostrophe; numbers stay as they are."""
    safe = table.copy(deep=False)
    for place, (_, column) in enumerate(table.items()):
        if _holds_text(column) and any(isinstance(cell, str) and _is_formula(cell) for cell in column):
            safe.isetitem(place, np.array([*map(_without_formula, column), None], dtype=object)[:-1])
    safe.columns = pd.Index(list(map(_without_formula, table.columns)), dtype=object)
    with whole(path):
        safe.to_csv(path.absolute(), index=False, lineterminator="\n")


def hash_in(content: bytes) -> str:
    """The configuration's hash that a Parquet file carries; empty if it carries none.

    Raises:
        ValueError: these are no Parquet file's bytes.
    """
    held = pyarrow.parquet.read_schema(pa.BufferReader(content)).metadata or {}
    return str(held.get(b"config_hash", b"").decode(errors="replace"))


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder, by its path in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def write_json(value: Any, path: Path) -> None:
    """Readable JSON with sorted keys."""
    write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", path)


def write_yaml(value: Any, path: Path) -> None:
    """YAML in the order of the schema; the loader reads it back as it was."""
    write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), path)


def _holds_text(column: "pd.Series[Any]") -> bool:
    return not (pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype))


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a cell; a text that is a number cannot do anything."""
    if not text.startswith(FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text[0].isspace()


def _without_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell


def _canonical_column(column: "pd.Series[Any]") -> Any:
    """As Arrow has it: negative zero becomes zero; NaN is null in Parquet whatever its payload."""
    floats = isinstance(column.dtype, np.dtype) and np.issubdtype(column.dtype, np.floating)
    return pa.array(column.to_numpy() + 0.0 if floats else column, from_pandas=True)
