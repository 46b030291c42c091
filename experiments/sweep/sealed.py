"""Sealed folders of runs: the content determines the name, and any change is detected."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from experiments.results import identity, store
from experiments.sweep.folder import UNFINISHED_NAME
from sim.metrics.cascades import Frames
from sim.reading.documents import read_json

SUMMARY = "summary.json"

RUN_NAME = re.compile(r"[0-9a-f]{12}\Z")
"""Names of runs."""

FRAME_NAME = re.compile(r"[a-z][a-z0-9_]*\.parquet\Z")
"""Names of a run's frames; no other file is ever opened, so no name leads out of the folder."""


class DamagedRunError(Exception):
    """Error of a run's file that differs from what was written."""


def is_run_name(name: object) -> bool:
    """Return True if a value can be the name of a run."""
    return isinstance(name, str) and RUN_NAME.match(name) is not None


def hash_frames(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every Parquet file of a run."""
    return {path.name: _sha256(path.read_bytes()) for path in sorted(folder.glob("*.parquet"))}


def seal_summary(summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary with the digest of its own content."""
    plain = json.loads(json.dumps(summary, allow_nan=False))
    return {**plain, "seal": _summary_digest(plain)}


def _summary_digest(summary: dict[str, Any]) -> str:
    return _sha256(
        store.dump_canonical_json(
            {key: value for key, value in summary.items() if key != "seal"}
        ).encode()
    )


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of a run, whose content must match the folder's name.

    Raises:
        DamagedRunError: it cannot be read, was changed, or belongs to another run; or the folder is
            a link.
    """
    path = folder / SUMMARY
    if folder.is_symlink() or path.is_symlink():
        raise DamagedRunError(str(path))
    try:
        summary = read_json(path)
        is_sealed = summary["seal"] == _summary_digest(summary)
        is_whole = is_sealed and derive_run_name(summary) == folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRunError(str(path)) from error
    if not is_whole or not isinstance(summary["sha256"], dict) or not summary["sha256"]:
        raise DamagedRunError(str(path))
    return summary


def derive_run_name(summary: dict[str, Any]) -> str:
    """Return the name that configuration, code and data give a run."""
    return store.hash_config(
        summary["config"], identity.compute_digest(summary["code"]), summary["data"]
    )


def is_unsigned(folder: Path) -> bool:
    """Return True if a run only lacks facts about its code, as in the first builds of 0.2.0."""
    if folder.is_symlink() or (folder / SUMMARY).is_symlink():
        return False
    try:
        summary = read_json(folder / SUMMARY)
        named = store.dump_canonical_json(
            {key: summary[key] for key in ("config", "version", "data")}
        )
        recorded = {"code", "seal"} & summary.keys()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    is_named = _sha256(named.encode())[: len(folder.name)] == folder.name
    return (
        is_named
        and is_run_name(folder.name)
        and not recorded
        and isinstance(summary.get("sha256"), dict)
    )


def read_run(folder: Path) -> Frames:
    """Return the frames of a run after checking its files.

    Raises:
        DamagedRunError: names the first damaged file.
    """
    written = read_summary(folder)["sha256"]
    return {Path(name).stem: _read_frame(folder, name, digest) for name, digest in written.items()}


def find_damaged_files(folder: Path) -> list[str]:
    """Return the names of all changed files of a run, and of frames that were not written by it."""
    try:
        summary = read_json(folder / SUMMARY) if is_unsigned(folder) else read_summary(folder)
        written = summary["sha256"]
    except DamagedRunError:
        return [SUMMARY]
    planted = [path.name for path in sorted(folder.glob("*.parquet")) if path.name not in written]
    changed = [
        name for name, digest in written.items() if _read_verified(folder, name, digest) is None
    ]
    return changed + planted


def list_stray_files(runs: Path) -> list[str]:
    """Return entries among the runs that are not runs, and entries in runs that they did not write.

    Unfinished entries are left out; the next sweep removes them.
    """
    entries = [path for path in sorted(runs.glob("*")) if not UNFINISHED_NAME.fullmatch(path.name)]
    inside = [
        f"{path.name}/{name}"
        for path in entries
        if is_run_name(path.name)
        for name in list_stray_run_files(path)
    ]
    return [*(path.name for path in entries if not is_run_name(path.name)), *inside]


def list_stray_run_files(run: Path) -> list[str]:
    """Return entries of a run other than its summary and frames, which are checked as damage."""
    entries = sorted(run.iterdir()) if run.is_dir() and not run.is_symlink() else []
    return [
        path.name
        for path in entries
        if path.name != SUMMARY and (path.suffix != ".parquet" or path.is_dir())
    ]


def _read_verified(folder: Path, name: str, digest: object) -> bytes | None:
    """Return the bytes of a frame; None if they differ from what was written."""
    if not FRAME_NAME.match(name):
        return None
    path = folder / name
    try:
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    except OSError:
        return None
    return content if content is not None and _sha256(content) == digest else None


def _read_frame(folder: Path, name: str, digest: object) -> pd.DataFrame:
    content = _read_verified(folder, name, digest)
    try:
        if content is not None and store.read_config_hash(content) == folder.name:
            return store.decode_frame(content)
    except (ValueError, OSError, pa.ArrowException) as error:
        raise DamagedRunError(str(folder / name)) from error
    raise DamagedRunError(str(folder / (name if FRAME_NAME.match(name) else SUMMARY)))


def remove_run(run: Path) -> None:
    """Remove the entry of a run's name; of a link, only the link."""
    if run.is_symlink() or not run.is_dir():
        run.unlink(missing_ok=True)
    else:
        shutil.rmtree(run)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
