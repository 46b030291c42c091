"""Phases 7 to 9 of a compiled step where accounts are below maintenance (LIQ-1 to LIQ-6).

The program is the loop of ``sim.step.liquidation.run_liquidation_rounds``, with jumps. Losses of
bankrupt accounts are allocated by the plain phase.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.compiled import attribution, liquidation, marks, prices
from sim.compiled.arrays import N_COLLECTED, PoolArrays, StepArrays, VenueArrays
from sim.compiled.distress_arrays import DistressArrays
from sim.compiled.program import Program
from sim.errors import ConservationError
from sim.exchange.mark import BookMark, MedianMark
from sim.liquidation.compiled import PlanArrays
from sim.numerics.bound_kernels import Argument, BoundKernel, bind_kernel
from sim.recording.cause_stages import CauseArrays
from sim.recording.recorder import Recorder
from sim.step import loss_waterfall
from sim.types import I8, MISSING, PERPETUAL
from sim.venue import Venue

BOOK_MARK = -1.0
"""Clamp that stands for a mark at the book."""

DISTRESS, ROUNDS_DONE, LOSSES_DONE, NEXT_ROUND = (
    "distress",
    "rounds done",
    "losses done",
    "next round",
)
"""Labels of places in the program."""


def find_clamp(venue: Venue) -> float | None:
    """Return the clamp of a venue's median mark, BOOK_MARK, or None for any other rule."""
    rule = venue.config.mark
    if type(rule) is MedianMark:
        return float(rule.clamp)
    return BOOK_MARK if type(rule) is BookMark else None


@dataclass
class PoolProgram:
    """What the program of one pool is bound from."""

    venue: Venue
    venue_arrays: VenueArrays
    pool: PoolArrays
    plan: PlanArrays
    clamp: float
    engine: tuple[BoundKernel, ...]  # of the scratch accounts
    leg_shares: tuple[BoundKernel, ...]
    policy: tuple[BoundKernel, ...]
    offers: tuple[BoundKernel, ...]


