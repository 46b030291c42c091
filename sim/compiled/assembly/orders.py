"""Assembly of the decisions of populations and of the order of their arrival (phase 4)."""

from sim.compiled.arrays import (
    INSTRUMENT,
    KIND,
    LATENCY,
    LEVERAGE,
    LIMIT,
    N_ORDERS,
    OWNER,
    QUANTITY,
    SLOT,
    VenueArrays,
)
from sim.compiled.assembly.context import StepPhase
from sim.compiled.components import CompiledPopulation
from sim.compiled.kernels import orders
from sim.component import has_own_rules
from sim.numerics.bound_kernels import bind_kernel
from sim.protocols import PopulationProtocol
from sim.step import orders as plain_orders
from sim.step import sides
from sim.types import Orders
from sim.venue import Venue


class OrderPhase(StepPhase):
    """Orders of one market."""

    def add(self) -> None:
        """Add decisions of all populations, in order of arrival."""
        market = self.market
        for venue, arrays in self.context.list_venues():
            is_joint = venue.wallet_pool in venue.pool_states
            if not (is_joint and self.context.shows_joint_accounts):
                self.context.add_account_view(venue)
            if venue.spot_columns.size:
                self._add_spot_quotes(venue, arrays)
        for population, members in zip(market.populations, market.member_slices, strict=True):
            self._add_population(population, members)
        for venue, arrays in self.context.list_venues():
            self._add_bands(venue, arrays)
        self._add_sorting()

    def _add_spot_quotes(self, venue: Venue, arrays: VenueArrays) -> None:
        """Add the orders with which the external owner quotes spot at a venue."""
        step, market, contracts = self.step, self.market, venue.contracts
        ticks = (contracts.underlying, contracts.tick, arrays.index_ticks)
        self.program.add(bind_kernel(orders.compute_index_ticks, step.index, *ticks))
        self.program.add(
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

    def _add_bands(self, venue: Venue, arrays: VenueArrays) -> None:
        """Add the price bands of a venue."""
        self.program.add(
            bind_kernel(
                orders.set_bands,
                arrays.oracle_ticks,
                float(venue.config.band),
                venue.contracts.max_price,
                self.market.price_bands[venue.instrument_slice],
            )
        )

    def _add_sorting(self) -> None:
        """Sort the orders by arrival."""
        market, step = self.market, self.step
        self.program.add(
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
        market, count = self.market, self.step.counters[N_ORDERS]
        table = self.step.orders[:count].T
        columns = [table[at].copy() for at in range(LATENCY)]
        latency = table[LATENCY].copy()
        sent = Orders(*columns)
        active, classes = plain_orders.take_active(market, sent, latency)
        plain_orders.sort_by_arrival(market, active, classes)

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
        market = self.market
        observation, view = market.build_observation(), market.account_view(members)
        draws = market.streams.draw_uniform(
            f"decide/{population.name}", market.tick, population.count, population.n_decision_draws
        )
        sent = population.decide(observation, view, draws).fill_leverage()
        sent = sent._replace(owner=sent.owner + members.start)
        if population.n_sides == 2:
            sent = sides.keep_sides(market, sent)
        self._append(sent, population.latency)

    def _append(self, sent: Orders, latency: int) -> None:
        """Append orders with global owners to those of the step."""
        step = self.step
        first = int(step.counters[N_ORDERS])
        rows = slice(first, first + sent.owner.size)
        # in Python they may send any number; half of the tables holds what kernels can send
        step.reserve_orders(rows.stop + step.max_orders // 2)
        table = step.orders[rows]
        table[:, OWNER], table[:, INSTRUMENT] = sent.owner, sent.instrument
        table[:, QUANTITY], table[:, LIMIT] = sent.quantity, sent.limit
        table[:, KIND], table[:, SLOT] = sent.kind, sent.slot
        table[:, LEVERAGE], table[:, LATENCY] = sent.leverage, latency
        step.counters[N_ORDERS] = rows.stop
