"""Assembly of trades and marks (phases 6 and 7)."""

from sim.compiled.arrays import PoolArrays, VenueArrays
from sim.compiled.assembly.context import DEPOSIT_EVENT, StepPhase
from sim.compiled.kernels import accounts, marks, trading
from sim.exchange.funding import PremiumAverage
from sim.exchange.mark import BookMark, MedianMark
from sim.numerics.bound_kernels import bind_kernel
from sim.step import marking
from sim.venue import Venue


class TradingPhases(StepPhase):
    """Trades and marks of one market."""

    def add_trades(self) -> None:
        """Add matching, trades and fees."""
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
        for venue in market.venues:
            if not venue.config.fees.has_free_trades:
                self._add_fees(venue)

    def _add_fees(self, venue: Venue) -> None:
        """Charge the fees of trades at a venue."""
        step, market = self.step, self.market
        part, fees, contracts = venue.instrument_slice, venue.config.fees, market.contracts
        self.program.add(
            bind_kernel(
                trading.charge_fees,
                step.counters,
                step.books.fills,
                part.start,
                part.stop,
                step.ledger.balance,
                market.ledger.pool_numbers,
                contracts.settle,
                contracts.multiplier,
                venue.wallet_pool,
                float(fees.taker),
                float(fees.maker),
                market.external_owner,
                venue.system_accounts.fees,
            )
        )

    def add_marks(self) -> None:
        """Add marks, observations of funding and the return of idle margin."""
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
            self.context.add_lot_values()
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
        for venue, arrays in self.context.list_venues():
            self._add_mark(venue, arrays)
        self.context.add_lot_values()
        program.add(
            bind_kernel(marks.measure_near_depth, step.books.data, step.mark, step.depth_near)
        )

    def _mark_plainly(self) -> None:
        self.step.depth_near[:] = marking.update_marks(self.market)

    def _add_mark(self, venue: Venue, arrays: VenueArrays) -> None:
        """Mark one venue's instruments, and return idle margin to its wallets."""
        program, rule = self.program, venue.config.mark
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
            weight, clamp = float(1 - 0.5 ** (venue.dt / rule.half_life)), float(rule.clamp)
            inputs = (arrays.quotes, arrays.is_book_empty)
            program.add(bind_kernel(marks.mark_by_median, *inputs, weight, clamp, arrays.mark))
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
            for pool in self.context.list_pools(venue):
                self._add_idle_margin(venue, pool)

    def _add_idle_margin(self, venue: Venue, pool: PoolArrays) -> None:
        """Return the margin of accounts without positions and orders to separate wallets."""
        step, here = self.step, pool.pool.instruments
        self.program.add(
            bind_kernel(
                accounts.return_idle_margin,
                self.market.is_margined,
                self.market.sides.member,
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
