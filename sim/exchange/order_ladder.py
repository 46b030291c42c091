"""Ladder of prices and queues of orders in one flat array, compiled (BOOK-1).

The layout of the books of K instruments is:

- All books lie in ONE flat int64 array: a header, a section per instrument, and the pool of orders
  at the end. The pool can then grow at the end of the array while all offsets stay valid. A kernel
  with one array argument runs several times faster than one with ten. Inside, the offset of an
  order identifies it; 0 is no order.
- A section is a ladder with one rung per tick (queue head, queue tail, signed lots). Above it is a
  64-ary tree of bitmaps of the rungs in use, which finds the next one in two or three words. Both
  sides share it, because the book is never crossed. Rungs 0 and levels + 1 are always marked as in
  use: they end every search and stand for "no bid" and "no ask".
- An order is eight words, one cache line. It is queued at its rung and chained to the other orders
  of its owner.
"""

import numpy as np

from sim.numerics.jit import kernel
from sim.types import I8, MISSING

BUYS, SELLS, RESERVED = range(3)
"""Planes of `OrderBooks.resting_totals`."""

# header: free list, end of the used pool, number of orders, section size, price levels
FREE, TOP, LIVE, STRIDE, LEVELS = range(8, 13)
HEADER = 16  # words 0..7 are "order 0", which is written to and never read: this avoids branches
# section: best prices, last price, offsets of the bitmaps from TIERS on
BID, ASK, LAST, TIERS = range(4)
LADDER = 8
RUNG = 3
HEAD, TAIL, SUM = range(3)
# order: queue neighbours, signed lots, rung, owner and slot, reserve per lot, chain neighbours
NEXT, PREV, LOTS_LEFT, ORDER_RUNG = range(4)
OWNER_AND_SLOT, RESERVE_PER_LOT, NEWER, OLDER = range(4, 8)
ORDER = 8
LOW = 0xFFFFFFFF  # low half of OWNER_AND_SLOT = owner << 32 | (slot + 1) << 1 | reduce-only
# the 64 windows of six bits differ, so the top six bits of a shifted number identify the shift
_DE_BRUIJN = 0x03F79D71B4CB0A89
_BIT_PLACES = np.empty(64, dtype=np.int64)
_BIT_PLACES[[(_DE_BRUIJN << place >> 58) & 63 for place in range(64)]] = np.arange(64)


@kernel
def _find_lowest_bit(word: int) -> int:
    """Return the place of the lowest bit of a word that is not 0."""
    place: int = _BIT_PLACES[((word & -word) * _DE_BRUIJN >> 58) & 63]
    return place


@kernel
def _find_highest_bit(word: int) -> int:
    """Return the place of the highest bit of a word that is not 0."""
    for width in (1, 2, 4, 8, 16, 32):
        word |= word >> width
    return 63 if word < 0 else _BIT_PLACES[((word - (word >> 1)) * _DE_BRUIJN >> 58) & 63]


@kernel
def find_rung_above(data: I8, base: int, rung: int) -> int:
    """Return the next rung in use above this one."""
    tier = base + TIERS
    place = rung + 1
    word = data[data[tier] + (place >> 6)] & (-1 << (place & 63))
    while word == 0:
        tier += 1
        place = (place >> 6) + 1
        word = data[data[tier] + (place >> 6)] & (-1 << (place & 63))
    place = (place & ~63) + _find_lowest_bit(word)
    while tier > base + TIERS:
        tier -= 1
        place = (place << 6) + _find_lowest_bit(data[data[tier] + place])
    return place


@kernel
def find_rung_below(data: I8, base: int, rung: int) -> int:
    """Return the next rung in use below this one."""
    tier = base + TIERS
    place = rung - 1
    word = data[data[tier] + (place >> 6)] & ((2 << (place & 63)) - 1)
    while word == 0:
        tier += 1
        place = (place >> 6) - 1
        word = data[data[tier] + (place >> 6)] & ((2 << (place & 63)) - 1)
    place = (place & ~63) + _find_highest_bit(word)
    while tier > base + TIERS:
        tier -= 1
        place = (place << 6) + _find_highest_bit(data[data[tier] + place])
    return place


@kernel
def _mark_rung_used(data: I8, base: int, rung: int) -> None:
    """Mark a rung as in use."""
    tier = base + TIERS
    while True:
        word = data[tier] + (rung >> 6)
        before = data[word]
        data[word] = before | (1 << (rung & 63))
        if before:
            return
        rung >>= 6
        tier += 1


@kernel
def _mark_rung_empty(data: I8, base: int, rung: int) -> None:
    """Mark a rung as empty. The rungs at both ends keep the top of the tree from being empty."""
    tier = base + TIERS
    while True:
        word = data[tier] + (rung >> 6)
        data[word] &= ~(1 << (rung & 63))
        if data[word]:
            return
        rung >>= 6
        tier += 1


