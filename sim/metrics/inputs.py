"""Checks of the frames and columns that a measure requires."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from sim.errors import DataError, describe_unknown, suggest_name

NAME_COLUMNS = frozenset({"venue", "instrument", "population", "kind"})
"""Columns of names; all others hold numbers."""

RERUN_REMEDY = "make the run again with this version"


def require_instrument(frames: Mapping[str, pd.DataFrame], instrument: str) -> None:
    """Check that a run has an instrument.

    Raises:
        ValueError: no step is of this instrument.
    """
    known = list(frames["steps"]["instrument"].unique())
    if instrument not in known:
        raise ValueError(f"instrument: {describe_unknown(instrument, known)}")


def require_columns(
    frames: Mapping[str, pd.DataFrame],
    columns: Mapping[str, Sequence[str]],
    what: str,
    *,
    gaps: bool = True,
) -> None:
    """Check that frames and columns exist and hold numbers; older versions wrote others.

    Args:
        frames: frames by name.
        columns: required frames, and their required columns.
        what: the measure, for the message.
        gaps: True if a number may be nan or infinite, such as the bid of an empty order book.

    Raises:
        DataError: one line for each frame that is missing, lacks columns or holds other data.
    """
    faults = (
        (name, _describe_fault(name, needed, frames, gaps)) for name, needed in columns.items()
    )
    problems = [f"{name}: {fault[0]}, {what} needs {fault[1]}" for name, fault in faults if fault]
    if problems:
        raise DataError(*problems)


def _describe_fault(
    name: str, needed: Sequence[str], frames: Mapping[str, pd.DataFrame], gaps: bool
) -> tuple[str, str] | None:
    """Return what is wrong with a frame and what is required instead, or None."""
    if name not in frames:
        return "no such frame", "it" + (suggest_name(name, frames) or f", {RERUN_REMEDY}")
    frame = frames[name]
    missing = [column for column in needed if column not in frame]
    if missing:
        near = suggest_name(missing[0], frame.columns.astype(str)) if len(missing) == 1 else ""
        return f"no column {', '.join(map(repr, missing))}{near}", f"it, {RERUN_REMEDY}"
    numbers = [column for column in needed if column not in NAME_COLUMNS]
    not_numeric = [
        f"{column!r} ({frame[column].dtype})"
        for column in numbers
        if not is_numeric_dtype(frame[column])
    ]
    if not_numeric:
        return f"no numbers in {', '.join(not_numeric)}", f"them, {RERUN_REMEDY}"
    if gaps:
        return None
    incomplete = [repr(column) for column in numbers if not _is_finite(frame[column])]
    if incomplete:
        return f"nan or infinite in {', '.join(incomplete)}", f"every number, {RERUN_REMEDY}"
    return None


def _is_finite(column: "pd.Series[Any]") -> bool:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biu":
        return True
    return bool(np.isfinite(column.to_numpy(np.float64, na_value=np.nan)).all())
