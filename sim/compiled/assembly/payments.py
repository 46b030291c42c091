"""Assembly of the payments that populations request (phase 4, AGT-7, ISO-1)."""

from sim.compiled.arrays import PoolArrays, VenueArrays
from sim.compiled.assembly.context import DEPOSIT_EVENT, StepPhase
from sim.compiled.components import CompiledCashFlows, requests_by_kernel
from sim.compiled.kernels import margin_calls, payments, withdrawable
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.step import cash_flows
from sim.venue import Venue


class PaymentPhases(StepPhase):
    """Payments of one market."""

    def add_calls(self) -> None:
        """Add the margin calls of each venue that makes any (MAR-4)."""
        market, step = self.market, self.step
        for venue, arrays in self.context.list_venues():
            for number, state in venue.pool_states.items():
                if state.margin_calls is None:
                    continue
                rule = state.margin_calls.rule
                self.program.add(
                    bind_kernel(
                        margin_calls.answer_calls,
                        market.streams.stream_key(f"calls/{venue.config.name}/{number}"),
                        market.external_owner,
                        step.pools[number].assessed,
                        *state.margin_calls.state,
                        float(rule.call_threshold),
                        float(rule.response_probability),
                        float(rule.delay),
                        float(state.margin_calls.dt),
                        venue.outside_wealth,
                        venue.has_been_called,
                        venue.wallet_pool,
                        number,
                        step.ledger.balance,
                        step.moves,
                        step.counters,
                        DEPOSIT_EVENT,
                        arrays.paid,
                        venue.net_paid_in,
                    )
                )

    def add(self) -> None:
        """Add requests and postings, or the plain phase where one of them has no kernel."""
        market, program = self.market, self.program
        requests = self._bind_requests()
        margins = {
            number: self._bind_margin(number)
            for venue in market.venues
            for number in venue.pool_states
        }
        has_pairs = bool(requests) and self.market.sides.pairs.size > 0
        if has_pairs or any(each is None for each in (*requests, *margins.values())):
            program.add(None, lambda: cash_flows.post_cash_flows(market))
            return
        if not requests:
            return
        for venue in market.venues:
            self.context.add_account_view(venue)
        self.context.shows_joint_accounts = True
        for request in requests:
            program.add(request)
        for venue, arrays in self.context.list_venues():
            self._add_postings(venue, arrays, margins)

    def _bind_requests(self) -> list[BoundKernel | None]:
        """Return the kernels of populations that request payments, None for one without."""
        market = self.market
        return [
            population.bind_cash_flows(self.step, members)
            if isinstance(population, CompiledCashFlows) and requests_by_kernel(population)
            else None
            for population, members in zip(market.populations, market.member_slices, strict=True)
            if population.n_cash_flow_draws or population.has_commitment
        ]

    def _bind_margin(self, number: int) -> BoundKernel | None:
        """Return the kernel of the margin that limits what leaves the accounts of a pool."""
        pool = self.step.pools[number]
        kernels = self.context.engines[number].bind_kernels(pool.hypothetical)
        return None if kernels is None else self.context.bind_margin(pool, kernels)

    def _add_postings(
        self, venue: Venue, arrays: VenueArrays, margins: dict[int, BoundKernel | None]
    ) -> None:
        """Post deposits, then transfers into isolated accounts and back, then withdrawals."""
        market, step, program = self.market, self.step, self.program
        sent = (step.payments, step.counters, step.passes, step.paid_before, market.is_retired)
        wallets = (market.external_owner, venue.wallet_pool, step.ledger.balance)
        calls = venue.config.calls
        program.add(
            bind_kernel(
                payments.post_deposits,
                *sent,
                venue.number,
                *wallets,
                venue.outside_wealth,
                venue.has_been_called,
                venue.system_accounts.insurance_fund,
                -1.0 if calls is None else float(calls.outside_multiple),
                step.moves,
                DEPOSIT_EVENT,
                arrays.paid,
                venue.net_paid_in,
            )
        )
        for number in venue.pool_states:
            if number != venue.wallet_pool:
                self._add_transfers(venue, arrays, step.pools[number], margins[number])
        self._add_limits(venue, margins.get(venue.wallet_pool))
        program.add(
            bind_kernel(
                payments.post_withdrawals,
                *sent,
                venue.number,
                *wallets,
                step.withdrawable,
                step.moves,
                DEPOSIT_EVENT,
                arrays.paid,
                venue.net_paid_in,
            )
        )

    def _add_transfers(
        self, venue: Venue, arrays: VenueArrays, pool: PoolArrays, margin: BoundKernel | None
    ) -> None:
        """Move cash from wallets into the isolated accounts of a pool, and back."""
        market, step, program = self.market, self.step, self.program
        shared = (
            step.payments,
            step.counters,
            step.passes,
            step.paid_before,
            market.is_retired,
            venue.number,
            venue.wallet_pool,
            step.ledger.balance,
            pool.pool.number,
            market.ledger.pool_numbers,
        )
        posted = (pool.assessed[0], step.moves, DEPOSIT_EVENT, arrays.paid)
        program.add(bind_kernel(payments.post_commitments, *shared, step.price, *posted))
        assert margin is not None
        self._add_withdrawable(venue, pool, margin)
        program.add(bind_kernel(payments.post_releases, *shared, step.withdrawable, *posted))

    def _add_limits(self, venue: Venue, margin: BoundKernel | None) -> None:
        """Find what owners who withdraw may take out of their wallets."""
        step, balance = self.step, self.step.ledger.balance
        if margin is not None:
            self._add_withdrawable(venue, step.pools[venue.wallet_pool], margin)
            return
        sent = (step.payments, step.counters)
        wallet = (venue.number, balance, venue.wallet_pool, step.price, step.withdrawable)
        self.program.add(bind_kernel(withdrawable.find_withdrawable_from_wallets, *sent, *wallet))

    def _add_withdrawable(self, venue: Venue, pool: PoolArrays, margin: BoundKernel) -> None:
        """Find what owners may take out of the accounts of a pool."""
        step, here = self.step, pool.pool.instruments
        self._add_gathering(venue, pool)
        self.program.add(margin)
        self.program.add(
            bind_kernel(
                withdrawable.find_withdrawable,
                pool.senders,
                pool.n_senders,
                pool.required,
                pool.resting[2],
                pool.before.position,
                pool.before.entry,
                cash_flows.find_paid_up(self.market.contracts.select_instruments(here)),
                step.ledger.balance,
                pool.pool.number,
                step.price,
                step.lot_value[here],
                step.quote_price[here],
                step.withdrawable,
            )
        )

    def _add_gathering(self, venue: Venue, pool: PoolArrays) -> None:
        """Copy the accounts of owners who withdraw, for their margin."""
        step, before, here = self.step, pool.before, pool.pool.instruments
        self.program.add(
            bind_kernel(
                withdrawable.gather_withdrawals,
                step.payments,
                step.counters,
                self.market.is_retired,
                venue.number,
                self.market.ledger.pool_numbers,
                int(pool.pool.number == venue.wallet_pool),
                here.start,
                step.row_of_owner,
                pool.senders,
                pool.n_senders,
                before.position,
                before.entry,
                before.leverage,
                step.ledger.position[here],
                step.ledger.entry[here],
                step.ledger.leverage[here],
                before.balance,
                step.ledger.balance,
                pool.pool.number,
                pool.resting,
                step.books.resting,
            )
        )