class DistressPhases:
    """Attribution and liquidation rounds of one market as parts of its program.

    Args:
        step: arrays of the step.
        arrays: arrays of these phases.
        recorder: the run's recorder.
        program: the program that is extended.
    """

    def __init__(
        self, step: StepArrays, arrays: DistressArrays, recorder: Recorder, program: Program
    ) -> None:
        self.step, self.arrays, self.recorder, self.program = step, arrays, recorder, program
        self.market = step.market
        self.pools: list[PoolProgram] = []

    def prepare(self) -> bool:
        """Bind the components of every pool; return False if one of them has no kernel."""
        if self.market.config.rescues:
            return False
        pools = [
            self._prepare_pool(venue, number)
            for venue in self.market.venues
            for number in venue.pool_states
        ]
        self.pools = [pool for pool in pools if pool is not None]
        return len(self.pools) == len(pools)

    def _prepare_pool(self, venue: Venue, number: int) -> PoolProgram | None:
        """Return the bound components of a pool, or None if one of them has no kernel."""
        pool = self.step.pools[number]
        own, engine = self.arrays.pools[number], venue.pool_states[number].engine
        policy = venue.liquidation_policy
        plan = self._make_plan_arrays(venue, pool)
        bound = {
            "engine": engine.bind_kernels(own.scratch),
            "leg_shares": engine.bind_leg_shares(pool.hypothetical, own.shares),
            "policy": policy.bind_plan(plan),
            "offers": policy.bind_offers(plan),
        }
        clamp = find_clamp(venue)
        kernels = {name: found for name, found in bound.items() if found is not None}
        if clamp is None or len(kernels) < len(bound):
            return None
        return PoolProgram(venue, self.step.venues[venue.number], pool, plan, clamp, **kernels)

    def _make_plan_arrays(self, venue: Venue, pool: PoolArrays) -> PlanArrays:
        step, arrays, here = self.step, self.arrays, pool.pool.instruments
        distress = venue.pool_states[pool.pool.number].distress
        return PlanArrays(
            rows=arrays.rows,
            n_rows=arrays.n_rows,
            shares=arrays.pools[pool.pool.number].shares,
            assessed=pool.assessed,
            liquidatable_since=distress.liquidatable_since,
            last_action=distress.last_action,
            bankrupt_since=distress.bankrupt_since,
            position=step.ledger.position[here],
            mark=step.mark[here],
            lot_value=step.lot_value[here],
            tick_value=arrays.tick_value[here],
            max_price=self.market.contracts.max_price[here],
            is_perpetual=self.market.contracts.kind[here] == PERPETUAL,
            is_spot=step.is_spot[here],
            first=here.start,
            pool=pool.pool.number,
            orders=arrays.orders,
            details=arrays.details,
            n_planned=arrays.n_planned,
            chosen=arrays.chosen,
            n_chosen=arrays.n_chosen,
            is_whole=arrays.is_whole,
            is_offered=arrays.is_offered,
        )

    def add(self, assess: Callable[[], None]) -> None:
        """Add the phases; ``assess`` adds the assessment of every pool."""
        program, step, arrays = self.program, self.step, self.arrays
        terms = (self.market.contracts.multiplier, step.quote_price)
        program.mark(DISTRESS)
        program.add(bind_kernel(liquidation.begin_assessment, step.round_state))
        self._add_attribution()
        program.add(bind_kernel(liquidation.begin_rounds, step.round_state))
        program.add(bind_kernel(liquidation.value_ticks, *terms, arrays.tick_value))
        program.mark(NEXT_ROUND)
        program.add(bind_kernel(liquidation.begin_round, step.round_state))
        for venue in self.market.venues:
            self._add_round(venue)
        rounds, most = self.recorder.rounds, self.market.config.max_rounds
        program.add(bind_kernel(liquidation.end_round, step.round_state, rounds), jump=ROUNDS_DONE)
        values = (step.lot_value, step.unit_value)
        program.add(bind_kernel(prices.value_lots, step.mark, *terms, *values))
        assess()
        self._add_attribution()
        program.add(
            bind_kernel(liquidation.begin_next_round, step.round_state, most, rounds),
            jump=NEXT_ROUND,
        )
        program.mark(ROUNDS_DONE)
        self._add_losses()

    def _add_attribution(self) -> None:
        """Record the causes of changes in excess since the last assessment, in every pool."""
        for pool in self.pools:
            self._add_pool_attribution(pool)
        self.program.add(bind_kernel(attribution.forget_postings, self.step.counters))

    def _add_pool_attribution(self, each: PoolProgram) -> None:
        step, arrays, market, program = self.step, self.arrays, self.market, self.program
        pool, number = each.pool, each.pool.pool.number
        here, own, venue = pool.pool.instruments, arrays.pools[number], each.venue
        log = market.cause_logs[number].arrays
        quotes = each.venue_arrays
        state = arrays.attribution
        place = f"attribution {number}, {len(program.instructions)}"
        program.add(
            bind_kernel(
                attribution.stage_marks,
                each.clamp,
                here.start - venue.instrument_slice.start,
                quotes.previous_quotes,
                quotes.was_book_empty,
                quotes.quotes,
                quotes.is_book_empty,
                quotes.mark,
                own.stage_marks,
            )
        )
        program.mark(place)
        program.add(
            bind_kernel(
                attribution.find_negative_excess,
                step.round_state,
                state,
                step.counters,
                pool.assessed,
                market.is_margined,
                arrays.rows,
                log.excess,
                log.since,
                log.mark,
                log.price,
                log.counters,
                log.stages,
                log.rows,
                log.amounts,
                step.mark[here],
                step.price,
            ),
            lambda: self._enlarge_log(number),
            place,
        )
        self._add_gathering(pool, state)
        replayed = self._replay_arguments(each)
        program.add(bind_kernel(attribution.undo_events, *replayed))
        program.add(
            bind_kernel(attribution.replay_events, *replayed, *self._excess_arguments(each, log)),
            self._raise_incomplete,
        )
        program.add(
            bind_kernel(
                attribution.keep_assessment,
                state,
                pool.assessed,
                market.is_margined,
                arrays.rows,
                log.excess,
                log.since,
                log.mark,
                log.price,
                log.counters,
                step.mark[here],
                step.price,
            )
        )

    def _add_gathering(self, pool: PoolArrays, number: I8) -> None:
        """Copy the accounts of ``rows`` to the pool's hypothetical ones."""
        step, hypothetical = self.step, pool.hypothetical
        here = pool.pool.instruments
        self.program.add(
            bind_kernel(
                attribution.gather_accounts,
                number,
                self.arrays.rows,
                step.ledger.position[here],
                step.ledger.entry[here],
                step.ledger.balance,
                pool.pool.number,
                hypothetical.count,
                hypothetical.position,
                hypothetical.entry,
                hypothetical.leverage,
                hypothetical.balance,
            )
        )

    def _replay_arguments(self, each: PoolProgram) -> tuple[Argument, ...]:
        """Return the arguments of ``attribution.undo_events``."""
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
        more = attribution.N_KINDS + 1 + log.arrays.mark.size
        log.reserve_stages(more, int(self.arrays.attribution[attribution.N_UNDER]))

    def _raise_incomplete(self) -> None:
        raise ConservationError("causes: an event is missing from the log")

    def _add_round(self, venue: Venue) -> None:
        """Plan, match, settle and mark the close-outs of a venue, and record them."""
        arrays, program, own = self.arrays, self.program, self._venue_pools(venue)
        program.add(bind_kernel(liquidation.begin_plan, arrays.n_planned))
        for each in own:
            self._add_plan(each)
        after = f"venue {venue.number}"
        self._add_room(venue, after)
        if self.market.config.shuffle_closeouts:
            streams, most = self.market.streams, self.market.config.max_rounds
            keys = np.array([streams.stream_key(f"shuffle/{number}") for number in range(most)])
            plan = (arrays.n_planned, arrays.orders, arrays.details)
            program.add(
                bind_kernel(liquidation.shuffle_close_outs, self.step.round_state, *plan, keys)
            )
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
        return [pool for pool in self.pools if pool.venue is venue]

    def _add_plan(self, each: PoolProgram) -> None:
        """Plan the close-outs of one pool."""
        step, plan, pool, program = self.step, each.plan, each.pool, self.program
        after = f"planned {plan.pool}"
        program.add(
            bind_kernel(
                liquidation.find_liquidatable,
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
        self._add_gathering(pool, plan.n_rows)
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
                liquidation.check_room,
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
                liquidation.match_close_outs,
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
                liquidation.charge_liquidation_fees,
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
            bind_kernel(liquidation.read_tops, step.books.data, first, *tops, venue.mark, before)
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
                liquidation.mark_around,
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
            bind_kernel(liquidation.find_actions, *plan, numbers, step.row_of_owner, arrays.actions)
        )
        self.program.add(
            bind_kernel(
                liquidation.record_close_outs,
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
                liquidation.collect_causes,
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

    def _add_losses(self) -> None:
        """Allocate losses by the plain phase where an account is bankrupt, and publish offers.

        Bankrupt accounts wait while their lots are on offer.
        """
        step, program = self.step, self.program
        program.add(bind_kernel(liquidation.begin_offers, step.to_sell, step.to_buy))
        for each in self.pools:
            plan, here = each.plan, each.pool.pool.instruments
            noted = (plan.assessed, plan.bankrupt_since, plan.is_offered)
            program.add(bind_kernel(liquidation.find_bankrupt, *noted))
            for kernel in each.offers:
                program.add(kernel)
            fund = each.venue.system_accounts.insurance_fund
            program.add(
                bind_kernel(liquidation.await_offers, plan.assessed, plan.is_offered, fund),
                self._allocate_plainly,
                LOSSES_DONE,
            )
            lots = (plan.is_offered, plan.position, plan.is_spot)
            program.add(
                bind_kernel(
                    liquidation.publish_offers, *lots, step.to_sell[here], step.to_buy[here]
                )
            )
        program.mark(LOSSES_DONE)

    def _allocate_plainly(self) -> None:
        self.recorder.record_losses(loss_waterfall.allocate_losses(self.market))
