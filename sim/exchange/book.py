"""Limit order books of K instruments for N owners (BOOK-1): interface of the compiled kernels.

`sim.exchange.matching` holds the kernels and names the columns of orders, fills and reports.
`sim.exchange.plain_book.PlainOrderBooks` has the same rules in plain Python.
"""

import mmap
import sys
from typing import NamedTuple

import numpy as np

from sim.exchange import matching, order_ladder
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, SLOT, SLOTS
from sim.numerics.jit import kernel
from sim.types import I8, MISSING, REDUCE_ONLY, Fills

FIRST_ORDERS = 2048
"""Orders for which new books have room."""


class MatchResult(NamedTuple):
    """Fills and report of a batch of n orders."""

    fills: I8  # (m, 6) in the order they happened
    report: I8  # (n, 5)


class BookArrays(NamedTuple):
    """Arrays of the order books, for kernels; they move when the books grow."""

    data: I8  # see `sim.exchange.order_ladder`
    resting: I8  # (3, K, N) resting buy lots, resting sell lots and reserved minor units
    chain: I8  # (K, N) newest order of each owner
    delta: I8  # (K, N) zeros between batches
    fills: I8  # (m, 6) room for the fills of a batch


def _allocate_pages(size: int) -> I8:
    """Return zeros on pages of their own, which take memory only once they are written to.

    They start on a cache line, so that an order touches one line only.
    """
    if sys.platform == "win32":
        return np.frombuffer(mmap.mmap(-1, 8 * size), dtype=np.int64)
    pages = mmap.mmap(-1, 8 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype=np.int64)


@kernel
def _find_invalid_row(orders: I8, instruments: int, owners: int) -> int:
    """Return the first row whose owner, instrument, slot or kind does not exist, or MISSING."""
    for row in range(len(orders)):
        fine = 0 <= orders[row, OWNER] < owners and 0 <= orders[row, INSTRUMENT] < instruments
        if not (
            fine
            and MISSING <= orders[row, SLOT] < SLOTS
            and 0 <= orders[row, KIND] < 2 * REDUCE_ONLY
        ):
            return row
    return MISSING


