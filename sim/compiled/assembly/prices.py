"""Assembly of the index, of funding that is due and of oracles (phases 1 to 3)."""

from collections.abc import Callable

import numpy as np

from sim.compiled.arrays import PoolArrays, VenueArrays
from sim.compiled.assembly.context import StepPhase
from sim.compiled.kernels import accounts, orders, prices
from sim.compiled.program import PlainPhase
from sim.margin.compiled import LearningArrays
from sim.margin.tail.volatility import list_weight_sums
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.step import funding
from sim.types import MarginPool, MarketView
from sim.venue import Venue


class PricePhases(StepPhase):
    """Prices of one market."""

    def add_index(self) -> None:
        """Add the index of every underlying, with the impact of trades in spot."""
        market, step, program = self.market, self.step, self.program
        dynamics, contracts = market.impact_dynamics, market.contracts
        program.add(bind_kernel(orders.begin_step, step.counters, step.paid))
        program.add(
            bind_kernel(
                prices.update_index,
                market.exogenous_path.log_price,
                step.log_impact,
                dynamics.decay_factor,
                dynamics.log_slope,
                step.ledger.position,
                market.external_owner,
                step.external_spot_lots,
                contracts.lot,
                contracts.underlying,
                step.index,
            )
        )

    def add_funding(self) -> None:
        """Add the funding payments, which the plain phase makes when they are due."""
        market, seconds = self.market, self.market.exogenous_path.seconds
        for venue, arrays in self.context.list_venues():
            if venue.config.funding is not None:
                due = bind_kernel(prices.is_payment_due, seconds, arrays.next_payment)
                self.program.add(due, lambda: funding.settle_funding(market))

    def add_oracles(self) -> None:
        """Add what every venue publishes and learns: oracle, volatility, margins, leverage."""
        for venue, arrays in self.context.list_venues():
            if not venue.config.oracle.is_exact:
                self.program.add(None, self._publish_plainly(venue))
                continue
            self._add_crowd(venue, arrays)
            self._add_oracle(venue, arrays)
            self._add_volatility(venue, arrays)
            self._add_asset_prices()
            self.context.add_lot_values()
            ticks = (venue.contracts.underlying, venue.contracts.tick)
            self.program.add(
                bind_kernel(orders.compute_index_ticks, arrays.oracle, *ticks, arrays.oracle_ticks)
            )
            self._add_learning(venue)

    def _add_crowd(self, venue: Venue, arrays: VenueArrays) -> None:
        """Measure how crowded the instruments of a venue are."""
        step, part = self.step, venue.instrument_slice
        self.context.add_wallet_value(venue, arrays)
        self.program.add(
            bind_kernel(
                prices.measure_crowd,
                step.open_interest[part],
                step.lot_value[part],
                step.is_spot[part],
                step.pool_sums,
                np.array([pool.pool.number for pool in self.context.list_pools(venue)]),
                arrays.wallet_value,
                step.crowd[part],
            )
        )

    def _add_oracle(self, venue: Venue, arrays: VenueArrays) -> None:
        """Publish the index as the oracle of a venue, and keep the quotes of the last step."""
        self.program.add(
            bind_kernel(
                prices.publish_oracle,
                self.step.index,
                arrays.oracle,
                venue.writable_returns,
                arrays.quotes,
                arrays.previous_quotes,
                arrays.is_book_empty,
                arrays.was_book_empty,
                arrays.seen,
            )
        )

    def _add_volatility(self, venue: Venue, arrays: VenueArrays) -> None:
        """Update the running volatility of a venue."""
        volatility = venue.running_volatility
        per_year = np.asarray(volatility.year / volatility.dt + np.zeros(arrays.mark.size))
        weights = list_weight_sums(
            volatility.dt, volatility.half_life, self.market.steps_planned, volatility.before
        )
        self.program.add(
            bind_kernel(
                prices.learn_volatility,
                venue.writable_returns,
                venue.contracts.underlying,
                arrays.variance,
                per_year,
                volatility.update_weight,
                weights,
                self.step.volatility[venue.instrument_slice],
            )
        )

    def _publish_plainly(self, venue: Venue) -> PlainPhase:
        """Return the plain phase of the oracle of a venue."""
        market = self.market

        def publish() -> None:
            seconds = float(market.exogenous_path.seconds[market.tick])
            index, price = market.spot_index(), market.asset_prices()
            venue.update_oracle(market.streams, market.tick, seconds, index, price)

        return publish

    def _add_asset_prices(self) -> None:
        step, path = self.step, self.market.exogenous_path.asset_price
        scale = self.market.config.asset_scale()
        settle = self.market.contracts.settle
        read = bind_kernel(
            prices.read_asset_prices, scale, path, step.price, settle, step.quote_price
        )
        self.program.add(read)

    def _add_learning(self, venue: Venue) -> None:
        """Let the engines learn, and find the leverage that they admit for one lot."""
        added: list[tuple[BoundKernel, PlainPhase | None]] = []
        for pool in self.context.list_pools(venue):
            engine = self.context.engines[pool.pool.number]
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
        engine, step = self.context.engines[pool.pool.number], self.step
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
