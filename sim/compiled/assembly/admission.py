"""Assembly of the admission of orders that margin allows (phase 5, MAR-1)."""

import numpy as np

from sim.compiled.arrays import N_ORDERS, PoolArrays
from sim.compiled.assembly.context import DEPOSIT_EVENT, StepPhase
from sim.compiled.kernels import admission, single_orders, trading
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.step import admission as plain_admission
from sim.venue import Venue


class AdmissionPhase(StepPhase):
    """Admission of one market."""

    def add(self) -> None:
        """Add the admission of all orders, one pool after another."""
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
            for pool in self.context.list_pools(venue):
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
        kernels = self.context.engines[pool.pool.number].bind_kernels(pool.hypothetical)
        # kernels know of no wallet that two accounts of a member share
        if kernels is None or self.market.sides.pairs.size:
            self.program.add(None, self._admit_plainly, "trading")
            return
        margin = self.context.bind_margin(pool, kernels)
        self._add_gathering(pool)
        self.program.add(margin)
        self._add_judgement(venue, pool)
        self._add_affordable(pool)
        self._add_retries(venue, pool, margin)

    def _add_gathering(self, pool: PoolArrays) -> None:
        """Build the accounts of owners who send orders to a pool."""
        step, here, before = self.step, pool.pool.instruments, pool.before
        self.program.add(
            bind_kernel(
                admission.gather_orders,
                here.start,
                step.packed,
                step.counters,
                step.replaced,
                step.chosen,
                self.market.is_margined,
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

    def _add_judgement(self, venue: Venue, pool: PoolArrays) -> None:
        """Find the accounts of a pool that can afford all their orders."""
        step, here = self.step, pool.pool.instruments
        self.program.add(
            bind_kernel(
                admission.judge_accounts,
                pool.n_senders,
                pool.senders,
                pool.required,
                pool.resting,
                pool.before.position,
                step.lot_value[here],
                step.quote_price[here],
                step.ledger.balance,
                pool.pool.number,
                step.price,
                self.market.max_lots[here],
                venue.wallet_pool,
                pool.opens,
                step.moves,
                step.counters,
                DEPOSIT_EVENT,
                pool.is_affordable,
                pool.n_refused,
            )
        )

    def _add_affordable(self, pool: PoolArrays) -> None:
        """Admit the orders of accounts that can afford all of them."""
        step, here = self.step, pool.pool.instruments
        self.program.add(
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
                pool.before.leverage,
                step.ledger.leverage[here],
                step.admitted,
                step.next_order,
                pool.first_order,
            )
        )

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

    def _admit_plainly(self) -> None:
        """Admit the orders of all pools by the plain phase."""
        step, count = self.step, int(self.step.counters[N_ORDERS])
        chosen = step.chosen[:count]
        admitted, stood = plain_admission.admit_orders(
            self.market, step.packed[:count].copy(), chosen if chosen.any() else chosen[:0]
        )
        step.counters[N_ORDERS] = len(admitted)
        step.packed[: len(admitted)], step.stood[: len(admitted)] = admitted, stood
