"""Liquidation profile, and the feedback ratio R of a fall in the mark (LIQ-7)."""

from typing import NamedTuple

import numpy as np

from sim.protocols import Assessor
from sim.types import B1, F8, I8, Exposure

MARK_MOVES = (-0.1, -0.05, -0.03, -0.02, -0.01, -0.005, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
"""Relative moves of one mark."""

FEEDBACK_MOVE = MARK_MOVES.index(-0.01)
"""Index of the move of ``feedback``, a fall of 1%."""


class LiquidationProfile(NamedTuple):
    """Accounts that moves of each of a pool's K marks, one at a time, would liquidate."""

    # (K, moves) notional of accounts below maintenance, at the mark, minor units of the numeraire
    at_risk: F8
    # (K, moves) lots of accounts newly below maintenance: long in a fall, short in a rise
    fresh: I8


def compute_profile(engine: Assessor, accounts: Exposure, counted: B1) -> LiquidationProfile:
    """Assess the accounts with one mark moved and others held, for each instrument and move.

    Accounts below maintenance already count in ``at_risk`` of every move, but not in ``fresh``.

    Args:
        engine: margin engine of the pool; it does not learn here.
        accounts: all A accounts of a pool.
        counted: (A,) accounts that margin rules apply to.
    """
    shape = (accounts.position.shape[1], len(MARK_MOVES))
    at_risk, fresh = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    for k in range(shape[0]):
        rows = np.flatnonzero(counted & (accounts.position[:, k] != 0))
        if not rows.size:
            continue
        held = accounts.take(rows)
        notional, lots = np.abs(held.position_value()[:, k]), held.position[:, k]
        safe = ~engine.assess(held).liquidatable
        for place, move in enumerate(MARK_MOVES):
            under = engine.assess(_shift_mark(held, k, move)).liquidatable
            at_risk[k, place] = notional[under].sum()
            fresh[k, place] = np.maximum(-np.sign(move) * lots[under & safe], 0).sum()
    return LiquidationProfile(at_risk, fresh)


def compute_feedback(fresh: I8, resting: I8) -> F8:
    """Return R: lots that a move liquidates over lots resting in its way; NaN without any.

    At R >= 1 a fall is self-sustaining if liquidation prices are evenly spaced and the order book
    is linear.
    """
    return np.divide(fresh, resting, out=np.full(fresh.shape, np.nan), where=resting > 0)


def _shift_mark(accounts: Exposure, instrument: int, move: float) -> Exposure:
    """Return the same accounts with one mark moved, in whole ticks."""
    mark = accounts.market.mark.copy()
    mark[instrument] = np.rint(mark[instrument] * (1 + move))
    return accounts._replace(market=accounts.market._replace(mark=mark))
