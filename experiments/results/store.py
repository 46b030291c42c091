"""Results on disk: deterministic Parquet and JSON, in a folder that is written atomically."""

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

from sim.errors import OutputError, escape_unprintable
from sim.types import F8

FAILED = "failed"
"""Subfolder of tracebacks; a folder with nothing else is not yet a result."""


FINISHED = "the finished result"
RUNS_KEPT = "all finished runs are kept, "
"""Texts on the files kept after a failed write."""

WRONG_PLACE_ERRORS = {
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL),
}
"""Errors of a path that can never hold results; others, such as a full disk, may pass."""


FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of cells that spreadsheets run as formulas (OWASP, CSV injection)."""


class WriteError(OSError):
    """The system refused a write, such as on a full disk; the text is one line for the user."""


def translate_os_error(
    error: OSError, place: Path, kept: str = "", option: str = "--out"
) -> WriteError | OutputError:
    """Return the error to raise for a failed write.

    Args:
        error: error from the system.
        place: file or folder to be written.
        kept: text on the files that are kept, with a final comma; empty if none are.
        option: command option that names another place.
    """
    if isinstance(error, WriteError):
        return error
    reason = escape_unprintable(error.strerror or str(error) or type(error).__name__)
    path = escape_unprintable(str(error.filename or place))
    message = f"{path}: cannot be written ({reason})"
    if error.errno in WRONG_PLACE_ERRORS and not kept:
        return OutputError(f"{message}, choose another with {option}")
    room = "make room or " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
    return WriteError(
        f"{message}, {kept}{room}choose another place with {option}, "
        "then start the same command again"
    )


def dump_canonical_json(value: Any) -> str:
    """Return plain data as JSON in one canonical form: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_config(config: Mapping[str, Any], code: str, digests: Mapping[str, str]) -> str:
    """Return 12 hex digits that differ whenever the results of runs may differ.

    Args:
        config: resolved configuration with its seed.
        code: digest of the code of the run, see ``identity.describe_code``.
        digests: digests of the replayed data, by underlying.
    """
    text = dump_canonical_json({"config": config, "code": code, "data": dict(digests)})
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class ResultDraft:
    """Result folder under construction, beside its final path under a temporary name.

    It is a context manager. A draft that was not committed is removed on exit.

    Args:
        final: path of the result.
        overwrite: True to replace an existing result.

    Raises:
        OutputError: a result exists already, or the path cannot be written.
    """

    def __init__(self, final: Path, *, overwrite: bool = False) -> None:
        self.final = final
        self.overwrite = overwrite
        if final.name in ("", ".."):
            raise OutputError(
                f"{final}: is no new folder, results need one of their own, name it with --out"
            )
        self.folder = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        self._is_kept = False

    def __enter__(self) -> Self:
        """Create the temporary folder."""
        try:
            self._check_place()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        except OSError as error:  # without the temporary name, which the user does not need
            raise translate_os_error(OSError(error.errno, error.strerror), self.final) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the folder unless it was committed.

        After a failed write, the files written before are kept beside the final path.

        Raises:
            WriteError: a write failed.
        """
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise translate_os_error(error, self.final, self.keep_partial()) from error
        if not self._is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def commit(self) -> None:
        """Move the folder to its final path, with the tracebacks of earlier failures.

        Raises:
            OutputError: the path was occupied or closed meanwhile. The finished result is kept
                beside it, and named.
            WriteError: the system refuses the move. The finished result is kept likewise.
        """
        try:
            self._check_place()
            self._replace_final()
        except OutputError as error:
            raise OutputError(
                f"{error}; {self.keep_partial(FINISHED)}".removesuffix(", ")
            ) from error
        except OSError as error:
            raise translate_os_error(error, self.final, self.keep_partial(FINISHED)) from error

    def _replace_final(self) -> None:
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

    def keep_partial(self, what: str = "what was written") -> str:
        """Rename the folder permanently, and return a text on it; empty if no file was written."""
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

    def write_traceback(self, name: str, text: str) -> Path:
        """Write a traceback to ``failed/`` in the final folder.

        Raises:
            WriteError: the file cannot be written.
        """
        folder = self.final / FAILED
        path = folder / f"{name}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_text(text, path)
        except OSError as error:
            raise translate_os_error(error, path) from error
        return path

    def _check_place(self) -> None:
        if self.final.is_symlink() and not self.final.exists():
            raise OutputError(
                f"{self.final}: is a link to nothing, results need a folder, "
                "choose another with --out"
            )
        if not self.final.exists():
            return
        if not self.final.is_dir():
            raise OutputError(
                f"{self.final}: is a file, results need a folder, choose another with --out"
            )
        held = {path.name for path in self.final.iterdir()} - {FAILED}
        if held and "manifest.json" not in held:
            rule = "holds other things than a result (no manifest.json), it will not be replaced"
            raise OutputError(f"{self.final}: {rule}, name another folder with --out")
        if held and not self.overwrite:
            rule = "exists, results are never replaced silently"
            raise OutputError(
                f"{self.final}: {rule}, add --overwrite or name another folder with --out"
            )


@contextmanager
def remove_if_failed(*paths: Path) -> Iterator[None]:
    """Remove files whose writing failed."""
    try:
        yield
    except OSError:
        for path in paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def write_frame(frame: pd.DataFrame, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a Parquet file whose bytes depend on the frame and metadata alone.

    Missing numbers are null.

    Args:
        frame: tidy columns; the index is dropped.
        path: file to write.
        metadata: key-value metadata of the file, with the units of the columns, instead of
            those of pandas.
    """
    columns = {name: _canonical_column(column) for name, column in _copy_bare(frame).items()}
    units = {"units": json.dumps(frame.attrs["units"])} if "units" in frame.attrs else {}
    table = pa.table(columns, metadata=dict(sorted((units | dict(metadata)).items())))
    encoded = pa.BufferOutputStream()  # one write of the whole file is faster than many
    pyarrow.parquet.write_table(table, encoded, compression="zstd", compression_level=3)
    with remove_if_failed(path):
        path.write_bytes(encoded.getvalue())