def _count_tier_words(n_rungs: int) -> list[int]:
    """Return the words of each tier of bitmaps over the rungs, the lowest tier first."""
    words = [-(-n_rungs // 64)]
    while words[-1] > 1:
        words.append(-(-words[-1] // 64))
    return words


def _mark_end_rungs(data: I8, tier_starts: I8, last_rung: int) -> None:
    """Mark the first and the last rung as in use in every tier of one section."""
    for tier, start in enumerate(tier_starts):
        for rung in (0, last_rung):
            word = start + (rung >> 6 * (tier + 1))
            bit = np.int64(rung >> 6 * tier & 63)
            data[word] |= np.int64(1) << bit


class OrderBooks:
    """Order books of K instruments for N owners.

    Args:
        instruments: K.
        owners: N, below 2**31.
        levels: largest price in ticks; the prices are 1..levels. Memory is 24 bytes per instrument
            and level, 40 per instrument and owner, 64 per resting order.

    Attributes:
        resting_totals: (3, K, N) resting buy lots, resting sell lots and reserved minor units of
            each owner. Read-only views of the totals that the kernels maintain.
    """

    def __init__(self, instruments: int, owners: int, levels: int) -> None:
        self.instruments, self.owners, self.levels = instruments, owners, levels
        self._chain = np.zeros((instruments, owners), dtype=np.int64)
        self._delta = np.zeros((instruments, owners), dtype=np.int64)
        self._resting_totals = np.zeros((3, instruments, owners), dtype=np.int64)
        self.resting_totals = self._resting_totals.view()
        self.resting_totals.flags.writeable = False
        self._fills = np.empty((0, 6), dtype=np.int64)
        self._data = self._allocate_empty()

    def _allocate_empty(self) -> I8:
        """Return the array of empty books without any order."""
        n_rungs = self.levels + 2
        tier_words = _count_tier_words(n_rungs)
        ends = np.cumsum([order_ladder.LADDER + order_ladder.RUNG * n_rungs, *tier_words])
        tier_starts = ends[:-1]
        stride = -(-int(ends[-1]) // 8) * 8
        end = order_ladder.HEADER + self.instruments * stride
        data = _allocate_pages(end + order_ladder.ORDER * FIRST_ORDERS)
        data[order_ladder.TOP] = end
        data[order_ladder.STRIDE] = stride
        data[order_ladder.LEVELS] = self.levels
        for base in range(order_ladder.HEADER, end, stride):
            data[base + order_ladder.BID] = 0
            data[base + order_ladder.ASK] = self.levels + 1
            data[base + order_ladder.LAST] = MISSING
            tiers = base + order_ladder.TIERS
            data[tiers : tiers + len(tier_words)] = base + tier_starts
            _mark_end_rungs(data, base + tier_starts, self.levels + 1)
        return data

    def reserve_capacity(self, incoming: int) -> "BookArrays":
        """Make room for a batch of orders, and return the arrays in which it is matched."""
        self._reserve_capacity(incoming)
        return BookArrays(self._data, self._resting_totals, self._chain, self._delta, self._fills)

    def __len__(self) -> int:
        """Return the number of resting orders."""
        return int(self._data[order_ladder.LIVE])

    def match(self, orders: I8, position: I8, bands: I8, stood: I8 | None = None) -> MatchResult:
        """Process a batch row by row in price-time priority; `PlainOrderBooks.match` has the rules.

        Args:
            orders: (n, 8) columns OWNER ... CAUSE.
            position: (K, N) lots held before the batch, for reduce-only orders; only read.
            bands: (K, 2) lowest and highest price allowed now; (1, levels) is none.
            stood: (n,) signed lots that each row would have replaced when it was decided; none =
                zeros.

        Raises:
            ValueError: an owner, instrument, slot or kind does not exist. The books are then
                unchanged.
        """
        report = np.empty((len(orders), 5), dtype=np.int64)
        stood = np.zeros(len(orders), dtype=np.int64) if stood is None else stood
        count = self._match_batch(orders, position, bands, stood, report)
        return MatchResult(self._fills[:count].copy(), report)

    def trade(self, orders: I8, position: I8, bands: I8, stood: I8) -> Fills:
        """Process a batch as `match` does, without a report, and return its fills."""
        count = self._match_batch(orders, position, bands, stood, np.empty((1, 5), dtype=np.int64))
        return Fills.from_table(self._fills[:count])

    def _match_batch(self, orders: I8, position: I8, bands: I8, stood: I8, report: I8) -> int:
        """Write ``self._fills`` and the report, and return the number of fills."""
        row = _find_invalid_row(orders, self.instruments, self.owners)
        if row != MISSING:
            raise ValueError(
                f"order {row}: {orders[row].tolist()} has an owner, instrument, slot or kind "
                "that does not exist"
            )
        self._reserve_capacity(len(orders))
        state = (self._data, self._resting_totals, self._chain, self._delta)
        return int(
            matching.match_orders(*state, position, bands, orders, stood, report, self._fills)
        )

    def _reserve_capacity(self, incoming: int) -> None:
        """Make room for all incoming orders to rest, and for a fill of each order."""
        n_orders = len(self) + incoming
        if len(self._fills) < n_orders:
            fills = np.empty((2 * n_orders, 6), dtype=np.int64)
            fills[: len(self._fills)] = self._fills  # those of the round that is under way
            self._fills = fills
        ladders = order_ladder.HEADER + self.instruments * int(self._data[order_ladder.STRIDE])
        if len(self._data) < ladders + order_ladder.ORDER * n_orders:
            grown = _allocate_pages(ladders + order_ladder.ORDER * 2 * n_orders)
            order_ladder.copy_books(self._data, self.instruments, grown)
            self._data = grown

    def cancel_owner_orders(self, instrument: int, owners: I8) -> int:
        """Cancel all orders of these owners in one instrument, and return their number."""
        return int(
            matching.cancel_owner_orders(
                self._data, self._resting_totals, self._chain, instrument, owners
            )
        )

    def top_of_book(self) -> I8:
        """Return best bid, best ask and last price of each instrument, (K, 3) ticks, or MISSING."""
        sections = self._data[
            order_ladder.HEADER : order_ladder.HEADER
            + self.instruments * self._data[order_ladder.STRIDE]
        ]
        tops = sections.reshape(self.instruments, -1)[
            :, [order_ladder.BID, order_ladder.ASK, order_ladder.LAST]
        ]
        tops[tops[:, 0] == 0, 0] = MISSING
        tops[tops[:, 1] > self.levels, 1] = MISSING
        return tops

    def sum_depth(self, low: I8, high: I8) -> I8:
        """Return lots of bids at ``low`` or above and of sell orders at ``high`` or below, (K, 2).

        Both limits are (K,) ticks.
        """
        depth = np.zeros((self.instruments, 2), dtype=np.int64)
        matching.sum_depth(self._data, low, high, depth)
        return depth

    def set_last_price(self, instrument: int, price: int) -> None:
        """Publish a last price without a trade, as before the first trade."""
        self._data[
            order_ladder.HEADER + instrument * self._data[order_ladder.STRIDE] + order_ladder.LAST
        ] = price

    def list_owner_orders(self, instrument: int, owner: int) -> I8:
        """Return an owner's resting orders by slot, (m, 5).

        The columns are slot, signed lots, price, reserve per lot and reduce-only.
        """
        first = self._chain[instrument, owner]
        no_rows = np.empty((0, 5), dtype=np.int64)
        count = matching.list_owner_orders(self._data, first, no_rows)
        resting = np.empty((count, 5), dtype=np.int64)
        matching.list_owner_orders(self._data, first, resting)
        return resting[np.argsort(resting[:, 0], kind="stable")]

    def find_replaced_orders(self, orders: I8) -> I8:
        """Return the resting orders that a batch would replace now, (n, 2).

        The columns are signed lots and reserve per lot.
        """
        replaced = np.empty((len(orders), 2), dtype=np.int64)
        matching.find_replaced_orders(self._data, self._chain, orders, replaced)
        return replaced
