"""A run's folder as a sweep leaves it: its content carries its name, and any change of it is found."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from experiments.results import identity, store
from sim.metrics.cascades import Frames
from sim.reading.documents import read_json

SUMMARY = "summary.json"

RUN_NAME = re.compile(r"[0-9a-f]{12}\Z")
"""Names of runs."""

FRAME_NAME = re.compile(r"[a-z][a-z0-9_]*\.parquet\Z")
"""Names of a run's frames; no other file is ever opened, so that no name leads out of the folder."""


class DamagedRunError(Exception):
    """A file of a run that is not what was written."""


def is_run_name(name: object) -> bool:
    """Whether a word can be the name of a run."""
    return isinstance(name, str) and RUN_NAME.match(name) is not None


def hash_frames(folder: Path) -> dict[str, str]:
    """SHA-256 of every Parquet file of a run."""
    return {path.name: _sha256(path.read_bytes()) for path in sorted(folder.glob("*.parquet"))}


def seal_summary(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with the digest of its own content."""
    plain = json.loads(json.dumps(summary, allow_nan=False))
    return {**plain, "seal": _summary_digest(plain)}


def _summary_digest(summary: dict[str, Any]) -> str:
    return _sha256(
        store.dump_canonical_json(
            {key: value for key, value in summary.items() if key != "seal"}
        ).encode()
    )


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of a run, which is that of its name.

    Raises:
        Damage: it cannot be read, was changed, or belongs to another run; or the folder is a link.
    """
    path = folder / SUMMARY
    if folder.is_symlink() or path.is_symlink():
        raise DamagedRunError(str(path))
    try:
        found = read_json(path)
        whole = found["seal"] == _summary_digest(found) and derive_run_name(found) == folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRunError(str(path)) from error
    if not whole or not isinstance(found["sha256"], dict) or not found["sha256"]:
        raise DamagedRunError(str(path))
    return found


def derive_run_name(summary: dict[str, Any]) -> str:
    """The name that a run's configuration, code and data give it."""
    return store.hash_config(
        summary["config"], identity.compute_digest(summary["code"]), summary["data"]
    )


def is_unsigned(folder: Path) -> bool:
    """Whether a run is whole but for facts of its code, which builds of 0.2.0 did not record at first."""
    if folder.is_symlink() or (folder / SUMMARY).is_symlink():
        return False
    try:
        found = read_json(folder / SUMMARY)
        named = store.dump_canonical_json(
            {key: found[key] for key in ("config", "version", "data")}
        )
        recorded = {"code", "seal"} & found.keys()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    is_named = _sha256(named.encode())[: len(folder.name)] == folder.name
    return (
        is_named
        and is_run_name(folder.name)
        and not recorded
        and isinstance(found.get("sha256"), dict)
    )


def read_run(folder: Path) -> Frames:
    """The frames of a run, from files that are what was written.

    Raises:
        Damage: the first that is not.
    """
    written = read_summary(folder)["sha256"]
    return {Path(name).stem: _read_frame(folder, name, digest) for name, digest in written.items()}


def find_damaged_files(folder: Path) -> list[str]:
    """Names of all files of a run that are not what was written, and of frames that were not."""
    try:
        written = (read_json(folder / SUMMARY) if is_unsigned(folder) else read_summary(folder))[
            "sha256"
        ]
    except DamagedRunError:
        return [SUMMARY]
    planted = [path.name for path in sorted(folder.glob("*.parquet")) if path.name not in written]
    return [
        name for name, digest in written.items() if _read_verified(folder, name, digest) is None
    ] + planted


def _read_verified(folder: Path, name: str, digest: object) -> bytes | None:
    """The bytes of a frame; none if they are not those that were written."""
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
    """Remove what stands under a run's name; of a link, the link alone."""
    if run.is_symlink() or not run.is_dir():
        run.unlink(missing_ok=True)
    else:
        shutil.rmtree(run)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
