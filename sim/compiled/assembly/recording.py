"""Assembly of the record of a step (phase 10)."""

import numpy as np

from sim.compiled.arrays import MID, VenueArrays
from sim.compiled.assembly.context import StepPhase
from sim.compiled.assembly.profiles import ProfileReadings
from sim.compiled.kernels import recording
from sim.numerics.bound_kernels import bind_kernel
from sim.types import MISSING
from sim.venue import Venue


class RecordingPhase(StepPhase):
    """Record of one market."""

    def add(self) -> None:
        """Add the record of a step without close-outs."""
        step, market, tables = self.step, self.market, self.context.recorder.tables
        for venue, arrays in self.context.list_venues():
            part = venue.instrument_slice
            self.program.add(
                bind_kernel(
                    recording.record_prices,
                    step.index,
                    market.exogenous_path.log_price,
                    venue.contracts.underlying,
                    arrays.oracle,
                    venue.contracts.tick,
                    arrays.mark,
                    arrays.quotes[MID],
                    arrays.bid,
                    arrays.ask,
                    arrays.last,
                    step.depth[part],
                    step.depth_near[part],
                    step.funding[part],
                    step.max_leverage_long[part],
                    step.max_leverage_short[part],
                    arrays.has_missing_side,
                    part.start,
                    tables.prices,
                    tables.has_missing_side,
                )
            )
            self._add_money(venue, arrays)
        self.program.add(
            bind_kernel(
                recording.record_counts,
                market.external_owner,
                step.ledger.position,
                step.mark,
                market.contracts.multiplier,
                step.quote_price,
                step.open_interest,
                step.to_sell,
                step.to_buy,
                step.trade_sums,
                tables.counts,
            )
        )
        if market.config.profile_every:
            ProfileReadings(self.context).add()

    def _add_money(self, venue: Venue, arrays: VenueArrays) -> None:
        """Record the sums of a venue's accounts."""
        step, program = self.step, self.program
        numbers = np.array(list(venue.pool_states))
        self.context.add_wallet_value(venue, arrays)
        fund = venue.system_accounts.insurance_fund
        if fund != MISSING:
            program.add(
                bind_kernel(
                    recording.value_fund,
                    fund,
                    step.ledger.balance,
                    venue.wallet_pool,
                    int(venue.wallet_pool not in venue.pool_states),
                    step.price,
                    step.assessed,
                    numbers,
                    arrays.fund_equity,
                )
            )
        program.add(
            bind_kernel(
                recording.record_money,
                venue.number,
                step.pool_sums,
                numbers,
                arrays.wallet_value,
                arrays.fund_equity,
                arrays.paid,
                self.context.recorder.tables.money,
            )
        )