def decode_frame(content: bytes) -> pd.DataFrame:
    """Return the frame in the bytes of a Parquet file.

    ``pandas.read_parquet`` is slower, because it looks for a data set first.

    Raises:
        ValueError: the bytes are not those of a Parquet file.
    """
    return pyarrow.parquet.ParquetFile(pa.BufferReader(content)).read(use_threads=False).to_pandas()


def restore_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame as ``decode_frame`` reads it from the file of ``write_frame``.

    Its columns share memory with those of the given frame where they are equal.
    """
    restored = _copy_bare(frame)
    restored.index = pd.RangeIndex(len(frame))
    for place, (_, column) in enumerate(restored.items()):
        if _is_float(column) and _has_negative_zero(column.to_numpy()):
            restored.isetitem(place, column.to_numpy() + 0.0)
        elif column.dtype == "datetime64[s]":  # Parquet has no unit above a millisecond
            restored.isetitem(place, column.to_numpy().astype("datetime64[ms]"))
    return restored


def _copy_bare(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of the same columns without ``attrs``, which pandas copies with each column.

    No data are copied.
    """
    bare = frame.copy(deep=False)
    bare.attrs = {}
    return bare


def _has_negative_zero(values: F8) -> bool:
    return bool(np.signbit(values[values == 0]).any())


def write_text(text: str, path: Path) -> None:
    """Write a text file with the same line ends on every system.

    Raises:
        OutputError: the path is a pipe, which would wait for a reader. Pipes of the shell, below
            /dev and /proc, have one.
        OSError: the system refuses.
    """
    if path.is_fifo() and path.parts[:2] not in (("/", "dev"), ("/", "proc")):
        rule = (
            "is a pipe, which waits for a reader, name a file with --out, "
            "or leave it out and use > in the shell"
        )
        raise OutputError(f"{path}: {rule}")
    with remove_if_failed(path):
        path.write_text(text, encoding="utf-8", newline="\n")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a tidy CSV file.

    Text that a spreadsheet would run as a formula gets a leading apostrophe. Numbers do not
    change.
    """
    safe = table.copy(deep=False)
    for place, (_, column) in enumerate(table.items()):
        if _holds_text(column) and any(
            isinstance(cell, str) and _is_formula(cell) for cell in column
        ):
            safe.isetitem(
                place, np.array([*map(_without_formula, column), None], dtype=object)[:-1]
            )
    safe.columns = pd.Index(list(map(_without_formula, table.columns)), dtype=object)
    with remove_if_failed(path):
        safe.to_csv(path.absolute(), index=False, lineterminator="\n")


def read_config_hash(content: bytes) -> str:
    """Return the configuration hash in a Parquet file; empty if there is none.

    Raises:
        ValueError: the bytes are not those of a Parquet file.
    """
    held = pyarrow.parquet.read_schema(pa.BufferReader(content)).metadata or {}
    return str(held.get(b"config_hash", b"").decode(errors="replace"))


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder, by its path in the folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def write_json(value: Any, path: Path) -> None:
    """Write readable JSON with sorted keys."""
    write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", path)


def write_yaml(value: Any, path: Path) -> None:
    """Write YAML in the order of the schema; the loader reads back the same values."""
    write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), path)


def _holds_text(column: "pd.Series[Any]") -> bool:
    return not (
        pd.api.types.is_numeric_dtype(column.dtype)
        or pd.api.types.is_datetime64_any_dtype(column.dtype)
    )


def _is_formula(text: str) -> bool:
    """Return True if a spreadsheet may run a cell; the text of a number is harmless."""
    if not text.startswith(FORMULA_PREFIXES):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return text[0].isspace()


def _without_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _is_formula(cell) else cell


def _canonical_column(column: "pd.Series[Any]") -> Any:
    """Return a column as an Arrow array, with zero for negative zero and null for NaN."""
    if not isinstance(column.dtype, np.dtype) or column.dtype.kind not in "biuf":
        return pa.array(column, from_pandas=True)
    values = column.to_numpy()
    return pa.array(values + 0.0 if _is_float(column) else values, from_pandas=True)


def _is_float(column: "pd.Series[Any]") -> bool:
    return isinstance(column.dtype, np.dtype) and np.issubdtype(column.dtype, np.floating)
