"""Assembly of the program of a step from the components of a market."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sim.attribution import CAUSE_KINDS, DEPOSIT
from sim.compiled.arrays import (
    INSTRUMENT,
    KIND,
    LATENCY,
    LEVERAGE,
    LIMIT,
    MID,
    N_ORDERS,
    OWNER,
    QUANTITY,
    SLOT,
    PoolArrays,
    StepArrays,
    VenueArrays,
)
from sim.compiled.assembly.payments import PaymentAssembly
from sim.compiled.assembly.profiles import ProfileAssembly
from sim.compiled.components import BoundedOrders, CompiledPopulation
from sim.compiled.distress.arrays import DistressArrays
from sim.compiled.distress.components import DistressContext
from sim.compiled.distress.phases import DISTRESS, DistressPhases
from sim.compiled.kernels import (
    accounts,
    admission,
    marks,
    order_margin,
    orders,
    prices,
    recording,
    single_orders,
    trading,
)
from sim.compiled.program import CompiledRun, PlainPhase, Program
from sim.component import has_own_rules
from sim.exchange.funding import PremiumAverage
from sim.exchange.mark import BookMark, MedianMark
from sim.margin.compiled import LearningArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.prices.impact import compute_index
from sim.protocols import PopulationProtocol
from sim.recording.recorder import Recorder
from sim.records import StepRecord
from sim.state import MarketState
from sim.step import admission as plain_admission
from sim.step import (
    assessment,
    funding,
    liquidation,
    loss_waterfall,
    marking,
)
from sim.step import orders as plain_orders
from sim.types import F8, MISSING, MarginPool, MarketView, Orders
from sim.venue import StepFlows, Venue

DEPOSIT_EVENT = CAUSE_KINDS.index(DEPOSIT)
END, RECORD = "end of the step", "record"
"""Labels of places in the program."""


def compile_run(market: MarketState, recorder: Recorder) -> CompiledRun:
    """Return the compiled steps of a market."""
    quotes = 2 * len(market.contracts.names)  # of spot, by the external owner
    sent = quotes + sum(_count_orders(market, each) for each in market.populations)
    step = StepArrays(market, max(1024, 2 * sent))
    distress = DistressArrays(step)

    def list_movable() -> tuple[np.ndarray[Any, Any], ...]:
        events, logs = recorder.events, market.cause_logs.values()
        return (
            *market.order_books.reserve_capacity(0),
            *(array for log in logs for array in log.arrays),
            *(events.close_outs, events.close_out_values, events.causes, events.amounts),
            *(step.moves, step.orders),
        )

    return CompiledRun(step, lambda: Assembly(step, recorder, distress).assemble(), list_movable)


def _count_orders(market: MarketState, population: PopulationProtocol) -> int:
    """Return the most orders of a population in a step."""
    if isinstance(population, BoundedOrders) and not has_own_rules(population, "bind_decision"):
        return population.count_orders()
    return population.count * 4 * len(market.contracts.names)


class Assembly:
    """Program of one market.

    Args:
        step: arrays of the step.
        recorder: the run's recorder.
        distress: arrays of attribution and of the rounds.
    """

    def __init__(self, step: StepArrays, recorder: Recorder, distress: DistressArrays) -> None:
        self.step, self.recorder, self.distress = step, recorder, distress
        self.market = step.market
        self.program = Program()
        self.engines = {
            number: state.engine
            for venue in self.market.venues
            for number, state in venue.pool_states.items()
        }

    def assemble(self) -> Program:
        """Return the program, phase by phase in the order of ``Market.step``."""
        self._add_prices()
        self._add_cash_flows()
        self._add_orders()
        self._add_admission()
        self._add_trading()
        self._add_marks()
        self._add_assessment()
        self._add_recording()
        self.program.mark(END)
        return self.program

    def _add_prices(self) -> None:
        """Phases 1 to 3: index, funding and margin calls, oracles."""
        market, step, program = self.market, self.step, self.program
        path, contracts = market.exogenous_path, market.contracts
        begin = bind_kernel(orders.begin_step, step.counters, step.paid)
        program.add(begin)
        held = step.ledger.position
        program.add(
            bind_kernel(
                prices.update_index,
                path.log_price,
                step.log_impact,
                market.impact_dynamics.decay_factor,
                market.impact_dynamics.log_slope,
                held,
                market.external_owner,
                step.external_spot_lots,
                contracts.lot,
                contracts.underlying,
                step.index,
            )
        )
        for venue, arrays in self._venues():
            if venue.config.funding is not None:
                due = bind_kernel(prices.is_payment_due, path.seconds, arrays.next_payment)
                program.add(due, lambda: funding.settle_funding(market))
        PaymentAssembly(self).add_calls()
        for venue, arrays in self._venues():
            self._add_oracle(venue, arrays)

    def _venues(self) -> list[tuple[Venue, VenueArrays]]:
        return list(zip(self.market.venues, self.step.venues, strict=True))

    def _pools(self, venue: Venue) -> list[PoolArrays]:
        return [self.step.pools[number] for number in venue.pool_states]

    def _add_oracle(self, venue: Venue, arrays: VenueArrays) -> None:
        """Phase 3 at one venue: the oracle, volatility, the engine's learning, leverage."""
        program, step, part = self.program, self.step, venue.instrument_slice
        if not venue.config.oracle.is_exact:
            program.add(None, lambda: self._publish_plainly(venue))
            return
        self._add_wallet_value(venue, arrays)
        volatility = venue.running_volatility
        weights = np.array(
            [volatility.sum_weights(seen) for seen in range(self.market.steps_planned + 1)]
        )
        sums = np.array([pool.pool.number for pool in self._pools(venue)])
        program.add(
            bind_kernel(
                prices.measure_crowd,
                step.open_interest[part],
                step.lot_value[part],
                step.is_spot[part],
                step.pool_sums,
                sums,
                arrays.wallet_value,
                step.crowd[part],
            )
        )
        program.add(
            bind_kernel(
                prices.publish_oracle,
                step.index,
                arrays.oracle,
                venue.writable_returns,
                arrays.quotes,
                arrays.previous_quotes,
                arrays.is_book_empty,
                arrays.was_book_empty,
                arrays.seen,
            )
        )
        per_year = np.asarray(volatility.year / volatility.dt + np.zeros(arrays.mark.size))
        program.add(
            bind_kernel(
                prices.learn_volatility,
                venue.writable_returns,
                venue.contracts.underlying,
                arrays.variance,
                per_year,
                volatility.update_weight,
                weights,
                step.volatility[part],
            )
        )
        self._add_asset_prices()
        self._add_lot_values()
        ticks = (venue.contracts.underlying, venue.contracts.tick)
        program.add(
            bind_kernel(orders.compute_index_ticks, arrays.oracle, *ticks, arrays.oracle_ticks)
        )
        self._add_learning(venue)

    def _publish_plainly(self, venue: Venue) -> None:
        market = self.market
        seconds = float(market.exogenous_path.seconds[market.tick])
        index, price = market.spot_index(), market.asset_prices()
        venue.update_oracle(market.streams, market.tick, seconds, index, price)

    def _add_asset_prices(self) -> None:
        step, path = self.step, self.market.exogenous_path.asset_price
        scale = self.market.config.asset_scale()
        settle = self.market.contracts.settle
        read = bind_kernel(
            prices.read_asset_prices, scale, path, step.price, settle, step.quote_price
        )
        self.program.add(read)

    def _add_lot_values(self) -> None:
        step, contracts = self.step, self.market.contracts
        self.program.add(
            bind_kernel(
                prices.value_lots,
                step.mark,
                contracts.multiplier,
                step.quote_price,
                step.lot_value,
                step.unit_value,
            )
        )

    def _add_learning(self, venue: Venue) -> None:
        """Let the engines learn, and find the leverage that they admit for one lot."""
        added: list[tuple[BoundKernel, PlainPhase | None]] = []
        for pool in self._pools(venue):
            engine = self.engines[pool.pool.number]
            sources = LearningArrays(venue.writable_returns, pool.probe)
            learning, leverage = engine.bind_learning(sources), self._bind_leverage(pool)
            if learning is None or leverage is None:
                self.program.add(None, venue.observe_market)
                return
            for bound, plain in learning:
                added.append((bound, plain and self._view_pool(venue, pool.pool, plain)))
            added.append((leverage, None))
        for each in added:
            self.program.add(*each)

    @staticmethod
    def _view_pool(
        venue: Venue, pool: MarginPool, learn: Callable[[MarketView], None]
    ) -> PlainPhase:
        """Return the plain phase in which an engine learns from a pool's view."""
        return lambda: learn(venue.pool_view(pool))

    def _bind_leverage(self, pool: PoolArrays) -> BoundKernel | None:
        engine, step = self.engines[pool.pool.number], self.step
        kernels = engine.bind_kernels(pool.probe)
        if kernels is None:
            return None
        here = pool.pool.instruments
        return bind_kernel(
            accounts.find_max_leverage,
            pool.probe.n_accounts,
            pool.probe.position,
            pool.probe.entry,
            pool.probe.lot_value,
            step.unit_value[here],
            pool.probe.initial,
            *self.program.list_inner(kernels),
            step.max_leverage_long[here],
            step.max_leverage_short[here],
        )

    def _add_cash_flows(self) -> None:
        """Phase 4: payments that populations request."""
        PaymentAssembly(self).add_phase()

    def _add_orders(self) -> None:
        """Phase 4: decisions of all populations, in order of arrival."""
        market, step, program = self.market, self.step, self.program
        for venue, arrays in self._venues():
            self.add_account_view(venue)
            if venue.spot_columns.size:
                ticks = (venue.contracts.underlying, venue.contracts.tick)
                program.add(
                    bind_kernel(orders.compute_index_ticks, step.index, *ticks, arrays.index_ticks)
                )
                program.add(
                    bind_kernel(
                        orders.quote_spot,
                        step.orders,
                        step.counters,
                        market.external_owner,
                        venue.instrument_slice.start,
                        venue.spot_columns,
                        float(venue.config.spread / 2),
                        arrays.index_ticks,
                        arrays.ask,
                        market.max_lots,
                    )
                )
        for population, members in zip(market.populations, market.member_slices, strict=True):
            self._add_population(population, members)
        for venue, arrays in self._venues():
            program.add(
                bind_kernel(
                    orders.set_bands,
                    arrays.oracle_ticks,
                    float(venue.config.band),
                    venue.contracts.max_price,
                    market.price_bands[venue.instrument_slice],
                )
            )
        program.add(
            bind_kernel(
                orders.sort_orders,
                step.orders,
                step.counters,
                market.is_retired,
                market.external_owner,
                market.streams.stream_key("arrival"),
                step.keys,
                step.mark,
                market.price_bands,
                market.contracts.multiplier,
                market.highest_fee,
                step.packed,
                step.chosen,
            ),
            self._refuse_orders,
        )

    def _refuse_orders(self) -> None:
        """Raise the error of the plain step for the orders of this one."""
        market, sent = self.market, self.step.orders[: self.step.counters[N_ORDERS]].T
        columns = [sent[at].copy() for at in range(LATENCY + 1)]
        active, classes = plain_orders.take_active(market, Orders(*columns[:-1]), columns[-1])
        plain_orders.sort_by_arrival(market, active, classes)

    def add_account_view(self, venue: Venue) -> None:
        """Show owners their accounts at a venue."""
        step, market, v = self.step, self.market, venue.number
        seen = (step.equity[v], step.free_margin[v])
        pools = self._pools(venue)
        is_joint = venue.wallet_pool in venue.pool_states
        if not is_joint:
            self.program.add(
                bind_kernel(
                    accounts.view_wallets,
                    market.external_owner,
                    step.ledger.balance,
                    venue.wallet_pool,
                    step.price,
                    *seen,
                )
            )
        for pool in pools if not is_joint else [step.pools[venue.wallet_pool]]:
            here = pool.pool.instruments
            self.program.add(
                bind_kernel(
                    accounts.view_joint_accounts if is_joint else accounts.add_accounts,
                    market.external_owner,
                    pool.assessed,
                    step.books.resting[2, here],
                    step.quote_price[here],
                    *seen,
                )
            )

    def _add_population(self, population: PopulationProtocol, members: slice) -> None:
        """Add the decisions of one population, by its kernel or in Python."""
        bound = None
        if isinstance(population, CompiledPopulation) and not has_own_rules(
            population, "bind_decision"
        ):
            bound = population.bind_decision(self.step, members)
        self.program.add(bound, None if bound else lambda: self._decide(population, members))

    def _decide(self, population: PopulationProtocol, members: slice) -> None:
        """Append the orders of a population that decides in Python."""
        market, step = self.market, self.step
        observation, view = market.build_observation(), market.account_view(members)
        draws = market.streams.draw_uniform(
            f"decide/{population.name}", market.tick, population.count, population.n_decision_draws
        )
        sent = population.decide(observation, view, draws).fill_leverage()
        first = int(step.counters[N_ORDERS])
        rows = slice(first, first + sent.owner.size)
        # in Python they may send any number; half of the tables holds what kernels can send
        step.reserve_orders(rows.stop + step.max_orders // 2)
        table = step.orders[rows]
        table[:, OWNER], table[:, INSTRUMENT] = sent.owner + members.start, sent.instrument
        table[:, QUANTITY], table[:, LIMIT] = sent.quantity, sent.limit
        table[:, KIND], table[:, SLOT] = sent.kind, sent.slot
        table[:, LEVERAGE], table[:, LATENCY] = sent.leverage, population.latency
        step.counters[N_ORDERS] = rows.stop

    def _add_admission(self) -> None:
        """Phase 5: orders that margin allows."""
        step, program, market = self.step, self.program, self.market
        books = step.books
        program.mark("order books")
        program.add(
            bind_kernel(
                trading.check_room,
                step.counters,
                books.data,
                books.fills,
                len(market.contracts.names),
            ),
            self._enlarge_books,
            "order books",
        )
        program.add(
            bind_kernel(
                trading.find_replaced,
                step.counters,
                step.packed,
                books.data,
                books.chain,
                step.replaced,
                step.stood,
                step.row_of_order,
                step.admitted,
                step.reduces,
            )
        )
        for venue in market.venues:
            for pool in self._pools(venue):
                self._add_pool_admission(venue, pool)
        program.add(
            bind_kernel(
                admission.drop_refused,
                step.packed,
                step.counters,
                step.stood,
                step.admitted,
                step.reduces,
            )
        )
        program.mark("trading")

    def _enlarge_books(self) -> None:
        self.market.order_books.reserve_capacity(2 * int(self.step.counters[N_ORDERS]) + 1024)

    def _add_pool_admission(self, venue: Venue, pool: PoolArrays) -> None:
        """Admit the orders of one pool, or leave admission to the plain phase."""
        step, program, market = self.step, self.program, self.market
        here, engine = pool.pool.instruments, self.engines[pool.pool.number]
        before = pool.before
        kernels = engine.bind_kernels(pool.hypothetical)
        if kernels is None:
            program.add(None, self._admit_plainly, "trading")
            return
        program.add(
            bind_kernel(
                admission.gather_orders,
                here.start,
                step.packed,
                step.counters,
                step.replaced,
                step.chosen,
                market.is_margined,
                step.row_of_owner,
                pool.senders,
                pool.n_senders,
                pool.opens,
                step.row_of_order,
                before.position,
                before.entry,
                before.leverage,
                step.books.resting,
                step.ledger.position[here],
                step.ledger.entry[here],
                step.ledger.leverage[here],
                before.balance,
                step.ledger.balance,
                pool.pool.number,
                pool.resting,
            )
        )
        margin = self.bind_margin(pool, kernels)
        program.add(margin)
        terms = (step.lot_value[here], step.quote_price[here])
        cash = (pool.pool.number, step.price, market.max_lots[here], venue.wallet_pool)
        program.add(
            bind_kernel(
                admission.judge_accounts,
                pool.n_senders,
                pool.senders,
                pool.required,
                pool.resting,
                before.position,
                *terms,
                step.ledger.balance,
                *cash,
                pool.opens,
                step.moves,
                step.counters,
                DEPOSIT_EVENT,
                pool.is_affordable,
                pool.n_refused,
            )
        )
        program.add(
            bind_kernel(
                admission.admit_affordable,
                here.start,
                here.stop - here.start,
                step.packed,
                step.counters,
                step.chosen,
                step.row_of_order,
                pool.n_senders,
                pool.is_affordable,
                before.leverage,
                step.ledger.leverage[here],
                step.admitted,
                step.next_order,
                pool.first_order,
            )
        )
        self._add_retries(venue, pool, margin)

    def _add_retries(self, venue: Venue, pool: PoolArrays, margin: BoundKernel) -> None:
        """Try the orders of accounts of a pool that cannot afford all of them."""
        step, here, before = self.step, pool.pool.instruments, pool.before
        (address,), (block,) = self.program.list_inner((margin,))
        self.program.add(
            bind_kernel(
                single_orders.retry_refused,
                np.array([address, block]),
                here.start,
                step.packed,
                step.counters,
                step.replaced,
                step.chosen,
                pool.senders,
                pool.n_senders,
                pool.n_refused,
                pool.is_affordable,
                pool.required,
                pool.resting,
                before.position,
                before.entry,
                before.leverage,
                before.balance,
                step.books.resting,
                step.ledger.position[here],
                step.ledger.entry[here],
                step.ledger.leverage[here],
                step.ledger.balance,
                pool.pool.number,
                step.lot_value[here],
                step.quote_price[here],
                step.price,
                self.market.max_lots[here],
                venue.wallet_pool,
                step.moves,
                DEPOSIT_EVENT,
                step.admitted,
                step.reduces,
                step.next_order,
                pool.first_order,
            )
        )

    def bind_margin(self, pool: PoolArrays, kernels: Sequence[BoundKernel]) -> BoundKernel:
        """Return the kernel that finds the margin of accounts with their orders, by an engine."""
        step, here, engine = self.step, pool.pool.instruments, self.engines[pool.pool.number]
        hypothetical, before = pool.hypothetical, pool.before
        return bind_kernel(
            order_margin.require_margin,
            pool.n_senders,
            pool.resting,
            before.position,
            before.entry,
            before.leverage,
            step.lot_value[here],
            step.unit_value[here],
            step.quote_price[here],
            step.is_spot[here],
            float(engine.leverage_factor),
            hypothetical.n_accounts,
            hypothetical.position,
            hypothetical.entry,
            hypothetical.leverage,
            before.balance,
            hypothetical.balance,
            hypothetical.settle,
            hypothetical.initial,
            *self.program.list_inner(kernels),
            pool.required,
        )

    def _admit_plainly(self) -> None:
        """Admit the orders of all pools by the plain phase."""
        step, count = self.step, int(self.step.counters[N_ORDERS])
        chosen = step.chosen[:count]
        admitted, stood = plain_admission.admit_orders(
            self.market, step.packed[:count].copy(), chosen if chosen.any() else chosen[:0]
        )
        step.counters[N_ORDERS] = len(admitted)
        step.packed[: len(admitted)], step.stood[: len(admitted)] = admitted, stood

    def _add_trading(self) -> None:
        """Phase 6: matching, trades, fees."""
        step, program, market = self.step, self.program, self.market
        books, ledger, contracts = step.books, step.ledger, market.contracts
        program.add(
            bind_kernel(
                trading.match_orders,
                step.counters,
                step.packed,
                step.stood,
                books.data,
                books.resting,
                books.chain,
                books.delta,
                ledger.position,
                market.price_bands,
                books.fills,
            )
        )
        pools = market.ledger.pool_numbers
        program.add(
            bind_kernel(
                trading.settle_trades,
                step.counters,
                books.fills,
                ledger.balance,
                ledger.position,
                ledger.entry,
                pools,
                contracts.settle,
                contracts.multiplier,
                step.trade_sums,
            )
        )
        for venue, _ in self._venues():
            if not venue.config.fees.has_free_trades:
                program.add(
                    bind_kernel(
                        trading.charge_fees,
                        step.counters,
                        books.fills,
                        venue.instrument_slice.start,
                        venue.instrument_slice.stop,
                        ledger.balance,
                        pools,
                        contracts.settle,
                        contracts.multiplier,
                        venue.wallet_pool,
                        float(venue.config.fees.taker),
                        float(venue.config.fees.maker),
                        market.external_owner,
                        venue.system_accounts.fees,
                    )
                )

    def _add_marks(self) -> None:
        """Phase 7: marks, observations of funding, idle margin."""
        step, program, market = self.step, self.program, self.market
        if not all(
            isinstance(venue.config.mark, MedianMark | BookMark)
            and (
                venue.config.funding is None
                or isinstance(venue.config.funding.observations, PremiumAverage)
            )
            for venue in market.venues
        ):
            program.add(None, self._mark_plainly)
            self._add_lot_values()
            return
        program.add(
            bind_kernel(
                marks.read_books,
                step.books.data,
                step.mark,
                step.bid,
                step.ask,
                step.last,
                step.depth,
                step.imbalance,
                step.ledger.position,
                step.open_interest,
            )
        )
        for venue, arrays in self._venues():
            self._add_mark(venue, arrays)
        self._add_lot_values()
        program.add(
            bind_kernel(marks.measure_near_depth, step.books.data, step.mark, step.depth_near)
        )

    def _mark_plainly(self) -> None:
        self.step.depth_near[:] = marking.update_marks(self.market)

    def _add_mark(self, venue: Venue, arrays: VenueArrays) -> None:
        """Mark one venue's instruments, and return idle margin to its wallets."""
        program, rule, step = self.program, venue.config.mark, self.step
        program.add(
            bind_kernel(
                marks.update_quotes,
                arrays.bid,
                arrays.ask,
                arrays.last,
                arrays.oracle_ticks,
                arrays.quotes,
                arrays.is_book_empty,
                arrays.has_missing_side,
            )
        )
        if isinstance(rule, MedianMark):
            weight = float(1 - 0.5 ** (venue.dt / rule.half_life))
            program.add(
                bind_kernel(
                    marks.mark_by_median,
                    arrays.quotes,
                    arrays.is_book_empty,
                    weight,
                    float(rule.clamp),
                    arrays.mark,
                )
            )
        else:
            program.add(bind_kernel(marks.mark_by_book, arrays.quotes, arrays.mark))
        if venue.config.funding is not None:
            program.add(
                bind_kernel(
                    marks.sample_premium,
                    arrays.bid,
                    arrays.ask,
                    arrays.oracle_ticks,
                    arrays.premium_sums,
                    arrays.premium_samples,
                )
            )
        if venue.wallet_pool not in venue.pool_states:
            for pool in self._pools(venue):
                here = pool.pool.instruments
                program.add(
                    bind_kernel(
                        accounts.return_idle_margin,
                        self.market.is_margined,
                        step.ledger.balance,
                        pool.pool.number,
                        venue.wallet_pool,
                        step.price,
                        step.ledger.position[here],
                        step.books.resting[0, here],
                        step.books.resting[1, here],
                        step.moves,
                        step.counters,
                        DEPOSIT_EVENT,
                    )
                )

    def _add_assessment(self) -> None:
        """Phases 7 to 9: assessment, close-outs and losses."""
        market, program = self.market, self.program
        pools = [pool for venue in market.venues for pool in self._pools(venue)]
        engines = [self.engines[pool.pool.number].bind_kernels(pool.live) for pool in pools]
        context = DistressContext(self.step, self.distress, self.recorder, program)
        is_compiled = context.prepare()
        if any(each is None for each in engines) or market.config.rescues:
            program.add(None, self._finish_plainly, END)
            return
        self._assess_pools()
        is_suppressed = market.config.suppress_closeouts
        for pool in pools:
            self._find_deficits(pool)
        for pool in [] if is_suppressed else pools:
            self._log_assessment(pool)
        program.add(bind_kernel(accounts.skip_rounds, self.step.counters), jump=RECORD)
        if not is_suppressed and is_compiled:
            DistressPhases(context).add(self._assess_pools)
        else:
            program.mark(DISTRESS)
            program.add(None, self._finish_plainly, END)
        program.mark(RECORD)

    def _assess_pools(self) -> None:
        """Assess the accounts of every pool."""
        step, program, market = self.step, self.program, self.market
        for venue in market.venues:
            for pool in self._pools(venue):
                kernels = self.engines[pool.pool.number].bind_kernels(pool.live)
                assert kernels is not None
                program.add(
                    bind_kernel(
                        accounts.assess_pool,
                        market.external_owner,
                        pool.live.n_accounts,
                        pool.live.initial,
                        pool.live.maintenance,
                        *program.list_inner(kernels),
                        step.ledger.balance,
                        pool.pool.number,
                        step.price,
                        pool.live.position,
                        pool.live.lot_value,
                        pool.assessed,
                        step.pool_sums[pool.pool.number],
                    )
                )

    def _find_deficits(self, pool: PoolArrays) -> None:
        """Go to the phases of distress if an account of a pool is below maintenance."""
        market = self.market
        self.program.add(
            bind_kernel(
                accounts.find_deficits,
                pool.assessed,
                int(market.config.suppress_closeouts),
                market.cause_logs[pool.pool.number].arrays.counters,
                pool.liquidatable_since,
                pool.bankrupt_since,
            ),
            jump=DISTRESS,
        )

    def _log_assessment(self, pool: PoolArrays) -> None:
        """Keep the assessment of a pool in which no account is below maintenance."""
        step, log = self.step, self.market.cause_logs[pool.pool.number].arrays
        self.program.add(
            bind_kernel(
                accounts.log_assessment,
                pool.assessed,
                log.counters,
                log.excess,
                step.mark[pool.pool.instruments],
                log.mark,
                step.price,
                log.price,
            )
        )

    def _finish_plainly(self) -> None:
        """Make the plain phases from assessment on, with rounds, losses and the record."""
        market = self.market
        assessment.assess_accounts(market)
        rounds, n_rounds = liquidation.run_liquidation_rounds(market)
        losses = loss_waterfall.allocate_losses(market)
        trades, near = self.step.trade_sums.copy(), self.step.depth_near.copy()
        self.recorder.record_step(StepRecord(trades, near, rounds, n_rounds, losses))
        for venue in market.venues:
            venue.flows = StepFlows()

    def _add_recording(self) -> None:
        """Phase 10: the record of a step without close-outs."""
        step, market, tables = self.step, self.market, self.recorder.tables
        exogenous = self._list_exogenous()
        for venue, arrays in self._venues():
            part = venue.instrument_slice
            self.program.add(
                bind_kernel(
                    recording.record_prices,
                    step.index,
                    exogenous,
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
            ProfileAssembly(self).add_reading()

    def _list_exogenous(self) -> F8:
        """Return the index without impact over the whole run, (T + 1, U) quote currency."""
        none = np.zeros_like(self.market.log_impact)
        return np.array([compute_index(row, none) for row in self.market.exogenous_path.log_price])

    def _add_wallet_value(self, venue: Venue, arrays: VenueArrays) -> None:
        if venue.wallet_pool not in venue.pool_states:
            self.program.add(
                bind_kernel(
                    recording.value_wallets,
                    self.step.ledger.balance,
                    venue.wallet_pool,
                    self.market.external_owner,
                    self.step.price,
                    arrays.wallet_value,
                )
            )

    def _add_money(self, venue: Venue, arrays: VenueArrays) -> None:
        """Record the sums of a venue's accounts."""
        step, program = self.step, self.program
        numbers = np.array(list(venue.pool_states))
        self._add_wallet_value(venue, arrays)
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
                self.recorder.tables.money,
            )
        )
