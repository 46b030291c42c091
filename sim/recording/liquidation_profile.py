"""Who would be liquidated next: the liquidation profile, and R, which says whether a fall feeds itself (LIQ-7)."""

from typing import NamedTuple

import numpy as np

from sim.protocols import Assessor
from sim.types import B1, F8, I8, Exposure

MARK_MOVES = (-0.1, -0.05, -0.03, -0.02, -0.01, -0.005, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
"""Moves of one mark, shares."""

FEEDBACK_MOVE = MARK_MOVES.index(-0.01)
"""The move that ``feedback`` is about."""


class LiquidationProfile(NamedTuple):
    """What moves of each of a pool's K marks, one at a time, would liquidate."""

    at_risk: F8  # (K, moves) notional in that instrument of accounts below maintenance, at the mark, numeraire
    fresh: I8  # (K, moves) lots of accounts that the move takes below maintenance: long ones in a fall, short in a rise


def compute_profile(engine: Assessor, book: Exposure, counted: B1) -> LiquidationProfile:
    """Assess the book with one mark moved and the others held, once for each instrument and move.

    Accounts below maintenance already count in ``at_risk`` of every move, but not in ``fresh``.

    Args:
        engine: judges as in the market; it learns nothing here.
        book: all A accounts of a pool.
        counted: (A,) those that margin rules bind.
    """
    count = book.position.shape[1]
    at_risk, fresh = (
        np.zeros((count, len(MARK_MOVES))),
        np.zeros((count, len(MARK_MOVES)), dtype=np.int64),
    )
    for k in range(count):
        rows = np.flatnonzero(counted & (book.position[:, k] != 0))
        if not rows.size:
            continue
        held = book.take(rows)
        notional, lots = np.abs(held.position_value()[:, k]), held.position[:, k]
        safe = ~engine.assess(held).liquidatable
        for place, move in enumerate(MARK_MOVES):
            under = engine.assess(_shift_mark(held, k, move)).liquidatable
            at_risk[k, place] = notional[under].sum()
            fresh[k, place] = np.maximum(-np.sign(move) * lots[under & safe], 0).sum()
    return LiquidationProfile(at_risk, fresh)


def compute_feedback(fresh: I8, resting: I8) -> F8:
    """R: lots that a move would liquidate over lots that rest on its way; NaN if none do.

    From R = 1 on a fall feeds itself on an even grid of liquidation prices and a linear book.
    """
    return np.divide(fresh, resting, out=np.full(fresh.shape, np.nan), where=resting > 0)


def _shift_mark(book: Exposure, instrument: int, move: float) -> Exposure:
    """The same accounts with one mark moved, whole ticks."""
    mark = book.market.mark.copy()
    mark[instrument] = np.rint(mark[instrument] * (1 + move))
    return book._replace(market=book.market._replace(mark=mark))
