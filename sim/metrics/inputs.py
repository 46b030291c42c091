"""What a measure needs of frames, and what to say of those that lack it."""

from collections.abc import Mapping, Sequence

import pandas as pd

from sim.errors import DataError, did_you_mean


def require(frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Sequence[str]], what: str) -> None:
    """Refuse frames of which some, or some of their columns, are missing, as those of an older version are.

    Args:
        frames: by name.
        columns: the frames that are needed, and their columns.
        what: the measure, for the message.

    Raises:
        DataError: one line for each frame that is missing or lacks columns.
    """
    problems = []
    for name, needed in columns.items():
        if name not in frames:
            problems.append(f"{name}: no such frame, {what} needs it{_again(name, frames)}")
        elif missing := [column for column in needed if column not in frames[name]]:
            near = did_you_mean(missing[0], frames[name].columns.astype(str)) if len(missing) == 1 else ""
            told = ", ".join(map(repr, missing))
            problems.append(f"{name}: no column {told}{near}, {what} needs it, make the run again with this version")
    if problems:
        raise DataError(*problems)


def _again(name: str, frames: Mapping[str, pd.DataFrame]) -> str:
    return did_you_mean(name, frames) or ", make the run again with this version"
