"""Limit order books of K instruments for N owners (BOOK-1): the compiled books as one object.

`sim.exchange.matching` holds the kernels and names the columns of orders, fills and reports;
`sim.exchange.plain_book.PlainOrderBooks` has the same rules in plain Python.
"""

from typing import NamedTuple

import numpy as np

from sim.exchange import matching
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, SLOT, SLOTS
from sim.numerics.jit import kernel
from sim.types import I8, MISSING, REDUCE_ONLY, Fills


class MatchResult(NamedTuple):
    """What a batch of n orders did."""

    fills: I8  # (m, 6) in the order they happened
    report: I8  # (n, 5)


def _allocate_cache_aligned(size: int) -> I8:
    """Zeros that start on a cache line, so that an order touches one line only."""
    room = np.zeros(size + 8, dtype=np.int64)
    skip = -(room.ctypes.data // 8) % 8
    return room[skip : skip + size]


@kernel
def _find_invalid_row(orders: I8, instruments: int, owners: int) -> int:
    """First row whose owner, instrument, slot or kind does not exist, or NOBODY."""
    for row in range(len(orders)):
        fine = 0 <= orders[row, OWNER] < owners and 0 <= orders[row, INSTRUMENT] < instruments
        if not (
            fine
            and MISSING <= orders[row, SLOT] < SLOTS
            and 0 <= orders[row, KIND] < 2 * REDUCE_ONLY
        ):
            return row
    return MISSING


class OrderBooks:
    """The order books of K instruments for N owners.

    Args:
        instruments: K.
        owners: N, below 2**31.
        levels: largest price in ticks; the prices are 1..levels. Memory is 24 bytes per instrument and level,
            40 per instrument and owner, 64 per resting order.

    Attributes:
        resting: (3, K, N) resting buy lots, resting sell lots and minor units reserved, of each owner: read-only
            views of what the kernels keep exact.
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
        """Empty books and no pool."""
        widths = [-(-(self.levels + 2) // 64)]
        while widths[-1] > 1:
            widths.append(-(-widths[-1] // 64))
        starts = np.cumsum([matching._LADDER + matching._RUNG * (self.levels + 2), *widths])
        stride = -(-int(starts[-1]) // 8) * 8
        data = _allocate_cache_aligned(matching._HEADER + self.instruments * stride)
        data[[matching._TOP, matching._STRIDE, matching._LEVELS]] = len(data), stride, self.levels
        for base in range(matching._HEADER, len(data), stride):
            data[base + matching._BID : base + matching._TIERS] = 0, self.levels + 1, MISSING
            data[base + matching._TIERS : base + matching._TIERS + len(widths)] = base + starts[:-1]
            for tier, start in enumerate(base + starts[:-1]):
                for rung in (0, self.levels + 1):
                    data[start + (rung >> 6 * (tier + 1))] |= np.int64(1) << np.int64(
                        rung >> 6 * tier & 63
                    )
        return data

    def __len__(self) -> int:
        """How many orders rest."""
        return int(self._data[matching._LIVE])

    def match(self, orders: I8, position: I8, bands: I8, stood: I8 | None = None) -> MatchResult:
        """Process a batch row by row in price-time priority; `PlainBooks.match` says what each row does.

        Args:
            orders: (n, 8) columns OWNER ... CAUSE.
            position: (K, N) lots held before the batch, for reduce-only orders; only read.
            bands: (K, 2) lowest and highest price allowed now; (1, levels) is none.
            stood: (n,) signed lots that each row would have replaced when it was decided; none = nothing to mind.

        Raises:
            ValueError: an owner, instrument, slot or kind that does not exist; nothing has been done then.
        """
        report = np.empty((len(orders), 5), dtype=np.int64)
        stood = np.zeros(len(orders), dtype=np.int64) if stood is None else stood
        count = self._match_batch(orders, position, bands, stood, report)
        return MatchResult(self._fills[:count].copy(), report)

    def trade(self, orders: I8, position: I8, bands: I8, stood: I8) -> Fills:
        """The same as `match` for those who need no report."""
        count = self._match_batch(orders, position, bands, stood, np.empty((1, 5), dtype=np.int64))
        return Fills.from_table(self._fills[:count])

    def _match_batch(self, orders: I8, position: I8, bands: I8, stood: I8, report: I8) -> int:
        """Fill ``self._fills`` and the report; returns the number of fills."""
        row = _find_invalid_row(orders, self.instruments, self.owners)
        if row != MISSING:
            raise ValueError(
                f"order {row}: {orders[row].tolist()} names an owner, instrument, slot or kind that is not"
            )
        self._reserve_capacity(len(orders))
        state = (self._data, self._resting_totals, self._chain, self._delta)
        return int(
            matching.match_orders(*state, position, bands, orders, stood, report, self._fills)
        )

    def _reserve_capacity(self, incoming: int) -> None:
        """Room for all incoming orders to rest, and for a fill of each order, resting or incoming."""
        most = len(self) + incoming
        if len(self._fills) < most:
            self._fills = np.empty((2 * most, 6), dtype=np.int64)
        ladders = matching._HEADER + self.instruments * int(self._data[matching._STRIDE])
        if len(self._data) < ladders + matching._ORDER * most:
            grown = _allocate_cache_aligned(ladders + matching._ORDER * 2 * most)
            grown[: len(self._data)] = self._data
            self._data = grown

    def cancel_owner_orders(self, instrument: int, owners: I8) -> int:
        """Cancel all orders of these owners in one instrument; returns how many there were."""
        return int(
            matching.cancel_owner_orders(
                self._data, self._resting_totals, self._chain, instrument, owners
            )
        )

    def top_of_book(self) -> I8:
        """Best bid, best ask and last price of each instrument, (K, 3) ticks, NOBODY where there is none."""
        sections = self._data[
            matching._HEADER : matching._HEADER + self.instruments * self._data[matching._STRIDE]
        ]
        tops = sections.reshape(self.instruments, -1)[
            :, [matching._BID, matching._ASK, matching._LAST]
        ]
        tops[tops[:, 0] == 0, 0] = MISSING
        tops[tops[:, 1] > self.levels, 1] = MISSING
        return tops

    def sum_depth(self, low: I8, high: I8) -> I8:
        """Lots of bids at ``low`` (K,) ticks or above and of asks at ``high`` (K,) or below, (K, 2)."""
        depth = np.zeros((self.instruments, 2), dtype=np.int64)
        matching.sum_depth(self._data, low, high, depth)
        return depth

    def set_last_price(self, instrument: int, price: int) -> None:
        """Publish a last price without a trade, as before the first."""
        self._data[
            matching._HEADER + instrument * self._data[matching._STRIDE] + matching._LAST
        ] = price

    def list_owner_orders(self, instrument: int, owner: int) -> I8:
        """An owner's resting orders by slot, (m, 5): slot, signed lots, price, reserve per lot, reduce-only."""
        first = self._chain[instrument, owner]
        found = np.empty(
            (matching.list_owner_orders(self._data, first, np.empty((0, 5), dtype=np.int64)), 5),
            dtype=np.int64,
        )
        matching.list_owner_orders(self._data, first, found)
        return found[np.argsort(found[:, 0], kind="stable")]

    def find_replaced_orders(self, orders: I8) -> I8:
        """What rests now where each order of a batch would replace: signed lots and reserve per lot, (n, 2)."""
        found = np.empty((len(orders), 2), dtype=np.int64)
        matching.find_replaced_orders(self._data, self._chain, orders, found)
        return found
