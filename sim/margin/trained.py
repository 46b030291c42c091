"""Trained models on disk: arrays only, read without running anything that a file may hold."""

import hashlib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import ConfigError
from sim.margin.features import NAMES
from sim.margin.forest import Forest

FORMAT = "deleverage forest 1"
PURPOSE = ("level", "every", "horizon")
ARRAYS = Forest._fields
NODES = ("feature", "threshold", "missing_left", "left", "right", "value")
WHOLE = {"feature": np.int64, "left": np.int64, "right": np.int64, "roots": np.int64, "missing_left": np.bool_}
LARGEST = 64_000_000
"""Bytes of a file unpacked; a thousand trees take less than one million."""

REMEDY = "name a file that deleverage train wrote"


def digest_of(path: str) -> str:
    """SHA-256 of a file, hex digits.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(f"trained: {path}: cannot be read ({error.strerror}), {REMEDY}") from error


def read_trained(path: str, purpose: tuple[float, float, float]) -> Forest:
    """A model written by ``deleverage train``.

    Args:
        path: an ``.npz`` file.
        purpose: level, spacing of returns and horizon that it will be used for (share, s, s).

    Raises:
        ConfigError: no such file, not a model, other features, or trained for another purpose.
    """
    where = f"requirement.trained: {path}"
    try:
        held = _arrays(Path(path))
    except Exception as error:  # a stranger's bytes: LZMAError, TokenError and OverflowError are not the last of them
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"{where}: cannot be read ({told}), {REMEDY}"]) from error
    if str(held.get("format")) != FORMAT or not {*ARRAYS, *PURPOSE, "names"} <= set(held):
        raise ConfigError([f"{where}: is no trained model, {REMEDY}"])
    names = tuple(str(name) for name in np.ravel(held["names"]))
    if names != NAMES:
        odd = ", ".join(sorted(set(names) ^ set(NAMES))) or "another order"
        raise ConfigError([f"{where}: was trained on other features ({odd}), train it again"])
    if problem := _broken(held):
        raise ConfigError([f"{where}: its trees are broken ({problem}), train it again"])
    was = tuple(float(held[name]) for name in PURPOSE)
    if was != purpose:
        unlike = [place for place, (a, b) in enumerate(zip(was, purpose, strict=True)) if a != b]
        told = ", and ".join(f"{PURPOSE[place]} {was[place]:g}, not {purpose[place]:g}" for place in unlike)
        same = " and ".join(f"{PURPOSE[place]} to {was[place]:.12g}" for place in unlike)
        again = ", or train it again" if was[1] == purpose[1] else ""  # a series is always of days
        raise ConfigError([f"{where}: was trained for {told}: set {same}{again}"])
    return Forest(**{name: _value(held[name], WHOLE.get(name)) for name in ARRAYS})


def _arrays(path: Path) -> "dict[str, np.ndarray[Any, Any]]":
    """Arrays of numbers by name. A pickle inside is refused, not opened, and so is what would swell."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > LARGEST:
        raise ValueError(f"{size:,} bytes unpacked, at most {LARGEST:,} are read")
    with warnings.catch_warnings(), np.load(path, allow_pickle=False) as stored:
        warnings.simplefilter("error")  # of headers that no numpy of today writes
        return {name: stored[name] for name in stored.files}


def _value(array: "np.ndarray[Any, Any]", kind: type | None) -> Any:
    return float(array) if array.ndim == 0 else array.astype(kind or np.float64)


def _broken(held: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """What is wrong with the trees; nothing if every descent ends at a finite leaf."""
    scalars, edges = (*PURPOSE, "base"), ("low", "high")
    if any(held[name].dtype.kind not in "iufb" for name in (*ARRAYS, *PURPOSE)):
        return "not all are numbers"
    if any(held[name].ndim != (name not in scalars) for name in (*ARRAYS, *PURPOSE)):
        return "shapes"
    count = held["feature"].size
    if any(held[name].size != count for name in NODES) or any(held[name].size != len(NAMES) for name in edges):
        return "lengths"
    if any(held[name].dtype.kind not in "iub" for name in WHOLE):
        return "places are not whole"
    with np.errstate(over="ignore"):
        total = np.abs(held["value"], dtype=np.float64).sum() + np.abs(held["base"])  # no descent adds up to more
    if not np.isfinite(total) or np.isnan(held["threshold"]).any():
        return "values are not finite"
    if any(np.isnan(held[name]).any() for name in edges):
        return "ranges are unknown"
    feature, roots, place = held["feature"], held["roots"], np.arange(count)
    inner = feature >= 0
    ahead = (held["left"] > place) & (held["right"] > place) & (np.maximum(held["left"], held["right"]) < count)
    rooted = roots.size and roots.min() >= 0 and roots.max() < count
    if not ((ahead | ~inner).all() and feature.max(initial=-1) < len(NAMES) and rooted):
        return "children and roots"
    return ""


def write_trained(path: Path, forest: Forest, purpose: tuple[float, float, float]) -> None:
    """The same, to disk; bytes depend on the model alone."""
    columns = {name: np.asarray(getattr(forest, name)) for name in ARRAYS}
    about = dict(zip(PURPOSE, map(np.float64, purpose), strict=True))
    arrays: dict[str, Any] = {"format": np.array(FORMAT), "names": np.array(NAMES), **columns, **about}
    np.savez(path, **arrays)
