"""What a measure needs of frames, and what to say of those that lack it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from sim.errors import DataError, did_you_mean, not_one_of

WORDS = frozenset({"venue", "instrument", "population", "kind"})
"""Columns of names; all others are of numbers."""

AGAIN = "make the run again with this version"


def require_instrument(frames: Mapping[str, pd.DataFrame], instrument: str) -> None:
    """Refuse an instrument that a run does not have.

    Raises:
        ValueError: no step is of it.
    """
    known = list(dict.fromkeys(frames["steps"]["instrument"]))
    if instrument not in known:
        raise ValueError(f"instrument: {not_one_of(instrument, known)}")


def require(
    frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Sequence[str]], what: str, *, gaps: bool = True
) -> None:
    """Refuse frames of which some, or some of their columns, are missing or hold no numbers, as an older version's.

    Args:
        frames: by name.
        columns: the frames that are needed, and their columns.
        what: the measure, for the message.
        gaps: whether a number may be nan or infinite, as where a book has no bid.

    Raises:
        DataError: one line for each frame that is missing, lacks columns or has other things in them than numbers.
    """
    found = ((name, _lacking(name, needed, frames, gaps)) for name, needed in columns.items())
    if problems := [f"{name}: {lacks[0]}, {what} needs {lacks[1]}" for name, lacks in found if lacks]:
        raise DataError(*problems)


def _lacking(
    name: str, needed: Sequence[str], frames: Mapping[str, pd.DataFrame], gaps: bool
) -> tuple[str, str] | None:
    """What is wrong with a frame, and what is asked of it; none where nothing is."""
    if name not in frames:
        return "no such frame", "it" + (did_you_mean(name, frames) or f", {AGAIN}")
    frame = frames[name]
    if missing := [column for column in needed if column not in frame]:
        near = did_you_mean(missing[0], frame.columns.astype(str)) if len(missing) == 1 else ""
        return f"no column {', '.join(map(repr, missing))}{near}", f"it, {AGAIN}"
    numbers = [column for column in needed if column not in WORDS]
    if strange := [f"{column!r} ({frame[column].dtype})" for column in numbers if not is_numeric_dtype(frame[column])]:
        return f"no numbers in {', '.join(strange)}", f"them, {AGAIN}"
    empty = [] if gaps else [repr(column) for column in numbers if not np.isfinite(frame[column]).all()]
    return (f"nan or infinite in {', '.join(empty)}", f"every number, {AGAIN}") if empty else None
