"""Who would be liquidated next: the liquidation profile, and R, which says whether a fall feeds itself (LIQ-7)."""

from typing import NamedTuple, Protocol

import numpy as np

from sim.types import B1, F8, I8, Exposure, Risk

MOVES = {
    "fall_5": -0.05,
    "fall_2": -0.02,
    "fall_1": -0.01,
    "fall_half": -0.005,
    "rise_half": 0.005,
    "rise_1": 0.01,
    "rise_2": 0.02,
    "rise_5": 0.05,
}
"""Moves of one mark, shares, by name."""


class Assessor(Protocol):
    """The margin engine, as far as the profile needs it."""

    def assess(self, book: Exposure) -> Risk:
        """Equity, initial and maintenance of each account."""
        ...


class Profile(NamedTuple):
    """What moves of each of a pool's K marks, one at a time, would liquidate."""

    at_risk: F8  # (K, moves) notional in that instrument of accounts below maintenance, at the mark, numeraire
    next_fall: I8  # (K,) lots long of accounts that a fall of 1% takes below maintenance


def profile(engine: Assessor, book: Exposure, counted: B1) -> Profile:
    """Assess the book with one mark moved and the others held, once for each instrument and move.

    Accounts below maintenance already count in ``at_risk`` of every move, but not in ``next_fall``.

    Args:
        engine: judges as in the market; it learns nothing here.
        book: all A accounts of a pool.
        counted: (A,) those that margin rules bind.
    """
    count = book.position.shape[1]
    at_risk, next_fall = np.zeros((count, len(MOVES))), np.zeros(count, dtype=np.int64)
    for k in range(count):
        held = book.take(np.flatnonzero(counted & (book.position[:, k] != 0)))
        notional, long = np.abs(held.value()[:, k]), np.maximum(held.position[:, k], 0)
        under = [engine.assess(_moved(held, k, move)).liquidatable for move in MOVES.values()]
        at_risk[k] = [notional[below].sum() for below in under]
        fresh = under[list(MOVES).index("fall_1")] & ~engine.assess(held).liquidatable
        next_fall[k] = long[fresh].sum()
    return Profile(at_risk, next_fall)


def feedback(next_fall: I8, bids: I8) -> F8:
    """R(1%): lots that the next fall of 1% liquidates over lots bid within 1% of the mark; NaN if nobody bids.

    From R = 1 on a fall feeds itself on an even grid of liquidation prices and a linear book.
    """
    return np.divide(next_fall, bids, out=np.full(next_fall.size, np.nan), where=bids > 0)


def _moved(book: Exposure, instrument: int, move: float) -> Exposure:
    """The same accounts with one mark moved, whole ticks."""
    mark = book.market.mark.copy()
    mark[instrument] = np.rint(mark[instrument] * (1 + move))
    return book._replace(market=book.market._replace(mark=mark))
