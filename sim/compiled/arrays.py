"""Arrays that the kernels of a compiled step share, allocated once for a run.

Arrays of the ledger, of the order books and of the recorder are the market's own. The others hold
what the plain step keeps in records that it replaces, such as views and assessments;
`sim.compiled.handover` copies between the two.
"""

from dataclasses import dataclass

import numpy as np

from sim.exchange.book import BookArrays
from sim.ledger import LedgerArrays
from sim.margin.compiled import MarginArrays, MarketArrays
from sim.pricing.instrument_values import find_seconds_per_year
from sim.state import MarketState
from sim.types import B1, F8, I8, SPOT, MarginPool
from sim.venue import Venue

(OWNER, INSTRUMENT, QUANTITY, LIMIT, KIND, SLOT, LEVERAGE, LATENCY) = range(8)
"""Columns of the orders that populations send."""

(EVENT, SOURCE, TARGET, SOURCE_POOL, TARGET_POOL, ASSET, AMOUNT, CONCERNED) = range(8)
"""Columns of the cash moves of a step; the last is the instrument concerned, MISSING = none."""

(N_ORDERS, N_FILLS, N_MOVES, N_PAYMENTS) = range(4)
"""Places of the counters of a step."""

(NUMBER, HAS_ACTED, HAS_FILLED, FIRST_ID, NEXT_ID, N_COLLECTED) = range(6)
"""Places of the state of the liquidation rounds: number of the round, MISSING before the first;
whether it planned and filled any close-out; the ids of a venue's first close-out and of the next in
the run; causes for which there is no room."""

(MID, LAST, ORACLE, BASIS) = range(4)
"""Rows of the inputs of a mark, ticks (see ``sim.exchange.mark.MarkInputs``)."""


class VenueArrays:
    """Arrays of one venue's V-th part: views of the market's, and its own; K instruments."""

    def __init__(self, step: "StepArrays", venue: Venue) -> None:
        part, count = venue.instrument_slice, len(venue.contracts.names)
        self.instruments = part
        self.mark, self.bid, self.ask, self.last = (
            column[part] for column in (step.mark, step.bid, step.ask, step.last)
        )
        self.quotes, self.previous_quotes = np.zeros((2, 4, count))
        self.is_book_empty, self.was_book_empty = np.zeros((2, count), dtype=np.bool_)
        self.has_missing_side = np.zeros(count, dtype=np.bool_)
        self.oracle = step.oracle[venue.number]  # (U,) quote currency
        self.oracle_ticks = step.oracle_ticks[part]
        self.index_ticks = np.zeros(count)
        self.variance = np.zeros(count)
        self.seen = np.zeros(1, dtype=np.int64)  # returns of the oracle
        self.next_payment = np.full(1, -np.inf)  # of funding, seconds
        self.premium_sums = np.zeros(count)
        self.premium_samples = np.zeros(1, dtype=np.int64)
        self.fund_equity, self.wallet_value = np.zeros((2, 1))
        self.paid = step.paid[venue.number]  # flows of this step, see ``payments``


@dataclass
class PoolArrays:
    """Arrays of one margin pool, N owners."""

    pool: MarginPool
    assessed: F8  # (3, N) equity, initial, maintenance, minor units of the numeraire
    sums: F8  # (3,) of them
    liquidatable_since: I8  # (N,) tick
    bankrupt_since: I8  # (N,) tick
    live: MarginArrays
    probe: MarginArrays  # a lot of each instrument, long and then short
    moved: MarginArrays  # accounts with one mark moved, at prices of their own
    hypothetical: MarginArrays  # accounts of the owners who send orders, after fills
    before: MarginArrays  # the same before fills
    resting: I8  # (3, K, N) their resting orders: lots bid, lots offered, reserves
    required: F8  # (N,) their initial margin
    senders: I8  # (N,) their owners
    n_senders: I8  # (1,)
    opens: B1  # (N,) whether they have an order that may open
    is_affordable: B1  # (N,) whether they can afford all their orders
    n_refused: I8  # (1,) those that cannot
    first_order: I8  # (N,) the first order of each of these


