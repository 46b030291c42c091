"""Reading and comparison of cases; no formula is known here."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Case = dict[str, Any]
Engine = Callable[[Case], Case]
"""From a case's inputs to every key that it expects."""


def load(folder: Path) -> tuple[list[Case], dict[str, Any]]:
    """All cases of a folder's files, and the parameter blocks by id."""
    entries = [
        entry
        for file in sorted(folder.glob("*.json"))
        for entry in json.loads(file.read_text("utf-8"))
    ]
    blocks = {
        entry["id"]: entry["inputs"] for entry in entries if entry["id"].startswith("params:")
    }
    return [entry for entry in entries if entry["id"] not in blocks], blocks


def resolve(value: Any, blocks: dict[str, Any]) -> Any:
    """Inputs with references to parameter blocks replaced by what they stand for."""
    if isinstance(value, dict):
        return {key: resolve(item, blocks) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, blocks) for item in value]
    if isinstance(value, str) and value.startswith("params:"):
        return resolve(blocks[value], blocks)
    return value


def without_misprints(expected: Case) -> Case:
    """Drop ``X_printed`` where a case gives ``X_correct`` beside it: the source misprints X."""
    wrong = {key for key in expected if key.endswith("_printed") and _corrected(key) in expected}
    return {key: value for key, value in expected.items() if key not in wrong}


def _corrected(key: str) -> str:
    return key.removesuffix("_printed") + "_correct"


def without_dust(expected: Any) -> Any:
    """Set numbers below the rounding of the case's largest to zero: some sources print theirs."""
    return _dusted(expected, 1e-15 * max(_sizes(expected), default=0.0))


def _sizes(value: Any) -> Iterator[float]:
    if isinstance(value, (dict, list)):
        yield from (
            size
            for item in (value.values() if isinstance(value, dict) else value)
            for size in _sizes(item)
        )
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield abs(value)


def _dusted(value: Any, dust: float) -> Any:
    if isinstance(value, dict):
        return {key: _dusted(item, dust) for key, item in value.items()}
    if isinstance(value, list):
        return [_dusted(item, dust) for item in value]
    return 0.0 if isinstance(value, float) and abs(value) <= dust else value


def differences(got: Any, expected: Any, tolerance: Case | None, where: str) -> list[str]:
    """Return one line per value outside its tolerance; a relative one is absolute at zero."""
    if isinstance(expected, dict):
        lacking = [f"{where}.{key}: not computed" for key in expected if key not in got]
        keys = [key for key in expected if key in got]
        return lacking + [
            line
            for key in keys
            for line in differences(got[key], expected[key], tolerance, f"{where}.{key}")
        ]
    if isinstance(expected, list):
        if len(got) != len(expected):
            return [f"{where}: {len(got)} entries, expected {len(expected)}"]
        pairs = enumerate(zip(got, expected, strict=True))
        return [
            line for i, (a, b) in pairs for line in differences(a, b, tolerance, f"{where}[{i}]")
        ]
    return (
        []
        if agrees(got, expected, tolerance)
        else [f"{where}: {got!r}, expected {expected!r} within {tolerance}"]
    )


def agrees(got: Any, expected: Any, tolerance: Case | None) -> bool:
    """Return true if a value is within tolerance; without one, text and truth must be equal."""
    exact = tolerance is None or isinstance(expected, (str, bool)) or expected is None
    if exact:
        return bool(got == expected)
    assert tolerance is not None
    scale = (abs(expected) or 1.0) if tolerance["type"] == "rel" else 1.0
    return (
        got is not None and math.isfinite(got) and abs(got - expected) <= tolerance["value"] * scale
    )
