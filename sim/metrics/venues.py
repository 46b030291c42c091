"""Selection of recorded data of venues, one row per step and venue."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sim.types import I8, MISSING


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
    venues = frames["venues"]
    place = _find_rows(rows, venues)
    return rows.assign(
        **{
            name: pd.api.extensions.take(venues[name].to_numpy(), place, allow_fill=True)
            for name in columns
        }
    )


def _find_rows(rows: pd.DataFrame, venues: pd.DataFrame) -> I8:
    """Return the row of ``venues`` at the step and venue of each row; MISSING if it has none."""
    number, names = pd.factorize(venues["venue"])
    wanted = names.get_indexer(pd.Index(rows["venue"]))
    known = pd.Index(venues["step"].to_numpy() * len(names) + number)
    place = known.get_indexer(pd.Index(rows["step"].to_numpy() * len(names) + wanted))
    return np.where(wanted == MISSING, MISSING, place)
