"""Limit order books of K instruments for N owners, compiled (BOOK-1).

`sim.exchange.plain_book.PlainOrderBooks` states the same rules in plain Python, and a test checks
that both agree to the last lot. The layout of the compiled books is:

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
from sim.types import I8, IOC, MARKET, MISSING, POST_ONLY

OWNER, INSTRUMENT, QUANTITY, PRICE, KIND, SLOT, RESERVE, CAUSE = range(8)
"""Columns of a batch of orders. PRICE is the limit, RESERVE the minor units reserved per lot."""

TAKER, MAKER, TRADED, LOTS, TICKS, REASON = range(6)
"""Columns of fills, as in `sim.types.Fills`: owners, instrument, signed lots, price, cause."""

STATUS, FILLED_LOTS, MID2_BEFORE, MID2_AFTER, LAST_AFTER = range(5)
"""Columns of a report. A doubled mid is bid + ask in ticks, MISSING if a side is empty."""

RESTED, FILLED, CANCELLED, UNKNOWN, REFUSED_BAND, REFUSED_REDUCE, REFUSED_POST = range(7)
"""Statuses of an order's last lot. UNKNOWN is the cancel of an order that does not exist."""

BUYS, SELLS, RESERVED = range(3)
"""Planes of `OrderBooks.resting_totals`."""

SLOTS = 2**31 - 1
"""Slots are below this number. An order in slot MISSING replaces nothing. It can be cancelled only
together with all other orders of its owner.
"""

# header: free list, end of the used pool, number of orders, section size, price levels
_FREE, _TOP, _LIVE, _STRIDE, _LEVELS = range(8, 13)
_HEADER = 16  # words 0..7 are "order 0", which is written to and never read: this avoids branches
# section: best prices, last price, offsets of the bitmaps from _TIERS on
_BID, _ASK, _LAST, _TIERS = range(4)
_LADDER = 8
_RUNG = 3
_HEAD, _TAIL, _SUM = range(3)
# order: queue neighbours, signed lots, rung, owner and slot, reserve per lot, chain neighbours
_NEXT, _PREV, _LOTS_LEFT, _ORDER_RUNG = range(4)
_OWNER_AND_SLOT, _RESERVE_PER_LOT, _NEWER, _OLDER = range(4, 8)
_ORDER = 8
_LOW = 0xFFFFFFFF  # low half of _OWNER_AND_SLOT = owner << 32 | (slot + 1) << 1 | reduce-only
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
def _find_rung_above(data: I8, base: int, rung: int) -> int:
    """Return the next rung in use above this one."""
    tier = base + _TIERS
    place = rung + 1
    word = data[data[tier] + (place >> 6)] & (-1 << (place & 63))
    while word == 0:
        tier += 1
        place = (place >> 6) + 1
        word = data[data[tier] + (place >> 6)] & (-1 << (place & 63))
    place = (place & ~63) + _find_lowest_bit(word)
    while tier > base + _TIERS:
        tier -= 1
        place = (place << 6) + _find_lowest_bit(data[data[tier] + place])
    return place


@kernel
def _find_rung_below(data: I8, base: int, rung: int) -> int:
    """Return the next rung in use below this one."""
    tier = base + _TIERS
    place = rung - 1
    word = data[data[tier] + (place >> 6)] & ((2 << (place & 63)) - 1)
    while word == 0:
        tier += 1
        place = (place >> 6) - 1
        word = data[data[tier] + (place >> 6)] & ((2 << (place & 63)) - 1)
    place = (place & ~63) + _find_highest_bit(word)
    while tier > base + _TIERS:
        tier -= 1
        place = (place << 6) + _find_highest_bit(data[data[tier] + place])
    return place


@kernel
def _mark_rung_used(data: I8, base: int, rung: int) -> None:
    """Mark a rung as in use."""
    tier = base + _TIERS
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
    tier = base + _TIERS
    while True:
        word = data[tier] + (rung >> 6)
        data[word] &= ~(1 << (rung & 63))
        if data[word]:
            return
        rung >>= 6
        tier += 1


@kernel
def _find_order(data: I8, order: int, slot: int) -> int:
    """Return the order with this slot in the owner's chain from ``order`` on, or 0."""
    while order and (slot == MISSING or (data[order + _OWNER_AND_SLOT] & _LOW) >> 1 != slot + 1):
        order = data[order + _NEWER]
    return order


@kernel
def _reduce_order(data: I8, resting: I8, instrument: int, order: int, lots: int) -> None:
    """Subtract signed lots from a resting order, its rung and its owner's totals."""
    owner = data[order + _OWNER_AND_SLOT] >> 32
    data[order + _LOTS_LEFT] -= lots
    base = _HEADER + instrument * data[_STRIDE]
    rung = base + _LADDER + _RUNG * data[order + _ORDER_RUNG]
    data[rung + _SUM] -= lots
    plane = BUYS if lots > 0 else SELLS
    resting[plane, instrument, owner] -= abs(lots)
    resting[RESERVED, instrument, owner] -= abs(lots) * data[order + _RESERVE_PER_LOT]


