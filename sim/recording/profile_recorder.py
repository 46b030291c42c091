"""Recorder of readings: liquidation profiles, resting lots and sums of populations (LIQ-7)."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sim.recording.liquidation_profile import (
    FEEDBACK_MOVE,
    MARK_MOVES,
    compute_feedback,
    compute_profile,
)
from sim.state import MarketState
from sim.types import F8, I8


class ProfileReading(NamedTuple):
    """One reading of all instruments and moves, (K, moves)."""

    step: int
    at_risk: F8  # minor units of the numeraire
    fresh: I8  # lots
    resting: I8  # lots


class ProfileRecorder:
    """Recorder of the frames ``profile`` and ``populations`` of one market."""

    def __init__(self, market: MarketState) -> None:
        self.market = market
        self._readings: list[ProfileReading] = []
        self._population_sums: list[tuple[int, F8]] = []

    def take_reading(self) -> F8:
        """Take a reading, and return R(1%) of every instrument, (K,)."""
        market = self.market
        resting = self._count_resting_lots()
        at_risk, fresh = np.zeros(resting.shape), np.zeros(resting.shape, dtype=np.int64)
        for venue in market.venues:
            for state in venue.pool_states.values():
                part = state.pool.instruments
                at_risk[part], fresh[part] = compute_profile(
                    state.engine, venue.pool_accounts(state.pool), market.is_margined
                )
        self._readings.append(ProfileReading(market.tick, at_risk, fresh, resting))
        self._population_sums.append((market.tick, self._sum_populations()))
        return compute_feedback(fresh, resting)[:, FEEDBACK_MOVE]

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
        """Return equity, initial margin and gross notional of each population, (V, P, 3)."""
        market = self.market
        sums = np.zeros((len(market.venues), len(market.populations), 3))
        for venue in market.venues:
            part, everyone = venue.instrument_slice, slice(0, market.external_owner)
            lots = np.abs(market.ledger.position[part, everyone])
            gross = (venue.view.mark * market.tick_value()[part]) @ lots
            states = venue.pool_states.values()
            initial = np.sum([state.assessment.initial[everyone] for state in states], axis=0)
            for place, members in enumerate(market.member_slices):
                for column, values in enumerate((venue.equity(everyone), initial, gross)):
                    sums[venue.number, place, column] = values[members].sum()
        return sums

    def profile_frame(self) -> pd.DataFrame:
        """Return the frame ``profile``: a row for each reading, instrument and move."""
        market = self.market
        names, moves = np.array(market.contracts.names, dtype=object), np.array(MARK_MOVES)
        venues = np.array([venue.config.name for venue in market.venues], dtype=object)
        n_readings, n_moves = len(self._readings), len(moves)
        steps = np.array([reading.step for reading in self._readings], dtype=np.int64)
        columns: dict[str, object] = {
            "step": np.repeat(steps, names.size * n_moves),
            "venue": np.tile(np.repeat(venues[market.contracts.venue], n_moves), n_readings),
            "instrument": np.tile(np.repeat(names, n_moves), n_readings),
            "move": np.tile(moves, names.size * n_readings),
        }
        for name, kind in (("at_risk", np.float64), ("fresh", np.int64), ("resting", np.int64)):
            blank = np.empty((0, names.size, n_moves), dtype=kind)
            values = [getattr(reading, name)[None] for reading in self._readings]
            columns[name] = np.concatenate([blank, *values]).ravel()
        return pd.DataFrame(columns)

    def populations_frame(self) -> pd.DataFrame:
        """Return the frame ``populations``: a row for each reading, venue and population."""
        market = self.market
        names = np.array([population.name for population in market.populations], dtype=object)
        venues = np.array([venue.config.name for venue in market.venues], dtype=object)
        steps = np.array([step for step, _ in self._population_sums], dtype=np.int64)
        blank = np.empty((0, venues.size, names.size, 3))
        sums = np.concatenate([blank, *(reading[None] for _, reading in self._population_sums)])
        columns: dict[str, object] = {
            "step": np.repeat(steps, venues.size * names.size),
            "venue": np.tile(np.repeat(venues, names.size), steps.size),
            "population": np.tile(names, venues.size * steps.size),
        }
        equity, initial, gross = np.rint(sums).astype(np.int64).reshape(-1, 3).T
        return pd.DataFrame(columns | {"equity": equity, "initial": initial, "gross": gross})