class StepArrays:
    """Arrays of one market.

    Axes: N owners, K instruments, U underlyings, V venues, P pools, C assets.

    Args:
        market: its state.
        max_orders: largest number of orders of one step.
    """

    def __init__(self, market: MarketState, max_orders: int) -> None:
        self.market, self.max_orders = market, max_orders
        self.ledger: LedgerArrays = market.ledger.writable
        self.books: BookArrays = market.order_books.reserve_capacity(max_orders)
        self.counters = np.zeros(4, dtype=np.int64)
        self.round_state = np.zeros(6, dtype=np.int64)  # see NUMBER
        self.n_postings = 0  # entries of the journal that `moves` and fills hold
        self._allocate_instruments()
        self._allocate_underlyings()
        self._allocate_owners()
        self._allocate_orders(max_orders)
        self._allocate_payments()
        self.venues = [VenueArrays(self, venue) for venue in market.venues]
        self.pools = {
            number: self._allocate_pool(venue, number)
            for venue in market.venues
            for number in venue.pool_states
        }

    def _allocate_instruments(self) -> None:
        """Allocate what is known of instruments, (K,) ticks unless stated otherwise."""
        contracts = self.market.contracts
        count = len(contracts.names)
        self.mark, self.bid, self.ask, self.last, self.oracle_ticks = np.zeros((5, count))
        self.depth, self.depth_near, self.imbalance = np.zeros((3, count))  # lots, lots, share
        self.volatility, self.crowd, self.funding = np.zeros((3, count))
        self.open_interest, self.to_sell, self.to_buy = np.zeros((3, count), dtype=np.int64)
        self.max_leverage_long, self.max_leverage_short = np.zeros((2, count))
        self.lot_value = np.zeros(count)  # minor units of the numeraire at the mark
        self.unit_value = np.zeros(count, dtype=np.int64)  # the same in the settle asset
        self.quote_price = np.zeros(count)  # price of the settle asset
        self.is_spot: B1 = contracts.kind == SPOT
        self.external_spot_lots = np.zeros(count, dtype=np.int64)
        self.trade_sums = np.zeros((4, count), dtype=np.int64)

    def _allocate_underlyings(self) -> None:
        """Allocate what is known of underlyings and assets."""
        underlyings, n_venues = self.market.log_impact.size, len(self.market.venues)
        self.index, self.log_impact = np.zeros((2, underlyings))
        self.oracle, self.confidence = np.zeros((2, n_venues, underlyings))
        self.price = np.zeros(self.market.ledger.balance.shape[0])

    def _allocate_owners(self) -> None:
        """Allocate accounts as their owners see them, and as engines assess them."""
        n_venues, owners = len(self.market.venues), self.market.n_owners
        pools = len(self.market.ledger.pools)
        # (V, N) minor units of the numeraire
        self.equity, self.free_margin = np.zeros((2, n_venues, owners))
        self.row_of_owner = np.full(owners, -1)
        self.assessed = np.zeros((pools, 3, owners))  # equity, initial, maintenance
        self.pool_sums = np.zeros((pools, 3))

    def _allocate_payments(self) -> None:
        """Allocate the tables of a step's payments and cash moves."""
        owners = self.market.n_owners
        self.moves = np.zeros((0, 8), dtype=np.int64)
        self.reserve_moves(0)
        self.payments = np.zeros((self._count_payments(), 5), dtype=np.int64)
        self.passes = np.zeros(len(self.payments), dtype=np.bool_)  # payments that limits allow
        self.paid_before = np.zeros((2, owners), dtype=np.int64)  # earlier ones of each owner
        self.withdrawable = np.zeros(owners)  # minor units of the numeraire
        self.paid = np.zeros((len(self.market.venues), 7), dtype=np.int64)

    def _allocate_orders(self, count: int) -> None:
        """Allocate the tables of a step's orders."""
        table, column = (count, 8), (3, count)
        self.orders, self.packed = np.zeros((2, *table), dtype=np.int64)
        self.keys, self.chosen, self.stood = np.zeros(column, dtype=np.int64)
        self.row_of_order = np.zeros(count, dtype=np.int64)
        self.next_order = np.zeros(count, dtype=np.int64)
        self.admitted = np.zeros(count, dtype=np.bool_)
        self.reduces = np.zeros(count, dtype=np.bool_)
        self.replaced = np.zeros((count, 2), dtype=np.int64)

    def reserve_orders(self, count: int) -> None:
        """Replace the tables of orders by larger ones, unless they hold so many already."""
        sent = self.orders
        if count > len(sent):
            self._allocate_orders(2 * count)
            self.orders[: len(sent)] = sent

    def reserve_moves(self, more: int) -> None:
        """Make room for more cash moves beside those that a step may make; the array may move."""
        needed = int(self.counters[N_MOVES]) + more + self._count_moves()
        if needed > len(self.moves):
            grown = np.zeros((needed + more + needed // 8, 8), dtype=np.int64)
            grown[: len(self.moves)] = self.moves
            self.moves = grown

    def _count_moves(self) -> int:
        """Return the most cash moves of one step: payments, margin of orders, fees, idle margin."""
        market = self.market
        separate = sum(
            len(venue.pool_states)
            for venue in market.venues
            if venue.wallet_pool not in venue.pool_states
        )
        assets = market.ledger.balance.shape[0]
        return self._count_payments() + market.n_owners * (2 + separate * (assets + 3))

    def _count_payments(self) -> int:
        """Return the most payments of one step: a member pays into each account, or each wallet."""
        market = self.market
        accounts = 1 + len(market.contracts.names) + len(market.venues)
        return accounts * sum(
            population.count * population.n_sides
            for population in market.populations
            if population.n_cash_flow_draws or population.has_commitment
        )

    def _allocate_pool(self, venue: Venue, number: int) -> PoolArrays:
        """Return the arrays of one pool; the live accounts are those of the ledger."""
        state, owners = venue.pool_states[number], self.market.n_owners
        live = self._view_live_accounts(venue, state.pool)
        count = live.lot_value.size
        probe = MarginArrays.allocate(live, 2 * count)
        probe.position[:] = np.concatenate([np.eye(count), -np.eye(count)]).T
        moved = MarginArrays.allocate(live, owners)._replace(
            mark=np.zeros(count), lot_value=np.zeros(count)
        )
        return PoolArrays(
            pool=state.pool,
            assessed=self.assessed[number],
            sums=self.pool_sums[number],
            liquidatable_since=state.distress.liquidatable_since,
            bankrupt_since=state.distress.bankrupt_since,
            live=live,
            probe=probe,
            moved=moved,
            hypothetical=MarginArrays.allocate(live, owners),
            before=MarginArrays.allocate(live, owners),
            resting=np.zeros((3, count, owners), dtype=np.int64),
            required=np.zeros(owners),
            senders=np.zeros(owners, dtype=np.int64),
            n_senders=np.zeros(1, dtype=np.int64),
            opens=np.zeros(owners, dtype=np.bool_),
            is_affordable=np.zeros(owners, dtype=np.bool_),
            n_refused=np.zeros(1, dtype=np.int64),
            first_order=np.zeros(owners, dtype=np.int64),
        )

    def _view_live_accounts(self, venue: Venue, pool: MarginPool) -> MarginArrays:
        """Return the accounts of a pool in the ledger, with results of their own."""
        part, owners = pool.instruments, self.market.n_owners
        return MarginArrays(
            n_accounts=np.zeros(1, dtype=np.int64),
            position=self.ledger.position[part],
            entry=self.ledger.entry[part],
            leverage=self.ledger.max_leverage[part],
            balance=self.ledger.balance,
            pool=pool.number,
            mark=self.mark[part],
            lot_value=self.lot_value[part],
            is_spot=self.is_spot[part],
            settle=self.market.contracts.settle[part],
            price=self.price,
            initial=np.zeros(owners),
            maintenance=np.zeros(owners),
            market=self._list_market_arrays(venue, pool),
        )

    def _list_market_arrays(self, venue: Venue, pool: MarginPool) -> MarketArrays:
        """Return what the engine of a pool sees of the market."""
        part, view = pool.instruments, venue.pool_view(pool)
        return MarketArrays(
            contracts=view.contracts,
            mark=self.mark[part],
            bid=self.bid[part],
            ask=self.ask[part],
            depth=self.depth[part],
            funding=self.funding[part],
            volatility=self.volatility[part],
            open_interest=self.open_interest[part],
            oracle=self.oracle[venue.number],
            confidence=self.confidence[venue.number],
            seconds_per_year=find_seconds_per_year(view),
            dt=float(view.dt),
        )
