"""One small class per kind of user error. Each message names the value, the rule and the remedy."""

import difflib
import json
from collections.abc import Iterable
from typing import Any


class DeleverageError(Exception):
    """Root of the errors a user can cause; the command line prints them without a traceback.

    Args:
        lines: one for each problem. What does not print, such as a line break in a name, is escaped, and the middle
            of a line that no terminal would show whole is left out.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(_shortened(printable(line)) for line in lines))


class ConfigError(DeleverageError):
    """A configuration that breaks one or more rules.

    Args:
        problems: one line each, ``path: value, rule, remedy``.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__(*problems)
        self.problems = problems


class DataError(DeleverageError):
    """Replay data that is missing, empty, unsorted or not a number."""


class OutputError(DeleverageError):
    """A result folder that exists already or cannot be written."""


class SettingWarning(UserWarning):
    """A valid setting that a user should know of: it does not act in a run, or not as expected."""


class LearningWarning(SettingWarning):
    """A run that ends before a margin engine has learnt what it asks by."""


class DataNote(SettingWarning):
    """What a user should know of the prices that runs replay: gaps, splits, adjustments."""


class ConservationError(DeleverageError):
    """A posting that does not balance: a defect of the code, never of the input."""


def printable(line: str) -> str:
    """One line, whatever a user put into it: what does not print is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


LINE = 1600
"""Longest line of a message."""


def _shortened(line: str) -> str:
    return line if len(line) <= LINE else f"{line[: LINE // 2]} ... {line[-LINE // 2 :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` or nothing."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def not_one_of(value: Any, known: Iterable[str]) -> str:
    """``'y' is not one of x, z`` with a suggestion: what to say of a name that nothing has."""
    names = list(known)
    if not names:
        return f"{shown(value)} is not declared, and nothing else is either, declare it or remove it"
    return f"{shown(value)} is not one of {', '.join(names)}{did_you_mean(str(value), names) or ', use one of them'}"


def brief(name: str) -> str:
    """A name that a user gave, as it is told; of one that is longer than any file's the beginning."""
    return (name if len(name) <= 300 else name[:297] + "...") or "''"


def shown(value: Any) -> str:
    """A value as a user would recognise it, short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = "nothing" if value is None else json.dumps(value) if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
