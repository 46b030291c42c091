"""Exceptions and warnings for users. Each message names the value, the rule and the remedy."""

import difflib
import json
import traceback
from collections.abc import Iterable
from typing import Any


class DeleverageError(Exception):
    """Base class of errors that users can cause; the command line prints them without a traceback.

    Args:
        lines: one for each problem. Unprintable characters, such as a line break in a name, are
            escaped. The middle of a very long line is left out.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(_shorten_line(escape_unprintable(line)) for line in lines))


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
    """A run that ends before a margin engine has learnt its parameters."""


class DataWarning(SettingWarning):
    """Gaps, splits or adjustments in replayed prices that a user should know of."""


class ConservationError(DeleverageError):
    """A posting that does not balance: a defect of the code, not of the input."""


def escape_unprintable(line: str) -> str:
    """Return one line with unprintable characters escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


MAX_LINE_LENGTH = 1600
"""Largest length of a line in a message."""


def _shorten_line(line: str) -> str:
    return (
        line
        if len(line) <= MAX_LINE_LENGTH
        else f"{line[: MAX_LINE_LENGTH // 2]} ... {line[-MAX_LINE_LENGTH // 2 :]}"
    )


def describe_exception(error: BaseException, file: str = "") -> str:
    """Return what a user's own code raised, in words, with its place.

    Args:
        error: what was raised.
        file: path of the code whose last line under way is the place; empty = the line that raised.
    """
    text = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    if isinstance(error, SyntaxError):
        line = "" if error.lineno is None else f":{error.lineno}"
        return f"SyntaxError: {error.msg}, {error.filename}{line}" if error.filename else text
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or list(frames)
    return f"{text}, {own[-1].filename}:{own[-1].lineno}" if own else text


def suggest_name(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)``, or an empty string without a similar name.

    A word that several similar names begin with is answered with all of these.
    """
    near = difflib.get_close_matches(str(word), list(known), n=3)
    completions = [name for name in near if name.startswith(str(word))]
    named = completions if near[:1] == completions[:1] else near[:1]
    return f" (did you mean {' or '.join(map(repr, named))}?)" if named else ""


def describe_unknown(value: Any, known: Iterable[str]) -> str:
    """Return ``'y' is not one of x, z`` with a suggestion, for an unknown name."""
    names, text = list(known), format_value(value)
    if not names:
        return f"{text} is not declared, and nothing else is either, declare it or remove it"
    remedy = suggest_name(str(value), names) or ", use one of them"
    return f"{text} is not one of {', '.join(names)}{remedy}"


def shorten_name(name: str) -> str:
    """Return a user's name as messages show it, with a very long name shortened."""
    return (name if len(name) <= 300 else name[:297] + "...") or "''"


def format_value(value: Any) -> str:
    """Return a short text of a value that a user recognises."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = (
        "nothing"
        if value is None
        else json.dumps(value)
        if isinstance(value, bool)
        else repr(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."
