"""Recorder of readings: liquidation profiles, resting lots and sums of populations (LIQ-7)."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.numerics.account_sums import sum_notional
from sim.recording.liquidation_profile import (
    FEEDBACK_MOVE,
    MARK_MOVES,
    compute_feedback,
    compute_profile,
)
from sim.state import MarketState
from sim.types import F8, I8

SUM_COLUMNS = ("equity", "initial", "gross", "net_paid_in")
"""Columns of the sums of populations."""


class ProfileTables(NamedTuple):
    """Readings of a run, which the kernels of a compiled step write, too; R readings."""

    n_readings: I8  # (1,) readings so far
    step: I8  # (R,)
    at_risk: F8  # (R, K, moves) minor units of the numeraire
    fresh: I8  # (R, K, moves) lots
    resting: I8  # (R, K, moves) lots
    # (R, V, populations, 4) equity, initial margin, gross notional, net payments from outside
    sums: F8

    @classmethod
    def allocate(cls, market: MarketState, readings: int) -> "ProfileTables":
        """Return tables for a number of readings."""
        shape = (readings, len(market.contracts.names), len(MARK_MOVES))
        return cls(
            n_readings=np.zeros(1, dtype=np.int64),
            step=np.zeros(readings, dtype=np.int64),
            at_risk=np.zeros(shape),
            fresh=np.zeros(shape, dtype=np.int64),
            resting=np.zeros(shape, dtype=np.int64),
            sums=np.zeros(
                (readings, len(market.venues), len(market.populations), len(SUM_COLUMNS))
            ),
        )


class ProfileRecorder:
    """Recorder of the frames ``profile`` and ``populations`` of one market.

    Args:
        market: its state.
        readings: readings of the whole run.
    """

    def __init__(self, market: MarketState, readings: int) -> None:
        self.market = market
        self.tables = ProfileTables.allocate(market, readings)

    def take_reading(self) -> F8:
        """Take a reading, and return R(1%) of every instrument, (K,)."""
        market, tables = self.market, self.tables
        row = int(tables.n_readings[0])
        tables.n_readings[0] += 1
        tables.step[row] = market.tick
        tables.resting[row] = self._count_resting_lots()
        for venue in market.venues:
            for state in venue.pool_states.values():
                part = state.pool.instruments
                tables.at_risk[row, part], tables.fresh[row, part] = compute_profile(
                    state.engine, venue.pool_accounts(state.pool), market.is_margined
                )
        tables.sums[row] = self._sum_populations()
        return compute_feedback(tables.fresh[row], tables.resting[row])[:, FEEDBACK_MOVE]

    def _count_resting_lots(self) -> I8:
        """Return lots bid in the way of a fall, or offered in the way of a rise, (K, moves)."""
        mark = self.market.mark_prices()
        resting = np.empty((mark.size, len(MARK_MOVES)), dtype=np.int64)
        for place, move in enumerate(MARK_MOVES):
            low, high = np.ceil(mark * (1 + min(move, 0))), np.floor(mark * (1 + max(move, 0)))
            depth = self.market.order_books.sum_depth(low.astype(np.int64), high.astype(np.int64))
            resting[:, place] = depth[:, int(move > 0)]
        return resting

    def _sum_populations(self) -> F8:
        """Return ``ProfileTables.sums`` of a reading, (V, P, 4)."""
        market = self.market
        sums = np.zeros((len(market.venues), len(market.populations), len(SUM_COLUMNS)))
        for venue in market.venues:
            part, everyone = venue.instrument_slice, slice(0, market.external_owner)
            lots = np.abs(market.ledger.position[part, everyone])
            gross = sum_notional(lots, venue.view.mark * market.tick_value()[part])
            states = venue.pool_states.values()
            initial = np.sum([state.assessment.initial[everyone] for state in states], axis=0)
            for place, members in enumerate(market.member_slices):
                for column, values in enumerate((venue.equity(everyone), initial, gross)):
                    sums[venue.number, place, column] = values[members].sum()
                sums[venue.number, place, 3] = venue.net_paid_in[members].sum()
        return sums

    def profile_frame(self) -> pd.DataFrame:
        """Return the frame ``profile``: a row for each reading, instrument and move."""
        market = self.market
        names, moves = np.array(market.contracts.names, dtype=object), np.array(MARK_MOVES)
        venues = np.array([venue.config.name for venue in market.venues], dtype=object)
        n_readings, n_moves = int(self.tables.n_readings[0]), len(moves)
        steps = self.tables.step[:n_readings]
        columns: dict[str, object] = {
            "step": np.repeat(steps, names.size * n_moves),
            "venue": np.tile(np.repeat(venues[market.contracts.venue], n_moves), n_readings),
            "instrument": np.tile(np.repeat(names, n_moves), n_readings),
            "move": np.tile(moves, names.size * n_readings),
        }
        for name in ("at_risk", "fresh", "resting"):
            columns[name] = getattr(self.tables, name)[:n_readings].ravel()
        return pd.DataFrame(columns)

    def populations_frame(self) -> pd.DataFrame:
        """Return the frame ``populations``: a row for each reading, venue and population."""
        market = self.market
        names = np.array([population.name for population in market.populations], dtype=object)
        venues = np.array([venue.config.name for venue in market.venues], dtype=object)
        n_readings = int(self.tables.n_readings[0])
        steps, sums = self.tables.step[:n_readings], self.tables.sums[:n_readings]
        columns: dict[str, object] = {
            "step": np.repeat(steps, venues.size * names.size),
            "venue": np.tile(np.repeat(venues, names.size), steps.size),
            "population": np.tile(names, venues.size * steps.size),
        }
        amounts = np.rint(sums).astype(np.int64).reshape(-1, len(SUM_COLUMNS)).T
        return pd.DataFrame(columns | dict(zip(SUM_COLUMNS, amounts, strict=True)))
