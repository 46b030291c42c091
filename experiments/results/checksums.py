"""Checksums of the files that a manifest lists, and files that no command wrote."""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from sim.errors import escape_unprintable

MANIFEST = "manifest.json"
"""File with the checksums of all other files; the only one that holds times, paths and machines."""

STRAY = "was not written by deleverage, remove it"

PAGE = "report.html"
"""Report that deleverage report adds to a result later; the manifest does not list it."""


def list_strays(place: Path, files: Mapping[str, str]) -> list[str]:
    """Return files of a result that neither its manifest lists nor a command adds."""
    entries = [path for path in sorted(place.iterdir()) if not path.is_dir() or path.is_symlink()]
    return [path.name for path in entries if path.name not in {MANIFEST, PAGE, *files}]


def check_listed_files(place: Path, files: Mapping[str, str]) -> list[str]:
    """Return the problems of the files that a manifest lists."""
    return [
        f"{escape_unprintable(name)}: {problem}"
        for name, digest in files.items()
        if (problem := _file_problem(place, name, digest))
    ]


def list_missing_checksums(files: Mapping[str, str], needed: tuple[str, ...]) -> list[str]:
    """Return a line for each required file without a checksum."""
    return [f"{name}: {MANIFEST} has no checksum of it" for name in needed if name not in files]


def _file_problem(place: Path, name: str, digest: object) -> str:
    """Return the problem of a file, empty if none; no path outside the folder is read."""
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts or not inner.parts:
        return f"leads out of the folder, {MANIFEST} was changed"
    path = place / inner
    if not path.is_file():
        return "is not there"
    return "" if hash_file(path) == digest else f"differs from its checksum in {MANIFEST}"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
