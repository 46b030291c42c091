"""Program of the attribution of margin deficits to their causes (LIQ-6)."""

import numpy as np

from sim.compiled.distress import attribution, events
from sim.compiled.distress.components import DistressContext, PoolProgram, add_gathering
from sim.errors import ConservationError
from sim.numerics.bound_kernels import Argument, BoundKernel, bind_kernel
from sim.recording.cause_stages import CauseArrays
from sim.types import F8, I8


class AttributionProgram:
    """Attribution of one market."""

    def __init__(self, context: DistressContext) -> None:
        self.context, self.program = context, context.program
        self.step, self.arrays, self.market = context.step, context.arrays, context.market
        self.recorder = context.recorder

    def add(self) -> None:
        """Record the causes of changes in excess since the last assessment, in every pool."""
        for pool in self.context.pools:
            self._add_pool_attribution(pool)
        self.program.add(bind_kernel(attribution.forget_postings, self.step.counters))

    def _add_pool_attribution(self, each: PoolProgram) -> None:
        program, log = self.program, self.market.cause_logs[each.plan.pool].arrays
        place = f"attribution {each.plan.pool}, {len(program.instructions)}"
        program.add(self._bind_stage_marks(each))
        program.mark(place)
        program.add(self._bind_search(each, log), lambda: self._enlarge_log(each.plan.pool), place)
        add_gathering(self.context, each.pool, self.arrays.attribution)
        replayed = self._replay_arguments(each)
        program.add(bind_kernel(events.undo_events, *replayed))
        program.add(
            bind_kernel(attribution.replay_events, *replayed, *self._excess_arguments(each, log)),
            self._raise_incomplete,
        )
        self._keep_assessment(each, log)

    def _keep_assessment(self, each: PoolProgram, log: CauseArrays) -> None:
        """Keep what the next attribution begins with."""
        self.program.add(
            bind_kernel(
                attribution.keep_assessment,
                self.arrays.attribution,
                each.pool.assessed,
                self.market.is_margined,
                self.arrays.rows,
                *self._list_last_assessment(log),
                log.counters,
                each.plan.mark,
                self.step.price,
            )
        )

    def add_losses(self) -> None:
        """Record what the losses just allocated have changed, in every pool."""
        for each in self.context.pools:
            self._add_loss_attribution(each)
        self.program.add(bind_kernel(attribution.forget_postings, self.step.counters))

    def _add_loss_attribution(self, each: PoolProgram) -> None:
        program, log = self.program, self.market.cause_logs[each.plan.pool].arrays
        place = f"losses {each.plan.pool}, {len(program.instructions)}"
        program.mark(place)
        program.add(self._bind_search(each, log), lambda: self._enlarge_log(each.plan.pool), place)
        program.add(
            bind_kernel(
                attribution.attribute_losses,
                self.arrays.attribution,
                each.pool.assessed,
                self.arrays.rows,
                log.excess,
                log.counters,
                log.stages,
                log.rows,
                log.amounts,
            )
        )
        self._keep_assessment(each, log)

    def _bind_stage_marks(self, each: PoolProgram) -> BoundKernel:
        quotes, start = each.venue_arrays, each.venue.instrument_slice.start
        return bind_kernel(
            attribution.stage_marks,
            each.clamp,
            each.plan.first - start,
            quotes.previous_quotes,
            quotes.was_book_empty,
            quotes.quotes,
            quotes.is_book_empty,
            quotes.mark,
            self.arrays.pools[each.plan.pool].stage_marks,
        )

    def _bind_search(self, each: PoolProgram, log: CauseArrays) -> BoundKernel:
        """Bind the search for accounts with negative excess."""
        step, arrays = self.step, self.arrays
        return bind_kernel(
            attribution.find_negative_excess,
            step.round_state,
            arrays.attribution,
            step.counters,
            each.pool.assessed,
            self.market.is_margined,
            arrays.rows,
            *self._list_last_assessment(log),
            log.counters,
            log.stages,
            log.rows,
            log.amounts,
            each.plan.mark,
            step.price,
        )

    @staticmethod
    def _list_last_assessment(log: CauseArrays) -> tuple[F8, I8, F8, F8]:
        """Return what a log keeps of the last assessment."""
        return log.excess, log.since, log.mark, log.price

    def _replay_arguments(self, each: PoolProgram) -> tuple[Argument, ...]:
        """Return the arguments of ``events.undo_events``."""
        step, arrays, contracts = self.step, self.arrays, self.market.contracts
        here, fees = each.pool.pool.instruments, each.venue.config.fees
        hypothetical = each.pool.hypothetical
        return (
            arrays.attribution,
            step.counters,
            step.books.fills,
            step.moves,
            arrays.rows,
            step.row_of_owner,
            here.start,
            each.pool.pool.number,
            contracts.settle[here],
            contracts.multiplier[here],
            np.array([fees.taker, fees.maker], dtype=np.float64),
            self.market.external_owner,
            hypothetical.position,
            hypothetical.balance,
            arrays.touched,
            arrays.present,
        )

    def _excess_arguments(self, each: PoolProgram, log: CauseArrays) -> tuple[Argument, ...]:
        """Return the further arguments of ``attribution.replay_events``."""
        step, arrays, here = self.step, self.arrays, each.pool.pool.instruments
        own = arrays.pools[each.pool.pool.number]
        return (
            each.pool.assessed,
            log.excess,
            log.mark,
            log.price,
            log.counters,
            log.stages,
            log.rows,
            log.amounts,
            own.stage_marks,
            step.mark[here],
            step.price,
            own.scratch.mark,
            own.scratch.price,
            own.scratch.lot_value,
            own.scratch.maintenance,
            *self.program.list_inner(each.engine),
            arrays.before,
            arrays.after,
        )

    def _enlarge_log(self, number: int) -> None:
        log = self.market.cause_logs[number]
        more = events.count_stages(log.arrays.mark.size)
        log.reserve_stages(more, int(self.arrays.attribution[events.N_UNDER]))

    def _raise_incomplete(self) -> None:
        raise ConservationError("causes: an event is missing from the log")
