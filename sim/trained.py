"""Trained models on disk: arrays only, read without running anything that a file may hold."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import ConfigError
from sim.margin.features import NAMES
from sim.margin.forest import Forest

FORMAT = "deleverage forest 1"
PURPOSE = ("level", "every", "horizon")
ARRAYS = Forest._fields


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
        with np.load(Path(path), allow_pickle=False) as stored:  # a pickle inside is refused, not opened
            held = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError([f"{where}: cannot be read ({told}), name a file that deleverage train wrote"]) from error
    if str(held.get("format")) != FORMAT or not set(ARRAYS) <= set(held):
        raise ConfigError([f"{where}: is no trained model, name a file that deleverage train wrote"])
    names = tuple(str(name) for name in held["names"])
    if names != NAMES:
        odd = ", ".join(sorted(set(names) ^ set(NAMES))) or "another order"
        raise ConfigError([f"{where}: was trained on other features ({odd}), train it again"])
    was = tuple(float(held[name]) for name in PURPOSE)
    if was != purpose:
        told = ", ".join(f"{name} {a:g} not {b:g}" for name, a, b in zip(PURPOSE, was, purpose, strict=True) if a != b)
        raise ConfigError([f"{where}: was trained for {told}, set the same or train it again"])
    return _checked(where, Forest(**{name: _value(held[name]) for name in ARRAYS}))


def _value(array: "np.ndarray[Any, Any]") -> Any:
    return array.item() if array.ndim == 0 else array


def _checked(where: str, forest: Forest) -> Forest:
    """Children lie further on in the arrays, so that every descent ends; features exist."""
    place = np.arange(forest.feature.size)
    inner = forest.feature >= 0
    ahead = (forest.left > place) & (forest.right > place) & (np.maximum(forest.left, forest.right) < place.size)
    roots = forest.roots.size and forest.roots.min() >= 0 and forest.roots.max() < place.size
    if not ((ahead | ~inner).all() and forest.feature.max(initial=-1) < len(NAMES) and roots):
        raise ConfigError([f"{where}: its trees are broken, train it again"])
    return forest


def write_trained(path: Path, forest: Forest, purpose: tuple[float, float, float]) -> None:
    """The same, to disk; bytes depend on the model alone."""
    columns = {name: np.asarray(getattr(forest, name)) for name in ARRAYS}
    about = dict(zip(PURPOSE, map(np.float64, purpose), strict=True))
    arrays: dict[str, Any] = {"format": np.array(FORMAT), "names": np.array(NAMES), **columns, **about}
    np.savez(path, **arrays)
