"""The rules of the order books in plain Python (BOOK-1): slow, readable, and equal to `sim.exchange.book.OrderBooks`."""

from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from sim.exchange.book import MatchResult
from sim.exchange.matching import (
    BUYS,
    CANCELLED,
    FILLED,
    REFUSED_BAND,
    REFUSED_POST,
    REFUSED_REDUCE,
    RESERVED,
    RESTED,
    SELLS,
    UNKNOWN,
)
from sim.types import I8, IOC, MARKET, MISSING, POST_ONLY, REDUCE_ONLY


@dataclass(eq=False, slots=True)
class BookOrder:
    """An order on its way or at rest."""

    owner: int
    slot: int
    side: int  # +1 buys, -1 sells
    lots: int  # left, > 0
    price: int  # limit, ticks
    reserve: int  # minor units per lot
    is_reduce_only: bool


class BookSide:
    """The resting orders of one side of one book, best price first, oldest first at each price."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.ranks: list[int] = []  # -side * price in use, ascending: the best price comes first
        self.queues: dict[
            int, dict[BookOrder, None]
        ] = {}  # by price; a dict keeps the order of arrival

    def best_price(self) -> int:
        """Best price, or NOBODY."""
        return -self.side * self.ranks[0] if self.ranks else MISSING

    def add(self, order: BookOrder) -> None:
        """Queue an order behind the others at its price."""
        if order.price not in self.queues:
            insort(self.ranks, -self.side * order.price)
            self.queues[order.price] = {}
        self.queues[order.price][order] = None

    def remove(self, order: BookOrder) -> None:
        """Take an order out."""
        del self.queues[order.price][order]
        if not self.queues[order.price]:
            del self.queues[order.price]
            del self.ranks[bisect_left(self.ranks, -self.side * order.price)]


class InstrumentBook:
    """One instrument."""

    def __init__(self) -> None:
        self.sides = {1: BookSide(1), -1: BookSide(-1)}
        self.last = MISSING
        self.chains: dict[int, list[BookOrder]] = {}  # by owner, oldest first

    def doubled_mid(self) -> int:
        """Bid + ask in ticks, NOBODY if a side is empty."""
        bid, ask = self.sides[1].best_price(), self.sides[-1].best_price()
        return MISSING if MISSING in (bid, ask) else bid + ask


class PlainOrderBooks:
    """The order books of K instruments for N owners; arguments and attributes are those of `Books`."""

    def __init__(self, instruments: int, owners: int, levels: int) -> None:
        self.levels = levels
        self.books = [InstrumentBook() for _ in range(instruments)]
        self.resting_totals = np.zeros((3, instruments, owners), dtype=np.int64)
        self._lots_traded: dict[
            tuple[int, int], int
        ] = {}  # lots traded within the batch by (instrument, owner)
        self._fills: list[tuple[int, ...]] = []
        self._batch: list[
            list[int]
        ] = []  # rows, each with what stood, what it takes for that now, and its place

    def match(self, orders: I8, position: I8, bands: I8, stood: I8 | None = None) -> MatchResult:
        """Process a batch row by row, in price-time priority.

        1. The owner's resting order in the same slot is cancelled, whatever becomes of the row. (Slot NOBODY has
           none.) Consecutive post-only rows do this together, before the first of them is looked at: makers who
           requote at once do not meet one another's old quotes. Quantity 0 ends here: CANCELLED, or UNKNOWN if
           there was nothing. Lots of it that traded since the row was decided, when ``stood`` lots rested, are
           taken off a row of the same side, as CME's in-flight mitigation does: a replacement never adds to what
           it came too late to replace. Nothing left: FILLED. What an owner's rows just before it cancelled in the
           slot has not traded, and what they placed there on that side counts as what they replaced does.
        2. MARKET is IOC with its limit at the far end of the band. A limit outside 1..levels is refused; a buy above
           the band is limited to its upper end, a sell below it to its lower; a buy below it or a sell above it is
           refused: REFUSED_BAND. A limit inside the band may trade with older orders outside it.
        3. REDUCE_ONLY cuts the quantity to what closes the position, in-batch trades included: REFUSED_REDUCE if
           nothing is left.
        4. POST_ONLY is REFUSED_POST if its limit reaches the other side's best price.
        5. The order trades with the best price first, at each price with the oldest first, at the resting order's
           price. A resting order of the same owner is cancelled instead (self-trade prevention). A resting
           REDUCE_ONLY order trades no more than what still reduces its owner's position, and is cancelled when met
           with nothing to reduce. Lots cancelled in either way have not traded: rule 1 does not take them off a row
           that comes too late to replace them.
        6. What is left of IOC and MARKET is CANCELLED, of others RESTED at the limit. Nothing left: FILLED.
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
            for together, run in runs
            for line in self._process_rows(list(run), together, position, bands)
        ]
        return MatchResult(
            np.array(self._fills, dtype=np.int64).reshape(-1, 6),
            np.array(report, dtype=np.int64).reshape(-1, 5),
        )

    def _process_rows(
        self, rows: list[list[int]], together: bool, position: I8, bands: I8
    ) -> list[tuple[int, ...]]:
        """Lines of the report of consecutive rows, which may withdraw together what they replace."""
        gone = [self._cancel_replaced(row) if together else [] for row in rows]
        return [
            self._process_row(row, former, position, bands)
            for row, former in zip(rows, gone, strict=True)
        ]

    def _cancel_replaced(self, row: list[int]) -> list[BookOrder]:
        """Cancel what a row replaces."""
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
        """One row's line of the report."""
        book = self.books[row[1]]
        before = book.doubled_mid()
        status, filled = self._submit_order(
            row, former + self._cancel_replaced(row), position, bands[row[1]].tolist()
        )
        return status, filled, before, book.doubled_mid(), book.last

    def _submit_order(
        self, row: list[int], former: list[BookOrder], position: I8, band: list[int]
    ) -> tuple[int, int]:
        """Status and lots filled of one row."""
        owner, instrument, quantity, limit, kind, slot, reserve, _, _, stood, _ = row
        book = self.books[instrument]
        if quantity == 0:
            return (CANCELLED if former else UNKNOWN), 0
        side = 1 if quantity > 0 else -1
        reduces, kind = kind >= REDUCE_ONLY, kind % REDUCE_ONLY
        price = self._clamp_to_band(side, kind, limit, band)
        if price is None:
            return REFUSED_BAND, 0
        still = sum(max(side * order.side * order.lots, 0) for order in former)
        wanted = max(abs(quantity) - max(max(side * stood, 0) - still, 0), 0)
        if reduces:
            wanted = min(wanted, -side * self._current_position(instrument, owner, position))
        if wanted <= 0:
            return (REFUSED_REDUCE if reduces else FILLED), 0
        order = BookOrder(owner, slot, side, wanted, price, reserve, reduces)
        if kind == POST_ONLY and self._is_marketable(order, book):
            return REFUSED_POST, 0
        self._match_order(row, order, position)
        rests = order.lots and kind not in (IOC, MARKET)
        self._adjust_later_rows(row, order, wanted if rests else wanted - order.lots, others=False)
        if rests:
            self._queue_order(instrument, order)
            return RESTED, wanted - order.lots
        return (CANCELLED if order.lots else FILLED), wanted - order.lots

    def _clamp_to_band(self, side: int, kind: int, limit: int, band: list[int]) -> int | None:
        """Rule 2: the limit as the band allows it, None if refused."""
        low, high = max(band[0], 1), min(band[1], self.levels)
        if kind == MARKET:
            limit = high if side > 0 else low
        if not 1 <= limit <= self.levels:
            return None
        limit = min(limit, high) if side > 0 else max(limit, low)
        return limit if low <= limit <= high else None

    def _current_position(self, instrument: int, owner: int, position: I8) -> int:
        """Position of an owner as of now."""
        return int(position[instrument, owner]) + self._lots_traded.get((instrument, owner), 0)

    @staticmethod
    def _is_marketable(order: BookOrder, book: InstrumentBook) -> bool:
        """Whether an order's limit reaches the other side's best price."""
        best = book.sides[-order.side].best_price()
        return best != MISSING and order.side * (order.price - best) >= 0

    def _match_order(self, row: list[int], order: BookOrder, position: I8) -> None:
        """Rule 5."""
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
        """Add lots to what later rows of an order's slot hold for its side, that rule 1 may know what has traded."""
        for later in self._batch[row[-1] + 1 :]:
            if not others and later[0] != order.owner:
                return
            same = (later[0], later[1], later[5]) == (
                order.owner,
                row[1],
                order.slot,
            ) and order.slot != MISSING
            if same and later[8] * order.side > 0:
                later[9] += order.side * lots

    def _execute_fill(
        self, instrument: int, taker: BookOrder, maker: BookOrder, lots: int, cause: int
    ) -> None:
        """One trade at the maker's price."""
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
        """How many orders rest."""
        return sum(len(chain) for book in self.books for chain in book.chains.values())

    def cancel_owner_orders(self, instrument: int, owners: I8) -> int:
        """Cancel all orders of these owners in one instrument; returns how many there were."""
        before = len(self)
        for owner in owners.tolist():
            for order in list(self.books[instrument].chains.get(owner, [])):
                self._cancel_order(instrument, order)
        return before - len(self)

    def top_of_book(self) -> I8:
        """Best bid, best ask and last price of each instrument, (K, 3) ticks, NOBODY where there is none."""
        return np.array(
            [
                (book.sides[1].best_price(), book.sides[-1].best_price(), book.last)
                for book in self.books
            ],
            dtype=np.int64,
        )

    def sum_depth(self, low: I8, high: I8) -> I8:
        """Lots of bids at ``low`` (K,) ticks or above and of asks at ``high`` (K,) or below, (K, 2)."""
        depth = np.zeros((len(self.books), 2), dtype=np.int64)
        for instrument, book in enumerate(self.books):
            for order in (order for chain in book.chains.values() for order in chain):
                if order.side > 0 and order.price >= low[instrument]:
                    depth[instrument, 0] += order.lots
                if order.side < 0 and order.price <= high[instrument]:
                    depth[instrument, 1] += order.lots
        return depth

    def set_last_price(self, instrument: int, price: int) -> None:
        """Publish a last price without a trade, as before the first."""
        self.books[instrument].last = price

    def list_owner_orders(self, instrument: int, owner: int) -> I8:
        """An owner's resting orders by slot, (m, 5): slot, signed lots, price, reserve per lot, reduce-only."""
        chain = sorted(self.books[instrument].chains.get(owner, []), key=lambda order: order.slot)
        rows = [
            (order.slot, order.side * order.lots, order.price, order.reserve, order.is_reduce_only)
            for order in chain
        ]
        return np.array(rows, dtype=np.int64).reshape(-1, 5)

    def find_replaced_orders(self, orders: I8) -> I8:
        """What rests now where each order of a batch would replace: signed lots and reserve per lot, (n, 2)."""
        found = np.zeros((len(orders), 2), dtype=np.int64)
        for row, (owner, instrument, _, _, _, slot, _, _) in enumerate(orders.tolist()):
            for order in self.books[instrument].chains.get(owner, []):
                if order.slot == slot != MISSING:
                    found[row] = order.side * order.lots, order.reserve
        return found