@kernel
def copy_books(data: I8, instruments: int, grown: I8) -> None:
    """Copy all books into a larger array of zeros, in which rungs that are not in use stay so.

    The pages of memory of a wide ladder are then not touched.
    """
    grown[:HEADER] = data[:HEADER]
    stride = data[STRIDE]
    end = HEADER + instruments * stride
    for base in range(HEADER, end, stride):
        grown[base : base + LADDER] = data[base : base + LADDER]
        bitmaps = data[base + TIERS]
        grown[bitmaps : base + stride] = data[bitmaps : base + stride]
        rung = find_rung_above(data, base, 0)
        while rung <= data[LEVELS]:
            place = base + LADDER + RUNG * rung
            grown[place : place + RUNG] = data[place : place + RUNG]
            rung = find_rung_above(data, base, rung)
    grown[end : data[TOP]] = data[end : data[TOP]]


@kernel
def find_order(data: I8, order: int, slot: int) -> int:
    """Return the order with this slot in the owner's chain from ``order`` on, or 0."""
    while order and (slot == MISSING or (data[order + OWNER_AND_SLOT] & LOW) >> 1 != slot + 1):
        order = data[order + NEWER]
    return order


@kernel
def find_order_near(data: I8, near: int, order: int, slot: int) -> int:
    """Return what ``find_order`` returns, at once if it is the order ``near`` of the same chain.

    Owners who replace a ladder of orders do it slot by slot, so the next one is beside the last.
    """
    if near and slot != MISSING and (data[near + OWNER_AND_SLOT] & LOW) >> 1 == slot + 1:
        return near
    return find_order(data, order, slot)


@kernel
def reduce_order(data: I8, resting: I8, instrument: int, order: int, lots: int) -> None:
    """Subtract signed lots from a resting order, its rung and its owner's totals."""
    owner = data[order + OWNER_AND_SLOT] >> 32
    data[order + LOTS_LEFT] -= lots
    base = HEADER + instrument * data[STRIDE]
    rung = base + LADDER + RUNG * data[order + ORDER_RUNG]
    data[rung + SUM] -= lots
    plane = BUYS if lots > 0 else SELLS
    resting[plane, instrument, owner] -= abs(lots)
    resting[RESERVED, instrument, owner] -= abs(lots) * data[order + RESERVE_PER_LOT]


@kernel
def remove_order(data: I8, resting: I8, chain: I8, instrument: int, order: int) -> None:
    """Cancel the rest of an order and free its place. The caller then updates the best price."""
    reduce_order(data, resting, instrument, order, data[order + LOTS_LEFT])
    owner = data[order + OWNER_AND_SLOT] >> 32
    first, older, newer = chain[instrument, owner], data[order + OLDER], data[order + NEWER]
    chain[instrument, owner] = newer if first == order else first
    data[older + NEWER] = newer
    data[newer + OLDER] = older
    base = HEADER + instrument * data[STRIDE]
    price = data[order + ORDER_RUNG]
    rung = base + LADDER + RUNG * price
    before, after = data[order + PREV], data[order + NEXT]
    ahead = before + NEXT if before else rung + HEAD
    behind = after + PREV if after else rung + TAIL
    data[ahead] = after
    data[behind] = before
    if before == 0 and after == 0:
        _mark_rung_empty(data, base, price)
    data[order] = data[FREE]
    data[FREE] = order
    data[LIVE] -= 1


@kernel
def queue_order(
    data: I8,
    resting: I8,
    chain: I8,
    instrument: int,
    owner: int,
    lots: int,
    price: int,
    tag: int,
    reserve: int,
) -> None:
    """Queue a new order of signed lots behind the others at its price."""
    free, top = data[FREE], data[TOP]
    order = free if free else top
    data[FREE] = data[free] if free else 0
    data[TOP] = top if free else top + ORDER
    data[LIVE] += 1
    base = HEADER + instrument * data[STRIDE]
    rung = base + LADDER + RUNG * price
    tail = data[rung + TAIL]
    behind = tail + NEXT if tail else rung + HEAD
    data[behind] = order
    if tail == 0:
        _mark_rung_used(data, base, price)
    best = base + (BID if lots > 0 else ASK)
    data[best] = max(data[best], price) if lots > 0 else min(data[best], price)
    older = chain[instrument, owner]
    chain[instrument, owner] = order
    data[older + OLDER] = order
    plane = BUYS if lots > 0 else SELLS
    resting[plane, instrument, owner] += abs(lots)
    resting[RESERVED, instrument, owner] += abs(lots) * reserve
    data[rung + TAIL] = order
    data[rung + SUM] += lots
    data[order + NEXT] = 0
    data[order + PREV] = tail
    data[order + LOTS_LEFT] = lots
    data[order + ORDER_RUNG] = price
    data[order + OWNER_AND_SLOT] = owner << 32 | tag
    data[order + RESERVE_PER_LOT] = reserve
    data[order + NEWER] = older
    data[order + OLDER] = 0
