"""What was recorded of venues, one row per step and venue."""

from collections.abc import Mapping, Sequence

import pandas as pd


def select_venues(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the frame ``venues`` of a run.

    Results of earlier versions have its columns in ``steps``, repeated on the row of every instrument of a venue; then
    the first of these rows is taken.
    """
    return (
        frames["venues"]
        if "venues" in frames
        else frames["steps"].drop_duplicates(["step", "venue"])
    )


def join_venue(
    rows: pd.DataFrame, frames: Mapping[str, pd.DataFrame], columns: Sequence[str]
) -> pd.DataFrame:
    """Return rows of one instrument with what was recorded of its venue at the same steps.

    Args:
        rows: of one instrument in ``steps``, or with its columns ``step`` and ``venue``.
        frames: of the run.
        columns: of ``venues``.
    """
    if "venues" not in frames:
        return rows
    told = frames["venues"][["step", "venue", *columns]]
    return rows.merge(told, on=["step", "venue"], how="left", validate="many_to_one").set_axis(
        rows.index
    )
