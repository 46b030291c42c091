"""Check of the paths that a study varies: reserved and overwritten paths are refused."""

import re
from collections.abc import Iterator, Sequence

from experiments.sweep.config import StudyConfig
from experiments.sweep.designs import LabelledValue, StudyAxis
from sim.errors import ConfigError
from sim.reading.overrides import APPEND

RESERVED_KEYS = {
    "seed": "a sweep sets it by itself in every replication, remove it; the study's seeds: is the "
    "number of replications (or --seeds), its seed: is the first",
    "quick": "--quick of a run has no part in a sweep, remove it and name the changes themselves",
    "name": "it is a name and changes nothing in a run, remove it and label values of the axis "
    "instead",
    "description": "it is a text and changes nothing in a run, remove it",
}
"""First keys of a configuration that no change of a study may name."""


def check_paths(study: StudyConfig) -> None:
    """Refuse changes that would have no effect.

    Raises:
        ConfigError: with one line for each problem.
    """
    problems = [
        f"{where}: {path!r}, {RESERVED_KEYS[first]}"
        for where, path in _named_paths(study)
        if (first := _reserved_key(path))
    ]
    problems += _overwritten_changes(study)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _reserved_key(path: str) -> str:
    """Return the reserved key with which a path begins; empty if there is none."""
    first = path.partition(".")[0]
    return first if first in RESERVED_KEYS else ""


def _named_paths(study: StudyConfig) -> Iterator[tuple[str, str]]:
    """Yield where a study names a change, and the path that it changes."""
    yield from (("overrides", path) for path in study.overrides)
    yield from (("changes", change.partition("=")[0]) for change in study.also)
    for axis in study.axes:
        yield from ((f"axes.{axis.name}.paths", path) for path in axis.paths)
        for value in axis.values:
            if isinstance(value, LabelledValue):
                yield from ((f"axes.{axis.name}: {value.label}", path) for path in value.set)
    for role, also in study.roles.items():
        yield from ((f"roles.{role}", path) for path in also)


def _overwritten_changes(study: StudyConfig) -> Iterator[str]:
    """Yield a message for each change that every value of an axis overwrites."""
    always = [(axis, path) for axis in study.axes for path in _always_set(axis)]
    before = [("overrides", path) for path in study.overrides]
    before += [("changes", change.partition("=")[0]) for change in study.also]
    for where, path in before:
        for axis, over in always:
            if _is_overwriting(over, path):
                rule = f"the axis {axis.name} sets {over!r} in every run, remove one of the two"
                yield f"{where}: {path!r}, has no effect: {rule}"
    for number, axis in enumerate(study.axes):
        for path in _ever_set(axis):
            for later, over in always:
                if study.axes.index(later) > number and _is_overwriting(over, path):
                    rule = (
                        f"the axis {later.name} sets {over!r} afterwards, "
                        "remove one of the two or exchange the axes"
                    )
                    yield f"axes.{axis.name}: {path!r}, has no effect: {rule}"


def _always_set(axis: StudyAxis) -> Sequence[str]:
    """Return the paths that every value of an axis sets."""
    path_sets = [
        set(value.set) if isinstance(value, LabelledValue) else set(axis.paths)
        for value in axis.values
    ]
    return sorted(set.intersection(*path_sets)) if path_sets else sorted(axis.paths)


def _ever_set(axis: StudyAxis) -> Sequence[str]:
    """Return the paths that some value of an axis sets."""
    labelled = {
        path for value in axis.values if isinstance(value, LabelledValue) for path in value.set
    }
    return sorted(labelled | set(axis.paths))


def _is_overwriting(over: str, path: str) -> bool:
    """Return True if setting one path replaces the other: it is the same place, or above it.

    An appended item replaces nothing.
    """
    if over.endswith(APPEND):
        return False
    one, other = over.split("."), path.removesuffix(APPEND).split(".")
    alike = (a in ("*", b) for a, b in zip(one, other, strict=False))
    return len(one) <= len(other) and all(alike)


LEVERAGE_ORDER = re.compile(
    r"(.*\.(?:tiers|instruments\.[^ ]+)): max_leverage (\S+) at floor \S+ is more than the (\S+) "
    r"before it: (lower it)"
)
"""Message about two tiers in the wrong order: ladder, their highest leverage, and the remedy."""


def name_other_tier(line: str, changes: Sequence[tuple[str, object]]) -> str:
    """Return a message with a remedy on the tier that a setting leaves unchanged.

    A setting that changes one tier of a ladder may break the order of the tiers. The message is
    returned as it is if it is about something else.

    Args:
        line: problem of a configuration.
        changes: what the setting changes, (dotted path, value).
    """
    found = LEVERAGE_ORDER.fullmatch(line)
    if not found:
        return line
    ladder, above, below, remedy = found.groups()
    tiers = {int(number): value for number, value in _tier_changes(ladder, changes)}
    for number, value in tiers.items():
        if f"{value:g}" == below and number + 1 not in tiers:
            other = f"let the axis lower {ladder}.{number + 1}.max_leverage to {below} or less too"
            return line.removesuffix(remedy) + other
        if f"{value:g}" == above and number and number - 1 not in tiers:
            other = f"let the axis raise {ladder}.{number - 1}.max_leverage to {above} or more too"
            return line.removesuffix(remedy) + other
    return line


def _tier_changes(
    ladder: str, changes: Sequence[tuple[str, object]]
) -> Iterator[tuple[str, int | float]]:
    """Yield the number and the highest leverage of each tier of a ladder that is changed."""
    parts = ladder.split(".")
    for path, value in changes:
        *above, number, key = path.split(".") if path.count(".") > 1 else ["", "", ""]
        is_same = len(above) == len(parts) and all(
            a in ("*", b) for a, b in zip(above, parts, strict=True)
        )
        is_tier = is_same and key == "max_leverage" and number.isdecimal()
        if is_tier and isinstance(value, int | float):
            yield number, value