@kernel
def _remove_order(data: I8, resting: I8, chain: I8, instrument: int, order: int) -> None:
    """Cancel the rest of an order and free its place. The caller then updates the best price."""
    _reduce_order(data, resting, instrument, order, data[order + _LOTS_LEFT])
    owner = data[order + _OWNER_AND_SLOT] >> 32
    first, older, newer = chain[instrument, owner], data[order + _OLDER], data[order + _NEWER]
    chain[instrument, owner] = newer if first == order else first
    data[older + _NEWER] = newer
    data[newer + _OLDER] = older
    base = _HEADER + instrument * data[_STRIDE]
    price = data[order + _ORDER_RUNG]
    rung = base + _LADDER + _RUNG * price
    before, after = data[order + _PREV], data[order + _NEXT]
    ahead = before + _NEXT if before else rung + _HEAD
    behind = after + _PREV if after else rung + _TAIL
    data[ahead] = after
    data[behind] = before
    if before == 0 and after == 0:
        _mark_rung_empty(data, base, price)
    data[order] = data[_FREE]
    data[_FREE] = order
    data[_LIVE] -= 1


@kernel
def _adjust_later_rows(
    known: I8, stood: I8, orders: I8, row: int, packed: int, held: int, change: int, others: bool
) -> None:
    """Change the lots that later rows of a slot count as resting, on the side ``held``.

    With ``others`` the search passes rows of other owners; without it ends at the first of them.
    """
    owner, slot, later = packed >> 32, ((packed & _LOW) >> 1) - 1, row + 1
    while (
        slot != MISSING
        and change != 0
        and later < len(orders)
        and (others or orders[later, OWNER] == owner)
    ):
        is_same_slot = orders[later, OWNER] == owner and orders[later, SLOT] == slot
        if (
            is_same_slot
            and orders[later, INSTRUMENT] == orders[row, INSTRUMENT]
            and known[later] * held > 0
        ):
            stood[later] += change
        later += 1


@kernel
def _cancel_replaced(
    data: I8, resting: I8, chain: I8, orders: I8, known: I8, stood: I8, row: int, order: int
) -> None:
    """Cancel the rest of the order that a row replaces, and update the best prices."""
    instrument = orders[row, INSTRUMENT]
    left = data[order + _LOTS_LEFT]
    packed = data[order + _OWNER_AND_SLOT]
    _adjust_later_rows(known, stood, orders, row, packed, left, -left, False)
    _remove_order(data, resting, chain, instrument, order)
    base = _HEADER + instrument * data[_STRIDE]
    best_bid = data[base + _BID]
    best_ask = data[base + _ASK]
    data[base + _BID] = _find_rung_below(data, base, best_bid + 1)
    data[base + _ASK] = _find_rung_above(data, base, best_ask - 1)


