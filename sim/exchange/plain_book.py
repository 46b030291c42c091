"""Order books in plain Python (BOOK-1): slow and readable, with the results of `OrderBooks`."""

from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from sim.exchange.book import MatchResult
from sim.exchange.matching import (
    CANCELLED,
    FILLED,
    REFUSED_BAND,
    REFUSED_POST,
    REFUSED_REDUCE,
    RESTED,
    UNKNOWN,
)
from sim.exchange.order_ladder import BUYS, RESERVED, SELLS
from sim.types import I8, IOC, MARKET, MISSING, POST_ONLY, REDUCE_ONLY


@dataclass(eq=False, slots=True)
class BookOrder:
    """Order that is incoming or resting."""

    owner: int
    slot: int
    side: int  # +1 buys, -1 sells
    lots: int  # lots left, > 0
    price: int  # limit, ticks
    reserve: int  # minor units per lot
    is_reduce_only: bool


class BookSide:
    """Resting orders of one side of one book: best price first, oldest first at each price."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.ranks: list[int] = []  # -side * price in use, ascending: the best price comes first
        # by price; a dict keeps the order of arrival
        self.queues: dict[int, dict[BookOrder, None]] = {}

    def best_price(self) -> int:
        """Return the best price, or MISSING."""
        return -self.side * self.ranks[0] if self.ranks else MISSING

    def add(self, order: BookOrder) -> None:
        """Queue an order behind the others at its price."""
        if order.price not in self.queues:
            insort(self.ranks, -self.side * order.price)
            self.queues[order.price] = {}
        self.queues[order.price][order] = None

    def remove(self, order: BookOrder) -> None:
        """Remove an order."""
        del self.queues[order.price][order]
        if not self.queues[order.price]:
            del self.queues[order.price]
            del self.ranks[bisect_left(self.ranks, -self.side * order.price)]


class InstrumentBook:
    """Order book of one instrument."""

    def __init__(self) -> None:
        self.sides = {1: BookSide(1), -1: BookSide(-1)}
        self.last = MISSING
        self.chains: dict[int, list[BookOrder]] = {}  # by owner, oldest first

    def doubled_mid(self) -> int:
        """Return bid + ask in ticks, MISSING if a side is empty."""
        bid, ask = self.sides[1].best_price(), self.sides[-1].best_price()
        return MISSING if MISSING in (bid, ask) else bid + ask


class PlainOrderBooks:
    """Order books of K instruments for N owners; arguments and attributes as in `OrderBooks`."""

    def __init__(self, instruments: int, owners: int, levels: int) -> None:
        self.levels = levels
        self.books = [InstrumentBook() for _ in range(instruments)]
        self.resting_totals = np.zeros((3, instruments, owners), dtype=np.int64)
        # lots traded within the batch by (instrument, owner)
        self._lots_traded: dict[tuple[int, int], int] = {}
        self._fills: list[tuple[int, ...]] = []
        # rows; each ends with the lots that stood at its decision, those it counts now, its place
        self._batch: list[list[int]] = []

    def match(self, orders: I8, position: I8, bands: I8, stood: I8 | None = None) -> MatchResult:
        """Process a batch row by row, in price-time priority.

        1. The owner's resting order in the same slot is cancelled, whatever happens to the row.
           (Slot MISSING has none.) Consecutive post-only rows do this together, before the first of
           them is processed. Makers who requote at once therefore do not meet the old quotes of
           each other. A row of quantity 0 ends here: CANCELLED, or UNKNOWN if there was no order.
           When the row was decided, ``stood`` lots rested. Those of them that have traded since are
           subtracted from a row of the same side, as CME's in-flight mitigation does: a replacement
           never adds to the order that it came too late to replace. If no lots are left the row is
           FILLED. Lots that the owner's rows just before it cancelled in the slot have not traded.
           Lots that those rows placed there on that side count as the lots they replaced do.
        2. MARKET is IOC with its limit at the far end of the band. A limit outside 1..levels is
           REFUSED_BAND. A buy above the band is limited to its upper end, a sell below it to its
           lower end. A buy below the band or a sell above it is REFUSED_BAND, too. A limit inside
           the band may trade with older orders outside it.
        3. REDUCE_ONLY cuts the quantity to the lots that close the position, trades of the batch
           included. It is REFUSED_REDUCE if no lots are left.
        4. POST_ONLY is REFUSED_POST if its limit reaches the other side's best price.
        5. The order trades with the best price first, at each price with the oldest order first, at
           the price of the resting order. A resting order of the same owner is cancelled instead
           (self-trade prevention). A resting REDUCE_ONLY order trades no more lots than still
           reduce its owner's position, and is cancelled when it is met with nothing to reduce. Lots
           cancelled in either way have not traded: rule 1 does not subtract them from a row that
           comes too late to replace them.
        6. The rest of IOC and MARKET orders is CANCELLED, that of other orders RESTED at the limit.
           An order without a rest is FILLED.
        """
        self._fills, self._lots_traded = [], {}
        known = [0] * len(orders) if stood is None else stood.tolist()
        rows = [
            [*row, lots, lots, place]
            for place, (row, lots) in enumerate(zip(orders.tolist(), known, strict=True))
        ]
        self._batch = rows
        runs = groupby(rows, key=lambda row: row[4] % REDUCE_ONLY == POST_ONLY)
        report = [
            line
            for is_post_only, run in runs
            for line in self._process_rows(list(run), is_post_only, position, bands)
        ]
        return MatchResult(
            np.array(self._fills, dtype=np.int64).reshape(-1, 6),
            np.array(report, dtype=np.int64).reshape(-1, 5),
        )

    def _process_rows(
        self, rows: list[list[int]], is_post_only: bool, position: I8, bands: I8
    ) -> list[tuple[int, ...]]:
        """Return the report lines of consecutive rows.

        Post-only rows first withdraw the orders they replace, all together.
        """
        withdrawn = [self._cancel_replaced(row) if is_post_only else [] for row in rows]
        return [
            self._process_row(row, former, position, bands)
            for row, former in zip(rows, withdrawn, strict=True)
        ]

    def _cancel_replaced(self, row: list[int]) -> list[BookOrder]:
        """Cancel the orders that a row replaces, and return them."""
        owner, instrument, slot = row[0], row[1], row[5]
        former = [
            order
            for order in self.books[instrument].chains.get(owner, [])
            if order.slot == slot != MISSING
        ]
        for order in former:
            self._adjust_later_rows(row, order, -order.lots, others=False)
            self._cancel_order(instrument, order)
        return former

    def _process_row(
        self, row: list[int], former: list[BookOrder], position: I8, bands: I8
    ) -> tuple[int, ...]:
        """Return the report line of one row."""
        book = self.books[row[1]]
        before = book.doubled_mid()
        status, filled = self._submit_order(
            row, former + self._cancel_replaced(row), position, bands[row[1]].tolist()
        )
        return status, filled, before, book.doubled_mid(), book.last

    def _submit_order(
        self, row: list[int], former: list[BookOrder], position: I8, band: list[int]
    ) -> tuple[int, int]:
        """Submit one row, and return its status and the lots filled."""
        owner, instrument, quantity, limit, kind, slot, reserve, _, _, stood, _ = row
        book = self.books[instrument]
        if quantity == 0:
            return (CANCELLED if former else UNKNOWN), 0
        side = 1 if quantity > 0 else -1
        is_reduce_only, kind = kind >= REDUCE_ONLY, kind % REDUCE_ONLY
        price = self._clamp_to_band(side, kind, limit, band)
        if price is None:
            return REFUSED_BAND, 0
        lots = self._count_remaining_lots(side, abs(quantity), stood, former)
        if is_reduce_only:
            lots = min(lots, -side * self._current_position(instrument, owner, position))
        if lots <= 0:
            return (REFUSED_REDUCE if is_reduce_only else FILLED), 0
        order = BookOrder(owner, slot, side, lots, price, reserve, is_reduce_only)
        if kind == POST_ONLY and self._is_marketable(order, book):
            return REFUSED_POST, 0
        return self._execute_order(row, order, position, may_rest=kind not in (IOC, MARKET))

    @staticmethod
    def _count_remaining_lots(side: int, lots: int, stood: int, former: list[BookOrder]) -> int:
        """Apply rule 1: return the lots of a row, less those of its former that have traded."""
        left = sum(max(side * order.side * order.lots, 0) for order in former)
        traded = max(max(side * stood, 0) - left, 0)
        return max(lots - traded, 0)

    def _execute_order(
        self, row: list[int], order: BookOrder, position: I8, *, may_rest: bool
    ) -> tuple[int, int]:
        """Match an order and queue its rest; return its status and the lots filled."""
        lots = order.lots
        self._match_order(row, order, position)
        filled = lots - order.lots
        rests = order.lots and may_rest
        self._adjust_later_rows(row, order, lots if rests else filled, others=False)
        if rests:
            self._queue_order(row[1], order)
            return RESTED, filled
        return (CANCELLED if order.lots else FILLED), filled

    def _clamp_to_band(self, side: int, kind: int, limit: int, band: list[int]) -> int | None:
        """Apply rule 2: return the limit within the band, None if it is refused."""
        low, high = max(band[0], 1), min(band[1], self.levels)
        if kind == MARKET:
            limit = high if side > 0 else low
        if not 1 <= limit <= self.levels:
            return None
        limit = min(limit, high) if side > 0 else max(limit, low)
        return limit if low <= limit <= high else None

    def _current_position(self, instrument: int, owner: int, position: I8) -> int:
        """Return the present position of an owner, trades of the batch included."""
        return int(position[instrument, owner]) + self._lots_traded.get((instrument, owner), 0)

    @staticmethod
    def _is_marketable(order: BookOrder, book: InstrumentBook) -> bool:
        """Return whether an order's limit reaches the other side's best price."""
        best = book.sides[-order.side].best_price()
        return best != MISSING and order.side * (order.price - best) >= 0

    def _match_order(self, row: list[int], order: BookOrder, position: I8) -> None:
        """Apply rule 5: trade with the resting orders that the limit reaches."""
        instrument, cause = row[1], row[7]
        book = self.books[instrument]
        other_side = book.sides[-order.side]
        while order.lots and self._is_marketable(order, book):
            maker = next(iter(other_side.queues[other_side.best_price()]))
            lots = min(order.lots, maker.lots)
            if maker.is_reduce_only:
                lots = min(
                    lots, -maker.side * self._current_position(instrument, maker.owner, position)
                )
            if maker.owner == order.owner or lots <= 0:
                self._adjust_later_rows(row, maker, -maker.lots, others=True)
                self._cancel_order(instrument, maker)
                continue
            self._execute_fill(instrument, order, maker, lots, cause)

    def _adjust_later_rows(
        self, row: list[int], order: BookOrder, lots: int, *, others: bool
    ) -> None:
        """Add lots to those that later rows of an order's slot count as resting (rule 1)."""
        for later in self._batch[row[-1] + 1 :]:
            if not others and later[0] != order.owner:
                return
            is_same_slot = (later[0], later[1], later[5]) == (
                order.owner,
                row[1],
                order.slot,
            ) and order.slot != MISSING
            if is_same_slot and later[8] * order.side > 0:
                later[9] += order.side * lots

    def _execute_fill(
        self, instrument: int, taker: BookOrder, maker: BookOrder, lots: int, cause: int
    ) -> None:
        """Execute one trade at the maker's price."""
        for order in (taker, maker):
            key = (instrument, order.owner)
            self._lots_traded[key] = self._lots_traded.get(key, 0) + order.side * lots
        self._fills.append(
            (taker.owner, maker.owner, instrument, taker.side * lots, maker.price, cause)
        )
        self.books[instrument].last = maker.price
        taker.lots -= lots
        self._add_to_totals(instrument, maker, -lots)
        maker.lots -= lots
        if not maker.lots:
            self._cancel_order(instrument, maker)

    def _add_to_totals(self, instrument: int, order: BookOrder, lots: int) -> None:
        """Add lots of an order to its owner's totals."""
        self.resting_totals[BUYS if order.side > 0 else SELLS, instrument, order.owner] += lots
        self.resting_totals[RESERVED, instrument, order.owner] += lots * order.reserve

    def _queue_order(self, instrument: int, order: BookOrder) -> None:
        book = self.books[instrument]
        book.sides[order.side].add(order)
        book.chains.setdefault(order.owner, []).append(order)
        self._add_to_totals(instrument, order, order.lots)

    def _cancel_order(self, instrument: int, order: BookOrder) -> None:
        book = self.books[instrument]
        book.sides[order.side].remove(order)
        book.chains[order.owner].remove(order)
        self._add_to_totals(instrument, order, -order.lots)

    def __len__(self) -> int:
        """Return the number of resting orders."""
        return sum(len(chain) for book in self.books for chain in book.chains.values())

    def cancel_owner_orders(self, instrument: int, owners: I8) -> int:
        """Cancel all orders of these owners in one instrument, and return their number."""
        before = len(self)
        for owner in owners.tolist():
            for order in list(self.books[instrument].chains.get(owner, [])):
                self._cancel_order(instrument, order)
        return before - len(self)

    def top_of_book(self) -> I8:
        """Return best bid, best ask and last price of each instrument, (K, 3) ticks, or MISSING."""
        return np.array(
            [
                (book.sides[1].best_price(), book.sides[-1].best_price(), book.last)
                for book in self.books
            ],
            dtype=np.int64,
        )

    def sum_depth(self, low: I8, high: I8) -> I8:
        """Return lots of bids at ``low`` or above and of sell orders at ``high`` or below, (K, 2).

        Both limits are (K,) ticks.
        """
        depth = np.zeros((len(self.books), 2), dtype=np.int64)
        for instrument, book in enumerate(self.books):
            for order in (order for chain in book.chains.values() for order in chain):
                if order.side > 0 and order.price >= low[instrument]:
                    depth[instrument, 0] += order.lots
                if order.side < 0 and order.price <= high[instrument]:
                    depth[instrument, 1] += order.lots
        return depth

    def set_last_price(self, instrument: int, price: int) -> None:
        """Publish a last price without a trade, as before the first trade."""
        self.books[instrument].last = price

    def list_owner_orders(self, instrument: int, owner: int) -> I8:
        """Return an owner's resting orders by slot, (m, 5).

        The columns are slot, signed lots, price, reserve per lot and reduce-only.
        """
        chain = sorted(self.books[instrument].chains.get(owner, []), key=lambda order: order.slot)
        rows = [
            (order.slot, order.side * order.lots, order.price, order.reserve, order.is_reduce_only)
            for order in chain
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 5)

    def find_replaced_orders(self, orders: I8) -> I8:
        """Return the resting orders that a batch would replace now, (n, 2).

        The columns are signed lots and reserve per lot.
        """
        replaced = np.zeros((len(orders), 2), dtype=np.int64)
        for row, (owner, instrument, _, _, _, slot, _, _) in enumerate(orders.tolist()):
            for order in self.books[instrument].chains.get(owner, []):
                if order.slot == slot != MISSING:
                    replaced[row] = order.side * order.lots, order.reserve
        return replaced
