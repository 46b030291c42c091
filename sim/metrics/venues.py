"""Selection of recorded data of venues, one row per step and venue."""

from collections.abc import Mapping, Sequence

import pandas as pd


def select_venues(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the frame ``venues`` of a run.

    Results of earlier versions have its columns in ``steps``, repeated for every instrument of a
    venue; the first of these rows is used.
    """
    return (
        frames["venues"]
        if "venues" in frames
        else frames["steps"].drop_duplicates(["step", "venue"])
    )


def join_venue(
    rows: pd.DataFrame, frames: Mapping[str, pd.DataFrame], columns: Sequence[str]
) -> pd.DataFrame:
    """Return rows of one instrument with its venue's data at the same steps.

    Args:
        rows: rows of one instrument in ``steps``, or with its columns ``step`` and ``venue``.
        frames: frames of the run.
        columns: columns of ``venues``.
    """
    if "venues" not in frames:
        return rows
    venues = frames["venues"][["step", "venue", *columns]]
    joined = rows.merge(venues, on=["step", "venue"], how="left", validate="many_to_one")
    return joined.set_axis(rows.index)
