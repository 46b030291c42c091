"""Orders of makers' ladders in the plain step, from the rules of ``agents.compiled.ladders``."""

from typing import NamedTuple

import numpy as np

from agents.compiled import ladders as compiled
from sim.numerics.jit import kernel
from sim.types import F8, I8, Orders


class Ladder(NamedTuple):
    """Shape of all ladders, from the inside out, and the columns that identify their orders."""

    distance: F8  # (levels,) from the fair price, in innermost distances
    share: F8  # (levels + 1,) cumulative share of the depth, from zero
    owner: I8  # (n, m * 2 * levels), as the next three, by instrument, side and level
    instrument: I8
    kind: I8
    slot: I8


class LadderQuotes(NamedTuple):
    """Ladders of some members, r members and m instruments."""

    rows: I8  # (r,) members
    fair: F8  # (r, m) ticks
    half: F8  # (r, m) innermost distance, share of the fair price
    depth: F8  # (r, m, 2) lots of each side, all levels


@kernel
def thin_by_volatility(notional: F8, lot: F8, vol: F8, calm: float, exponent: float) -> F8:
    """Return the lots of one side, (r, m); see ``agents.compiled.ladders.compute_whole_lots``."""
    lots = np.empty((len(notional), lot.size))
    for r in range(len(notional)):
        for m in range(lot.size):
            lots[r, m] = compiled.compute_whole_lots(notional[r, 0], lot[m], vol[m], calm, exponent)
    return lots


@kernel
def compute_side_depths(whole: F8, capital: F8, filled: F8, elsewhere: F8, held: I8) -> F8:
    """Return the lots bid and offered at inventory ``held``, (r, m, 2).

    See ``agents.compiled.ladders.compute_side_lots``.
    """
    members, instruments = held.shape
    lots = np.empty((members, instruments, 2))
    for r in range(members):
        for m in range(instruments):
            for side in range(2):
                lots[r, m, side] = compiled.compute_side_lots(
                    whole[r, m],
                    capital[r, 0],
                    filled[r, m],
                    elsewhere[r, m],
                    held[r, m],
                    1 - 2 * side,
                )
    return lots


def build_orders(quotes: LadderQuotes, ladder: Ladder, highest: I8) -> Orders:
    """Return one order per member, instrument, side and level; zero lots cancel the slot."""
    quantity, limit = _compute_levels(
        quotes.fair, quotes.half, quotes.depth, ladder.distance, ladder.share, highest
    )
    owner, instrument, kind, slot = (column[quotes.rows].reshape(-1) for column in ladder[2:])
    return Orders(
        owner, instrument, quantity.reshape(-1), limit.reshape(-1), kind, slot
    ).fill_leverage()


@kernel
def _compute_levels(
    fair: F8, half: F8, depth: F8, distance: F8, share: F8, highest: I8
) -> tuple[I8, I8]:
    """Return signed lots and limits, (r, m, 2, levels); see ``agents.compiled.ladders``."""
    members, instruments, sides = depth.shape
    quantity = np.empty((members, instruments, sides, distance.size), dtype=np.int64)
    limit = np.empty_like(quantity)
    for r in range(members):
        for m in range(instruments):
            for side in range(sides):
                compiled.fill_levels(
                    fair[r, m],
                    half[r, m],
                    depth[r, m, side],
                    side,
                    distance,
                    share,
                    highest[m],
                    quantity[r, m, side],
                    limit[r, m, side],
                )
    return quantity, limit