@kernel
def _queue_order(
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
    free, top = data[_FREE], data[_TOP]
    order = free if free else top
    data[_FREE] = data[free] if free else 0
    data[_TOP] = top if free else top + _ORDER
    data[_LIVE] += 1
    base = _HEADER + instrument * data[_STRIDE]
    rung = base + _LADDER + _RUNG * price
    tail = data[rung + _TAIL]
    behind = tail + _NEXT if tail else rung + _HEAD
    data[behind] = order
    if tail == 0:
        _mark_rung_used(data, base, price)
    best = base + (_BID if lots > 0 else _ASK)
    data[best] = max(data[best], price) if lots > 0 else min(data[best], price)
    older = chain[instrument, owner]
    chain[instrument, owner] = order
    data[older + _OLDER] = order
    plane = BUYS if lots > 0 else SELLS
    resting[plane, instrument, owner] += abs(lots)
    resting[RESERVED, instrument, owner] += abs(lots) * reserve
    data[rung + _TAIL] = order
    data[rung + _SUM] += lots
    data[order + _NEXT] = 0
    data[order + _PREV] = tail
    data[order + _LOTS_LEFT] = lots
    data[order + _ORDER_RUNG] = price
    data[order + _OWNER_AND_SLOT] = owner << 32 | tag
    data[order + _RESERVE_PER_LOT] = reserve
    data[order + _NEWER] = older
    data[order + _OLDER] = 0


@kernel
def _write_fill(
    fills: I8, row: int, taker: int, maker: int, instrument: int, lots: int, price: int, cause: int
) -> None:
    """Write one trade into a row of the fills."""
    fills[row, TAKER], fills[row, MAKER], fills[row, TRADED] = taker, maker, instrument
    fills[row, LOTS], fills[row, TICKS], fills[row, REASON] = lots, price, cause


@kernel
def _clamp_to_band(limit: int, side: int, kind: int, low: int, high: int, levels: int) -> int:
    """Return the limit within the price band, or 0 if the order is refused."""
    low, high = max(low, 1), min(high, levels)
    if kind == MARKET:
        limit = high if side > 0 else low
    clamped = min(limit, high) if side > 0 else max(limit, low)
    return clamped if 1 <= limit <= levels and low <= clamped <= high else 0


@kernel
def _compute_doubled_mid(data: I8, base: int) -> int:
    """Return bid + ask in ticks, or MISSING if a side is empty."""
    bid, ask, levels = data[base + _BID], data[base + _ASK], data[_LEVELS]
    return bid + ask if bid > 0 and ask <= levels else MISSING


@kernel
def _count_remaining_lots(data: I8, former: int, side: int, lots: int, stood: int) -> int:
    """Return the lots of a new order, less those of its former that have traded meanwhile."""
    left = side * data[former + _LOTS_LEFT] if former else 0
    return max(lots - max(max(side * stood, 0) - max(left, 0), 0), 0)


@kernel
def _withdraw_replaced(
    data: I8, resting: I8, chain: I8, orders: I8, known: I8, stood: I8, row: int, lots: I8
) -> int:
    """Cancel the orders that consecutive post-only rows replace; note the lots left of each row.

    Returns the row after them.
    """
    while row < len(orders) and orders[row, KIND] & 3 == POST_ONLY:
        instrument, quantity = orders[row, INSTRUMENT], orders[row, QUANTITY]
        former = _find_order(data, chain[instrument, orders[row, OWNER]], orders[row, SLOT])
        if former:
            lots[row] = _count_remaining_lots(
                data, former, 1 if quantity > 0 else -1, abs(quantity), stood[row]
            )
            _cancel_replaced(data, resting, chain, orders, known, stood, row, former)
        row += 1
    return row


@kernel
def match_orders(
    data: I8,
    resting: I8,
    chain: I8,
    delta: I8,
    position: I8,
    bands: I8,
    orders: I8,
    known: I8,
    report: I8,
    fills: I8,
) -> int:
    """Process all orders of a batch one after another, and return the number of fills.

    A report of a single row keeps the last result. Consecutive post-only rows withdraw the orders
    they replace before the first of them is processed: ``ready`` runs ahead. The body is one long
    function on purpose. numba counts references to an array wherever its last use is in a branch,
    and inside this loop no use is the last.
    """
    count, ready, stood = 0, 0, known.copy()
    lines_per_row = 1 if len(report) == len(orders) else 0
    # lots of rows whose former order was withdrawn before them
    withdrawn = np.full(len(orders), MISSING, dtype=np.int64)
    for row in range(len(orders)):
        if ready <= row:
            ready = _withdraw_replaced(data, resting, chain, orders, known, stood, row, withdrawn)
        owner, instrument, quantity = (
            orders[row, OWNER],
            orders[row, INSTRUMENT],
            orders[row, QUANTITY],
        )
        slot, kind, reduces = orders[row, SLOT], orders[row, KIND] & 3, orders[row, KIND] >> 2
        base, line = _HEADER + instrument * data[_STRIDE], lines_per_row * row
        report[line, MID2_BEFORE] = _compute_doubled_mid(data, base)
        side, former = 1 if quantity > 0 else -1, _find_order(data, chain[instrument, owner], slot)
        is_withdrawn = withdrawn[row] != MISSING
        lots = (
            withdrawn[row]
            if is_withdrawn
            else _count_remaining_lots(data, former, side, abs(quantity), stood[row])
        )
        if former:
            _cancel_replaced(data, resting, chain, orders, known, stood, row, former)
        limit = _clamp_to_band(
            orders[row, PRICE],
            side,
            kind,
            bands[instrument, 0],
            bands[instrument, 1],
            data[_LEVELS],
        )
        if reduces:
            lots = min(lots, -side * (position[instrument, owner] + delta[instrument, owner]))
        left, best = lots, base + (_ASK if side > 0 else _BID)
        if quantity == 0:
            status = CANCELLED if former or is_withdrawn else UNKNOWN
        elif limit == 0:
            status = REFUSED_BAND
        elif lots <= 0:
            status = REFUSED_REDUCE if reduces else FILLED
        elif kind == POST_ONLY and side * (data[best] - limit) <= 0:
            status = REFUSED_POST
        else:
            while left > 0 and side * (data[best] - limit) <= 0:
                price = data[best]
                maker = data[base + _LADDER + _RUNG * price + _HEAD]
                packed = data[maker + _OWNER_AND_SLOT]
                other = packed >> 32
                traded = min(left, -side * data[maker + _LOTS_LEFT])
                if packed & 1:
                    traded = min(
                        traded, side * (position[instrument, other] + delta[instrument, other])
                    )
                trades = traded > 0 and other != owner
                if trades:
                    left -= traded
                    delta[instrument, owner] += side * traded
                    delta[instrument, other] -= side * traded
                    _write_fill(
                        fills,
                        count,
                        owner,
                        other,
                        instrument,
                        side * traded,
                        price,
                        orders[row, CAUSE],
                    )
                    count += 1
                    data[base + _LAST] = price
                    _reduce_order(data, resting, instrument, maker, -side * traded)
                if not trades or data[maker + _LOTS_LEFT] == 0:
                    _adjust_later_rows(
                        known,
                        stood,
                        orders,
                        row,
                        packed,
                        data[maker + _LOTS_LEFT],
                        -data[maker + _LOTS_LEFT],
                        True,
                    )
                    _remove_order(data, resting, chain, instrument, maker)
                    data[best] = (
                        _find_rung_above(data, base, price - 1)
                        if side > 0
                        else _find_rung_below(data, base, price + 1)
                    )
            status = CANCELLED if left > 0 and kind in (IOC, MARKET) else FILLED
            tag, placed = (slot + 1) << 1 | reduces, lots - left
            if left > 0 and status == FILLED:
                status, placed = RESTED, lots
                _queue_order(
                    data,
                    resting,
                    chain,
                    instrument,
                    owner,
                    side * left,
                    limit,
                    tag,
                    orders[row, RESERVE],
                )
            _adjust_later_rows(
                known, stood, orders, row, owner << 32 | tag, side, side * placed, False
            )
        report[line, STATUS], report[line, FILLED_LOTS] = status, lots - left
        report[line, MID2_AFTER], report[line, LAST_AFTER] = (
            _compute_doubled_mid(data, base),
            data[base + _LAST],
        )
    for row in range(count):
        delta[fills[row, TRADED], fills[row, TAKER]] = 0
        delta[fills[row, TRADED], fills[row, MAKER]] = 0
    return count


@kernel
def cancel_owner_orders(data: I8, resting: I8, chain: I8, instrument: int, owners: I8) -> int:
    """Cancel every order of these owners, and return their number."""
    before = data[_LIVE]
    for owner in owners:
        while chain[instrument, owner]:
            _remove_order(data, resting, chain, instrument, chain[instrument, owner])
    base = _HEADER + instrument * data[_STRIDE]
    data[base + _BID] = _find_rung_below(data, base, data[base + _BID] + 1)
    data[base + _ASK] = _find_rung_above(data, base, data[base + _ASK] - 1)
    cancelled: int = before - data[_LIVE]
    return cancelled


@kernel
def sum_depth(data: I8, low: I8, high: I8, lots: I8) -> None:
    """Add lots of bids at ``low`` or above and of sell orders at ``high`` or below.

    The sums are added to ``lots`` (K, 2).
    """
    for instrument in range(len(lots)):
        base = _HEADER + instrument * data[_STRIDE]
        price = data[base + _BID]
        while price > 0 and price >= low[instrument]:
            lots[instrument, 0] += data[base + _LADDER + _RUNG * price + _SUM]
            price = _find_rung_below(data, base, price)
        price = data[base + _ASK]
        while price <= data[_LEVELS] and price <= high[instrument]:
            lots[instrument, 1] -= data[base + _LADDER + _RUNG * price + _SUM]
            price = _find_rung_above(data, base, price)


@kernel
def list_owner_orders(data: I8, order: int, rows: I8) -> int:
    """Write the chain from ``order`` on into ``rows``, and return its length.

    Orders for which ``rows`` has no room are counted only.
    """
    count = 0
    while order:
        if count < len(rows):
            packed = data[order + _OWNER_AND_SLOT]
            rows[count, 0] = ((packed & _LOW) >> 1) - 1
            rows[count, 1], rows[count, 2] = data[order + _LOTS_LEFT], data[order + _ORDER_RUNG]
            rows[count, 3], rows[count, 4] = data[order + _RESERVE_PER_LOT], packed & 1
        count += 1
        order = data[order + _NEWER]
    return count


@kernel
def find_replaced_orders(data: I8, chain: I8, orders: I8, replaced: I8) -> None:
    """Write signed lots and reserve per lot of the resting order that each row would replace.

    Rows without such an order are zero.
    """
    for row in range(len(orders)):
        replaced[row, 0] = replaced[row, 1] = 0
        if orders[row, SLOT] != MISSING:
            order = _find_order(
                data, chain[orders[row, INSTRUMENT], orders[row, OWNER]], orders[row, SLOT]
            )
            if order:
                replaced[row, 0], replaced[row, 1] = (
                    data[order + _LOTS_LEFT],
                    data[order + _RESERVE_PER_LOT],
                )
