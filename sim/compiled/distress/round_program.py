"""Program of one liquidation round (LIQ-1 to LIQ-5)."""

import numpy as np

from sim.compiled.arrays import N_COLLECTED
from sim.compiled.distress import execution, rounds
from sim.compiled.distress.components import DistressContext, PoolProgram, add_gathering
from sim.compiled.kernels import marks
from sim.numerics.bound_kernels import bind_kernel
from sim.types import MISSING
from sim.venue import Venue


class RoundProgram:
    """Liquidation rounds of one market, a venue at a time."""

    def __init__(self, context: DistressContext) -> None:
        self.context, self.program = context, context.program
        self.step, self.arrays, self.market = context.step, context.arrays, context.market
        self.recorder = context.recorder

    def add(self, venue: Venue) -> None:
        """Plan, match, settle and mark the close-outs of a venue, and record them."""
        arrays, program, own = self.arrays, self.program, self._venue_pools(venue)
        program.add(bind_kernel(rounds.begin_plan, arrays.n_planned))
        for each in own:
            self._add_plan(each)
        after = f"venue {venue.number}"
        self._add_room(venue, after)
        if self.market.config.shuffle_closeouts:
            streams, most = self.market.streams, self.market.config.max_rounds
            keys = np.array([streams.stream_key(f"shuffle/{number}") for number in range(most)])
            plan = (arrays.n_planned, arrays.orders, arrays.details)
            program.add(bind_kernel(rounds.shuffle_close_outs, self.step.round_state, *plan, keys))
        self._add_matching()
        fees, accounts_of = venue.config.fees, venue.system_accounts
        fund = accounts_of.insurance_fund
        for each in own if fees.liquidation else []:
            self._add_fees(
                each, float(fees.liquidation), accounts_of.fees if fund == MISSING else fund
            )
        self._add_marks(own[0])
        self._add_records(venue, own)
        program.mark(after)

    def _venue_pools(self, venue: Venue) -> list[PoolProgram]:
        return [pool for pool in self.context.pools if pool.venue is venue]

    def _add_plan(self, each: PoolProgram) -> None:
        """Plan the close-outs of one pool."""
        step, plan, pool, program = self.step, each.plan, each.pool, self.program
        after = f"planned {plan.pool}"
        program.add(
            bind_kernel(
                rounds.find_liquidatable,
                pool.assessed,
                plan.liquidatable_since,
                step.books.data,
                step.books.resting,
                step.books.chain,
                plan.first,
                plan.mark.size,
                plan.rows,
                plan.n_rows,
            ),
            jump=after,
        )
        add_gathering(self.context, pool, plan.n_rows)
        for kernel in (*each.leg_shares, *each.policy):
            program.add(kernel)
        program.mark(after)

    def _add_room(self, venue: Venue, after: str) -> None:
        """Make room for a venue's close-outs, or go on ``after`` it if none are planned."""
        step, arrays, events = self.step, self.arrays, self.recorder.events
        place = f"room {venue.number}"
        self.program.mark(place)
        self.program.add(
            bind_kernel(
                rounds.check_room,
                arrays.n_planned,
                step.counters,
                step.books.data,
                step.books.fills,
                events.counts,
                events.close_outs,
            ),
            self._enlarge_round,
            place,
            jump=after,
        )

    def _enlarge_round(self) -> None:
        planned, made = int(self.arrays.n_planned[0]), int(self.step.counters.max())
        self.market.order_books.reserve_capacity(planned + made)
        self.recorder.events.reserve(planned, 0)

    def _add_matching(self) -> None:
        step, arrays, market = self.step, self.arrays, self.market
        books, ledger, contracts = step.books, step.ledger, market.contracts
        self.program.add(
            bind_kernel(
                execution.match_close_outs,
                step.round_state,
                arrays.n_planned,
                step.counters,
                arrays.orders,
                books.data,
                books.resting,
                books.chain,
                books.delta,
                market.price_bands,
                books.fills,
                ledger.balance,
                ledger.position,
                ledger.entry,
                market.ledger.pool_numbers,
                contracts.settle,
                contracts.multiplier,
                step.quote_price,
                arrays.report,
                arrays.notional,
            )
        )

    def _add_fees(self, each: PoolProgram, rate: float, target: int) -> None:
        """Charge the liquidation fees of one pool."""
        step, arrays, plan = self.step, self.arrays, each.plan
        self.program.add(
            bind_kernel(
                execution.charge_liquidation_fees,
                arrays.n_planned,
                arrays.orders,
                arrays.details,
                arrays.notional,
                rate,
                target,
                each.venue.wallet_pool,
                plan.pool,
                step.ledger.balance,
                step.price,
                plan.position,
                plan.lot_value,
                arrays.due,
                step.moves,
                step.counters,
            )
        )

    def _add_marks(self, each: PoolProgram) -> None:
        """Mark a venue after its close-outs."""
        step, arrays, venue = self.step, self.arrays, each.venue_arrays
        first, before = venue.instruments.start, arrays.mark_before[venue.instruments]
        tops = (venue.bid, venue.ask, venue.last)
        self.program.add(
            bind_kernel(execution.read_tops, step.books.data, first, *tops, venue.mark, before)
        )
        self.program.add(
            bind_kernel(
                marks.update_quotes,
                *tops,
                venue.oracle_ticks,
                venue.quotes,
                venue.is_book_empty,
                venue.has_missing_side,
            )
        )
        self.program.add(
            bind_kernel(
                execution.mark_around,
                arrays.n_planned,
                arrays.orders,
                arrays.report,
                first,
                each.clamp,
                venue.quotes,
                venue.is_book_empty,
                venue.mark,
                before,
                arrays.around,
            )
        )

    def _add_records(self, venue: Venue, own: list[PoolProgram]) -> None:
        """Record a venue's close-outs, and the causes of the deficits of their accounts."""
        step, arrays, events = self.step, self.arrays, self.recorder.events
        plan = (arrays.n_planned, arrays.orders, arrays.details)
        numbers = np.array(list(venue.pool_states), dtype=np.int64)
        self.program.add(
            bind_kernel(execution.find_actions, *plan, numbers, step.row_of_owner, arrays.actions)
        )
        self.program.add(
            bind_kernel(
                execution.record_close_outs,
                venue.number,
                step.round_state,
                *plan,
                arrays.report,
                arrays.notional,
                arrays.around,
                arrays.actions,
                step.assessed,
                events.counts,
                events.close_outs,
                events.close_out_values,
                self.recorder.tables.counts,
            )
        )
        for each in own:
            self._add_causes(each)

    def _add_causes(self, each: PoolProgram) -> None:
        """Record the causes of the deficits of one pool's accounts with fills."""
        step, arrays, events = self.step, self.arrays, self.recorder.events
        log = self.market.cause_logs[each.plan.pool].arrays
        place = f"causes {each.plan.pool}"
        self.program.mark(place)
        self.program.add(
            bind_kernel(
                execution.collect_causes,
                step.round_state,
                arrays.n_planned,
                arrays.orders,
                arrays.details,
                arrays.report,
                arrays.actions,
                each.plan.pool,
                step.row_of_owner,
                arrays.rows,
                log.counters,
                log.since,
                log.stages,
                log.rows,
                log.amounts,
                events.counts,
                events.causes,
                events.amounts,
            ),
            self._enlarge_causes,
            place,
        )

    def _enlarge_causes(self) -> None:
        self.recorder.events.reserve(0, int(self.step.round_state[N_COLLECTED]))
