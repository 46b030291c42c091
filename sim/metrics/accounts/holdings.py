"""Portfolios of a run, by population: positions held, offsets, margin saved by netting."""

import numpy as np
import pandas as pd

from sim.metrics.cascades import Frames

MOMENTS = ("end", "peak", "start")
"""Moments of the frame ``accounts``, in the order in which one is chosen."""

SUMS = ("equity", "initial", "gross", "net", "instruments", "alone")


def tabulate_holdings(frames: Frames, moment: str | None = None) -> pd.DataFrame:
    """Return the portfolios of each population, and of all in the row ``all``.

    An owner's accounts at all venues are taken together, so positions in separate margin accounts
    count as one portfolio, whose offsets save no margin.

    Args:
        frames: frames of one run.
        moment: ``start``, ``peak`` or ``end``; None = the last one recorded.

    Returns:
        Frame with the index ``population`` and these columns. ``owners`` and ``holders`` are counts
        of members and of those with a position. ``several`` is the share of holders with two
        instruments or more. ``gross`` is the absolute value of positions, minor units of the
        numeraire. ``offset`` is the share of it that opposite positions of the same owner offset, 1
        - Σ|net| ÷ Σ gross, whatever the instruments and whether or not the engine nets them.
        ``saved`` is 1 less initial margin over ``alone``, the initial margin of the same positions
        if each were alone, in accounts that hold positions. Both contain the haircut of spot, which
        no engine nets, so it is less than what the requirement itself saves for holders of spot.
        ``alone`` is at the rates of one lot (see ``sim/recording/README.md``): positions beyond the
        first tier of a ladder make ``saved`` negative.
        ``leverage`` is gross value over equity of holders. Shares are NaN where nothing is held.

    Raises:
        ValueError: the moment was not recorded.
    """
    accounts = frames["accounts"]
    recorded = [name for name in MOMENTS if (accounts["moment"] == name).any()]
    chosen = moment or (recorded[0] if recorded else "")
    if chosen not in recorded:
        raise ValueError(f"moment: {chosen!r} was not recorded, take one of {', '.join(recorded)}")
    owners = (
        accounts[accounts["moment"] == chosen]
        .assign(initial=lambda table: table["initial"].where(table["instruments"] > 0, 0))
        .groupby(["population", "owner"], sort=False, as_index=False)[list(SUMS)]
        .sum()
    )
    whole = owners.assign(population="all")
    table = pd.concat([owners, whole]).groupby("population", sort=False)
    return pd.DataFrame({name: _measure(each) for name, each in table}).T


def _measure(owners: pd.DataFrame) -> dict[str, float]:
    """Return the measures of one population, a row for each owner."""
    holders = owners[owners["instruments"] > 0]
    gross, alone = float(holders["gross"].sum()), float(holders["alone"].sum())
    equity = float(holders["equity"].sum())
    return {
        "owners": len(owners),
        "holders": len(holders),
        "several": float((holders["instruments"] > 1).mean()) if len(holders) else np.nan,
        "gross": gross,
        "offset": 1 - float(holders["net"].abs().sum()) / gross if gross else np.nan,
        "saved": 1 - float(holders["initial"].sum()) / alone if alone else np.nan,
        "leverage": gross / equity if equity > 0 else np.nan,
    }
