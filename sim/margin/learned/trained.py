"""Trained models on disk: arrays only, read without executing any content of the file."""

import hashlib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import ConfigError
from sim.margin.learned.features import FEATURE_NAMES
from sim.margin.learned.forest import Forest

FORMAT = "deleverage forest 1"
PURPOSE = ("level", "every", "horizon")
ARRAYS = Forest._fields
NODE_ARRAYS = ("feature", "threshold", "missing_left", "left", "right", "value")
RANGE_ARRAYS = ("low", "high")
INTEGER_TYPES = {
    "feature": np.int64,
    "left": np.int64,
    "right": np.int64,
    "roots": np.int64,
    "missing_left": np.bool_,
}
MAX_BYTES = 64_000_000
"""Upper bound on the unpacked bytes of a file; a thousand trees take less than one million."""

REMEDY = "name a file that deleverage train wrote"


def compute_digest(path: str) -> str:
    """Return the SHA-256 of a file, hex digits.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ValueError(
            f"model_file: {path}: cannot be read ({error.strerror}), {REMEDY}"
        ) from error


def read_trained_forest(path: str, purpose: tuple[float, float, float]) -> Forest:
    """Return a model written by ``deleverage train``.

    Args:
        path: an ``.npz`` file.
        purpose: level, spacing of returns and horizon of its use (share, s, s).

    Raises:
        ConfigError: no such file, not a model, other features, or trained for another purpose.
    """
    where = f"requirement.model_file: {path}"
    try:
        arrays = _read_arrays(Path(path))
    except Exception as error:  # unknown bytes raise many types: LZMAError, TokenError and others
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"{where}: cannot be read ({message}), {REMEDY}"]) from error
    if problem := _find_format_error(arrays) or _find_purpose_error(arrays, purpose):
        raise ConfigError([f"{where}: {problem}"])
    return Forest(
        **{name: _convert_array(arrays[name], INTEGER_TYPES.get(name)) for name in ARRAYS}
    )


def _find_format_error(arrays: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """Return the reason and the remedy if arrays are no usable model; empty if they are."""
    is_model = str(arrays.get("format")) == FORMAT and {*ARRAYS, *PURPOSE, "names"} <= set(arrays)
    if not is_model:
        return f"is no trained model, {REMEDY}"
    names = tuple(str(name) for name in np.ravel(arrays["names"]))
    if names != FEATURE_NAMES:
        difference = ", ".join(sorted(set(names) ^ set(FEATURE_NAMES))) or "another order"
        return f"was trained on other features ({difference}), train it again"
    if problem := _find_tree_error(arrays):
        return f"its trees are broken ({problem}), train it again"
    return ""


def _find_purpose_error(
    arrays: "Mapping[str, np.ndarray[Any, Any]]", purpose: tuple[float, float, float]
) -> str:
    """Return the reason and the remedy if a model has another purpose; empty if it has not."""
    trained_for = [float(arrays[name]) for name in PURPOSE]
    differences = {
        name: (trained, required)
        for name, trained, required in zip(PURPOSE, trained_for, purpose, strict=True)
        if trained != required
    }
    if not differences:
        return ""
    reason = ", and ".join(
        f"{name} {trained:g}, not {required:g}" for name, (trained, required) in differences.items()
    )
    setting = " and ".join(
        f"{name} to {trained:.12g}" for name, (trained, _) in differences.items()
    )
    # training on a series always takes days, so it cannot yield another spacing
    retrain = "" if "every" in differences else ", or train it again"
    return f"was trained for {reason}: set {setting}{retrain}"


def _read_arrays(path: Path) -> "dict[str, np.ndarray[Any, Any]]":
    """Return arrays of numbers by name.

    A pickle inside is refused, not opened, and so is a file that is too large unpacked.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes unpacked, at most {MAX_BYTES:,} are read")
    with warnings.catch_warnings(), np.load(path, allow_pickle=False) as stored:
        warnings.simplefilter("error")  # warnings about headers that no present numpy writes
        return {name: stored[name] for name in stored.files}


def _convert_array(array: "np.ndarray[Any, Any]", kind: type | None) -> Any:
    return float(array) if array.ndim == 0 else array.astype(kind or np.float64)


def _find_tree_error(arrays: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """Return the error of the trees; empty if every descent ends at a finite leaf."""
    return _find_array_error(arrays) or _find_value_error(arrays) or _find_link_error(arrays)


def _find_array_error(arrays: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """Return the first error in types and shapes of the arrays; empty if there is none."""
    names, scalars = (*ARRAYS, *PURPOSE), (*PURPOSE, "base")
    if any(arrays[name].dtype.kind not in "iufb" for name in names):
        return "not all are numbers"
    n_dimensions = {name: 0 if name in scalars else 1 for name in names}
    if any(arrays[name].ndim != n_dimensions[name] for name in names):
        return "shapes"
    n_nodes, n_features = arrays["feature"].size, len(FEATURE_NAMES)
    sizes = dict.fromkeys(NODE_ARRAYS, n_nodes) | dict.fromkeys(RANGE_ARRAYS, n_features)
    if any(arrays[name].size != size for name, size in sizes.items()):
        return "lengths"
    if any(arrays[name].dtype.kind not in "iub" for name in INTEGER_TYPES):
        return "places are not whole"
    return ""


def _find_value_error(arrays: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """Return the first error in values, thresholds and ranges; empty if there is none."""
    with np.errstate(over="ignore"):
        # no descent adds up to more than this sum
        bound = np.abs(arrays["value"], dtype=np.float64).sum() + np.abs(arrays["base"])
    if not np.isfinite(bound) or np.isnan(arrays["threshold"]).any():
        return "values are not finite"
    if any(np.isnan(arrays[name]).any() for name in RANGE_ARRAYS):
        return "ranges are unknown"
    return ""


def _find_link_error(arrays: "Mapping[str, np.ndarray[Any, Any]]") -> str:
    """Return an error if children or roots are out of place; empty if every descent ends."""
    feature, left, right, roots = (arrays[name] for name in ("feature", "left", "right", "roots"))
    place = np.arange(feature.size)
    is_leaf = feature < 0
    is_after_parent = (left > place) & (right > place)
    is_inside = np.maximum(left, right) < feature.size
    has_valid_children = (is_leaf | (is_after_parent & is_inside)).all()
    has_valid_features = feature.max(initial=-1) < len(FEATURE_NAMES)
    has_valid_roots = roots.size and roots.min() >= 0 and roots.max() < feature.size
    if has_valid_children and has_valid_features and has_valid_roots:
        return ""
    return "children and roots"


def write_trained_forest(path: Path, forest: Forest, purpose: tuple[float, float, float]) -> None:
    """Write a model to disk; the bytes depend on the model alone."""
    columns = {name: np.asarray(getattr(forest, name)) for name in ARRAYS}
    about = dict(zip(PURPOSE, map(np.float64, purpose), strict=True))
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "names": np.array(FEATURE_NAMES),
        **columns,
        **about,
    }
    np.savez(path, **arrays)
