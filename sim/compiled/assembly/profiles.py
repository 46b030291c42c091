"""Assembly of the readings of a step: liquidation profile, populations, accounts at the peak."""

import numpy as np

from sim.compiled.arrays import PoolArrays
from sim.compiled.assembly.context import AssemblyContext, StepPhase
from sim.compiled.kernels import profiles
from sim.numerics.bound_kernels import bind_kernel
from sim.recording.liquidation_profile import FEEDBACK_MOVE, MARK_MOVES
from sim.types import I8
from sim.venue import Venue

PEAK = "peak"
"""Moment of the snapshot that readings keep."""

NO_READING = "no reading"
"""Label of the place after a reading."""


class ProfileReadings(StepPhase):
    """Readings of one market."""

    def __init__(self, context: AssemblyContext) -> None:
        super().__init__(context)
        self.tables = context.recorder.profile_recorder.tables
        self.every = context.recorder.profile_steps
        self.moves = np.array(MARK_MOVES)

    def add(self) -> None:
        """Add one reading of everything."""
        recorder = self.context.recorder
        pools = [self.step.pools[n] for venue in self.market.venues for n in venue.pool_states]
        bound = [self.context.engines[each.pool.number].bind_kernels(each.moved) for each in pools]
        if any(each is None for each in bound):
            self.program.add(
                bind_kernel(profiles.is_reading_due, self.every), recorder.record_profile
            )
            return
        self.program.add(bind_kernel(profiles.skip_reading, self.every), jump=NO_READING)
        self._begin()
        for pool, kernels in zip(pools, bound, strict=True):
            assert kernels is not None
            self._add_profile(pool, self.program.list_inner(kernels))
        for venue in self.market.venues:
            self._add_sums(venue)
        self._end()
        self._add_peak()
        self.program.mark(NO_READING)

    def _begin(self) -> None:
        """Begin a reading, and count the orders in the way of each move."""
        tables = self.tables
        self.program.add(
            bind_kernel(
                profiles.begin_reading,
                tables.n_readings,
                tables.step,
                self.step.books.data,
                self.step.mark,
                self.moves,
                tables.resting,
            )
        )

    def _end(self) -> None:
        """End a reading, and record what it shows."""
        recorder, tables = self.context.recorder, self.tables
        feedback = recorder.tables.prices[recorder.price_row("feedback")]
        self.program.add(
            bind_kernel(
                profiles.end_reading,
                tables.n_readings,
                tables.fresh,
                tables.resting,
                FEEDBACK_MOVE,
                feedback,
            )
        )

    def _add_profile(self, pool: PoolArrays, engine: tuple[I8, I8]) -> None:
        """Add the profile of one pool."""
        step, here, moved = self.step, pool.pool.instruments, pool.moved
        self.program.add(
            bind_kernel(
                profiles.profile_pool,
                self.tables.n_readings,
                here.start,
                self.moves,
                self.market.is_margined,
                pool.assessed,
                step.ledger.balance,
                pool.pool.number,
                step.ledger.position[here],
                step.ledger.entry[here],
                step.mark[here],
                self.market.contracts.multiplier[here],
                step.quote_price[here],
                step.price,
                moved.n_accounts,
                moved.balance,
                moved.position,
                moved.entry,
                moved.mark,
                moved.lot_value,
                moved.initial,
                moved.maintenance,
                *engine,
                pool.senders,
                self.tables.at_risk,
                self.tables.fresh,
            )
        )

    def _add_sums(self, venue: Venue) -> None:
        """Add the sums of populations at a venue; equity is seen anew after the assessment."""
        step, market = self.step, self.market
        self.context.add_account_view(venue)
        members = market.member_slices
        part = venue.instrument_slice
        self.program.add(
            bind_kernel(
                profiles.sum_populations,
                self.tables.n_readings,
                venue.number,
                np.array([each.start for each in members]),
                np.array([each.stop for each in members]),
                step.equity[venue.number][: market.external_owner],
                venue.net_paid_in,
                step.assessed,
                np.array(list(venue.pool_states)),
                step.ledger.position[part],
                step.lot_value[part],
                self.tables.sums,
            )
        )

    def _add_peak(self) -> None:
        """Add the snapshot of all accounts at the peak of gross notional."""
        step, market, recorder = self.step, self.market, self.context.recorder
        peak = recorder.reserve_snapshot(PEAK)
        self.program.add(
            bind_kernel(
                profiles.keep_peak,
                recorder.tables.counts[recorder.count_row("gross")],
                recorder.peak_gross,
                step.ledger.balance,
                np.array([venue.wallet_pool for venue in market.venues]),
                step.price,
                step.assessed,
                step.ledger.position,
                step.lot_value,
                peak.step,
                peak.assessed,
                peak.position,
                peak.lot_value,
                peak.wallet_value,
            )
        )
