"""Results on disk: deterministic Parquet and JSON, in a folder that appears whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import yaml

from sim.errors import OutputError

FAILED = "failed"
"""Subfolder of tracebacks; a folder that holds nothing else is no result yet."""


def canonical(value: Any) -> str:
    """JSON of plain data with one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_hash(config: Mapping[str, Any], version: str, digests: Mapping[str, str]) -> str:
    """12 hex digits that differ whenever a run's results may: configuration with seed, code version, data."""
    text = canonical({"config": config, "version": version, "data": dict(digests)})
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

    def __enter__(self) -> Self:
        """Make the temporary folder."""
        self._refuse()
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise OutputError(f"{self.final}: {reason}, choose another folder with --out") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove it, if it has not become the result."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def commit(self) -> None:
        """Put the folder in its place, keeping the tracebacks of earlier failures.

        Raises:
            OutputError: the place was taken or closed meanwhile; the finished result is kept beside it, and named.
        """
        try:
            self._refuse()
            self._replace()
        except (OSError, OutputError) as error:
            kept = self.folder.with_name(f"{self.final.name}.{os.getpid()}.kept")
            os.replace(self.folder, kept)
            raise OutputError(f"{error}; the finished result is kept in {kept}") from error

    def _replace(self) -> None:
        old = self.folder.with_suffix(".old")
        shutil.rmtree(old, ignore_errors=True)
        if self.final.exists():
            if (self.final / FAILED).is_dir():
                shutil.copytree(self.final / FAILED, self.folder / FAILED)
            os.replace(self.final, old)
        os.replace(self.folder, self.final)
        shutil.rmtree(old, ignore_errors=True)

    def fail(self, name: str, text: str) -> Path:
        """Keep a traceback in the final folder's ``failed/``."""
        folder = self.final / FAILED
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.txt"
        path.write_text(text, encoding="utf-8")
        return path

    def _refuse(self) -> None:
        if self.final.is_symlink() and not self.final.exists():
            raise OutputError(f"{self.final}: is a link to nothing, results need a folder, choose another with --out")
        if not self.final.exists():
            return
        if not self.final.is_dir():
            raise OutputError(f"{self.final}: is a file, results need a folder, choose another with --out")
        held = {path.name for path in self.final.iterdir()} - {FAILED}
        if held and not self.overwrite:
            raise OutputError(f"{self.final}: exists, results are never replaced silently, add --overwrite or --out")
        if held and "manifest.json" not in held:
            raise OutputError(
                f"{self.final}: is no result folder (no manifest.json), it will not be replaced, use --out"
            )


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
    pyarrow.parquet.write_table(table, path, compression="zstd", compression_level=3)


def frame_of(content: bytes) -> pd.DataFrame:
    """The frame in a Parquet file's bytes; ``pandas.read_parquet`` looks for a data set first, which takes longer.

    Raises:
        ValueError: these are no Parquet file's bytes.
    """
    return pyarrow.parquet.ParquetFile(pa.BufferReader(content)).read(use_threads=False).to_pandas()


def write_json(value: Any, path: Path) -> None:
    """Readable JSON with sorted keys."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def write_yaml(value: Any, path: Path) -> None:
    """YAML in the order of the schema; the loader reads it back as it was."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def _canonical_column(column: "pd.Series[Any]") -> Any:
    """As Arrow has it: negative zero becomes zero; NaN is null in Parquet whatever its payload."""
    floats = isinstance(column.dtype, np.dtype) and np.issubdtype(column.dtype, np.floating)
    return pa.array(column.to_numpy() + 0.0 if floats else column, from_pandas=True)
