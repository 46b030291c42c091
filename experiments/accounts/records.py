"""Records of a run that began with a table of accounts: notices, and names of owners."""

from typing import Any

import numpy as np
import pandas as pd

from sim.accounts.opening import list_notices
from sim.market import Market


def describe_opening(market: Market) -> tuple[str, ...]:
    """Return a line for the table, each imbalance and the accounts below maintenance, if any."""
    book = market.state.opening_book
    if book is None:
        return ()
    lots = {each.name: each.lot for venue in market.config.venues for each in venue.instruments}
    return tuple(list_notices(book, lots, market.minor_units))


def summarise_opening(market: Market) -> dict[str, Any]:
    """Return the entry of ``summary.json`` about the opening accounts; empty without a table."""
    book = market.state.opening_book
    if book is None:
        return {}
    return {
        "accounts": {
            "file": book.source,
            "digest": book.digest,
            "owners": len(book.names),
            "liquidatable": book.counts.liquidatable,
            "bankrupt": book.counts.bankrupt,
            "imbalances": [each._asdict() for each in book.imbalances],
        }
    }


def build_owner_frame(market: Market) -> pd.DataFrame | None:
    """Return the number of each owner of the table in other frames, or None without a table.

    Columns: owner (number), name (as in the table, empty for counterparties), population (name).
    """
    book = market.state.opening_book
    if book is None:
        return None
    owners = np.concatenate([book.owners, book.counterparties])
    names = [*book.names, *[""] * book.counterparties.size]
    starts = np.array([members.start for members in market.member_slices])
    place = np.searchsorted(starts, owners, side="right") - 1
    populations = np.array([population.name for population in market.populations])[place]
    return pd.DataFrame({"owner": owners, "name": names, "population": populations})
