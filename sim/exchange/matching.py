"""Limit order books of K instruments for N owners, compiled (BOOK-1).

`sim.exchange.plain_book.PlainOrderBooks` states the same rules in plain Python, and a test checks
that both agree to the last lot. `sim.exchange.order_ladder` has the layout of the books in memory.
"""

import numpy as np

from sim.exchange.order_ladder import (
    ASK,
    BID,
    HEAD,
    HEADER,
    LADDER,
    LAST,
    LEVELS,
    LIVE,
    LOTS_LEFT,
    LOW,
    NEWER,
    OLDER,
    ORDER_RUNG,
    OWNER_AND_SLOT,
    RESERVE_PER_LOT,
    RUNG,
    STRIDE,
    SUM,
    find_order,
    find_order_near,
    find_rung_above,
    find_rung_below,
    queue_order,
    reduce_order,
    remove_order,
)
from sim.numerics.jit import kernel
from sim.types import B1, I8, IOC, MARKET, MISSING, POST_ONLY

OWNER, INSTRUMENT, QUANTITY, PRICE, KIND, SLOT, RESERVE, CAUSE = range(8)
"""Columns of a batch of orders. PRICE is the limit, RESERVE the minor units reserved per lot."""

TAKER, MAKER, TRADED, LOTS, TICKS, REASON = range(6)
"""Columns of fills, as in `sim.types.Fills`: owners, instrument, signed lots, price, cause."""

STATUS, FILLED_LOTS, MID2_BEFORE, MID2_AFTER, LAST_AFTER = range(5)
"""Columns of a report. A doubled mid is bid + ask in ticks, MISSING if a side is empty."""

RESTED, FILLED, CANCELLED, UNKNOWN, REFUSED_BAND, REFUSED_REDUCE, REFUSED_POST = range(7)
"""Statuses of an order's last lot. UNKNOWN is the cancel of an order that does not exist."""

SLOTS = 2**31 - 1
"""Slots are below this number. An order in slot MISSING replaces nothing. It can be cancelled only
together with all other orders of its owner.
"""


@kernel
def _adjust_later_rows(
    known: I8, stood: I8, orders: I8, row: int, packed: int, held: int, change: int, others: bool
) -> None:
    """Change the lots that later rows of a slot count as resting, on the side ``held``.

    With ``others`` the search passes rows of other owners; without it ends at the first of them.
    """
    owner, slot, later = packed >> 32, ((packed & LOW) >> 1) - 1, row + 1
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
    data: I8,
    resting: I8,
    chain: I8,
    orders: I8,
    known: I8,
    stood: I8,
    row: int,
    order: int,
    is_last: bool,
) -> None:
    """Cancel the rest of the order that a row replaces, and update the best price of its side.

    ``is_last`` if no later row of its owner can name the same slot.
    """
    instrument = orders[row, INSTRUMENT]
    left = data[order + LOTS_LEFT]
    packed = data[order + OWNER_AND_SLOT]
    if not is_last:
        _adjust_later_rows(known, stood, orders, row, packed, left, -left, False)
    remove_order(data, resting, chain, instrument, order)
    base = HEADER + instrument * data[STRIDE]
    if left > 0:
        data[base + BID] = find_rung_below(data, base, data[base + BID] + 1)
    else:
        data[base + ASK] = find_rung_above(data, base, data[base + ASK] - 1)


@kernel
def _write_fill(
    fills: I8,
    delta: I8,
    row: int,
    taker: int,
    maker: int,
    instrument: int,
    lots: int,
    price: int,
    cause: int,
) -> None:
    """Write one trade into a row of the fills, and add it to the changes of both positions."""
    delta[instrument, taker] += lots
    delta[instrument, maker] -= lots
    fills[row, TAKER] = taker
    fills[row, MAKER] = maker
    fills[row, TRADED] = instrument
    fills[row, LOTS] = lots
    fills[row, TICKS] = price
    fills[row, REASON] = cause


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
    bid, ask, levels = data[base + BID], data[base + ASK], data[LEVELS]
    return bid + ask if bid > 0 and ask <= levels else MISSING


@kernel
def _count_remaining_lots(data: I8, former: int, side: int, lots: int, stood: int) -> int:
    """Return the lots of a new order, less those of its former that have traded meanwhile."""
    left = side * data[former + LOTS_LEFT] if former else 0
    return max(lots - max(max(side * stood, 0) - max(left, 0), 0), 0)


@kernel
def _withdraw_replaced(
    data: I8,
    resting: I8,
    chain: I8,
    orders: I8,
    known: I8,
    stood: I8,
    row: int,
    lots: I8,
    is_last: B1,
) -> int:
    """Cancel the orders that consecutive post-only rows replace; note the lots left of each row.

    Returns the row after them.
    """
    near = 0
    while row < len(orders) and orders[row, KIND] & 3 == POST_ONLY:
        instrument, quantity = orders[row, INSTRUMENT], orders[row, QUANTITY]
        if row and not _share_chain(orders, row - 1, row):
            near = 0
        first = chain[instrument, orders[row, OWNER]]
        former = find_order_near(data, near, first, orders[row, SLOT])
        if former:
            near = data[former + OLDER]
            lots[row] = _count_remaining_lots(
                data, former, 1 if quantity > 0 else -1, abs(quantity), stood[row]
            )
            _cancel_replaced(data, resting, chain, orders, known, stood, row, former, is_last[row])
        row += 1
    return row


@kernel
def _share_chain(orders: I8, one: int, other: int) -> bool:
    """Return whether two rows have the same owner and instrument."""
    return (
        orders[one, OWNER] == orders[other, OWNER]
        and orders[one, INSTRUMENT] == orders[other, INSTRUMENT]
    )


@kernel
def _find_last_rows(orders: I8) -> B1:
    """Return whether the following rows of the same owner are surely of other slots, (n,).

    They are if they ascend by instrument and slot, as the rows of a ladder of orders do.
    """
    is_last = np.ones(len(orders), dtype=np.bool_)
    for row in range(len(orders) - 2, -1, -1):
        if orders[row, OWNER] == orders[row + 1, OWNER]:
            further = orders[row + 1, INSTRUMENT] - orders[row, INSTRUMENT]
            ascends = further > 0 or (further == 0 and orders[row + 1, SLOT] > orders[row, SLOT])
            is_last[row] = ascends and is_last[row + 1]
    return is_last


@kernel
def _find_refusal(limit: int, lots: int, kind: int, reduces: int, distance: int) -> int:
    """Return the status of an order that cannot trade or rest, or MISSING for any other.

    ``distance`` is from the limit to the best price of the other side, 0 or less if they cross.
    """
    if limit == 0:
        return REFUSED_BAND
    if lots <= 0:
        return REFUSED_REDUCE if reduces else FILLED
    return REFUSED_POST if kind == POST_ONLY and distance <= 0 else MISSING


@kernel
def _find_best_rung(data: I8, base: int, rung: int, side: int) -> int:
    """Return the best rung at or behind ``rung`` on the side that an order of ``side`` meets."""
    if side > 0:
        return find_rung_above(data, base, rung - 1)
    return find_rung_below(data, base, rung + 1)


@kernel
def _clear_changes(delta: I8, fills: I8, count: int) -> None:
    """Set changes of position back to zero for the owners of the first ``count`` fills."""
    for row in range(count):
        delta[fills[row, TRADED], fills[row, TAKER]] = 0
        delta[fills[row, TRADED], fills[row, MAKER]] = 0


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
    they replace before the first of them is processed: ``ready`` runs ahead, and ``withdrawn``
    holds the lots of rows whose former order was withdrawn in this way. The body is one long
    function on purpose. numba counts references to an array wherever its last use is in a branch,
    and inside this loop no use is the last.
    """
    count, ready, stood = 0, 0, known.copy()
    withdrawn, is_last = np.full(len(orders), MISSING, dtype=np.int64), _find_last_rows(orders)
    for row in range(len(orders)):
        if ready <= row:
            ready = _withdraw_replaced(
                data, resting, chain, orders, known, stood, row, withdrawn, is_last
            )
        owner, instrument = orders[row, OWNER], orders[row, INSTRUMENT]
        quantity, cause, reserve = orders[row, QUANTITY], orders[row, CAUSE], orders[row, RESERVE]
        slot, kind, reduces = orders[row, SLOT], orders[row, KIND] & 3, orders[row, KIND] >> 2
        base, line = HEADER + instrument * data[STRIDE], row if len(report) == len(orders) else 0
        report[line, MID2_BEFORE] = _compute_doubled_mid(data, base)
        side, former = 1 if quantity > 0 else -1, 0
        lots, is_withdrawn = withdrawn[row], withdrawn[row] != MISSING
        if not is_withdrawn:
            former = find_order(data, chain[instrument, owner], slot)
            lots = _count_remaining_lots(data, former, side, abs(quantity), stood[row])
        if former:
            _cancel_replaced(data, resting, chain, orders, known, stood, row, former, is_last[row])
        low, high = bands[instrument, 0], bands[instrument, 1]
        limit = _clamp_to_band(orders[row, PRICE], side, kind, low, high, data[LEVELS])
        if reduces:
            lots = min(lots, -side * (position[instrument, owner] + delta[instrument, owner]))
        left, best = lots, base + (ASK if side > 0 else BID)
        status = _find_refusal(limit, lots, kind, reduces, side * (data[best] - limit))
        if quantity == 0:
            status = CANCELLED if former or is_withdrawn else UNKNOWN
        if status == MISSING:
            while left > 0 and side * (data[best] - limit) <= 0:
                price = data[best]
                maker = data[base + LADDER + RUNG * price + HEAD]
                packed = data[maker + OWNER_AND_SLOT]
                other = packed >> 32
                traded = min(left, -side * data[maker + LOTS_LEFT])
                if packed & 1:
                    held = position[instrument, other] + delta[instrument, other]
                    traded = min(traded, side * held)
                trades = traded > 0 and other != owner
                if trades:
                    left -= traded
                    fill = side * traded
                    _write_fill(fills, delta, count, owner, other, instrument, fill, price, cause)
                    count += 1
                    data[base + LAST] = price
                    reduce_order(data, resting, instrument, maker, -fill)
                rest = data[maker + LOTS_LEFT]
                if not trades or rest == 0:
                    _adjust_later_rows(known, stood, orders, row, packed, rest, -rest, True)
                    remove_order(data, resting, chain, instrument, maker)
                    data[best] = _find_best_rung(data, base, price, side)
            status = CANCELLED if left > 0 and kind in (IOC, MARKET) else FILLED
            tag, placed = (slot + 1) << 1 | reduces, lots - left
            if left > 0 and status == FILLED:
                status, placed = RESTED, lots
                rest = side * left
                queue_order(data, resting, chain, instrument, owner, rest, limit, tag, reserve)
            packed = owner << 32 | tag
            if not is_last[row]:
                _adjust_later_rows(known, stood, orders, row, packed, side, side * placed, False)
        report[line, STATUS], report[line, FILLED_LOTS] = status, lots - left
        mid2, last = _compute_doubled_mid(data, base), data[base + LAST]
        report[line, MID2_AFTER], report[line, LAST_AFTER] = mid2, last
    _clear_changes(delta, fills, count)
    return count


@kernel
def cancel_owner_orders(data: I8, resting: I8, chain: I8, instrument: int, owners: I8) -> int:
    """Cancel every order of these owners, and return their number."""
    before = data[LIVE]
    for owner in owners:
        while chain[instrument, owner]:
            remove_order(data, resting, chain, instrument, chain[instrument, owner])
    base = HEADER + instrument * data[STRIDE]
    data[base + BID] = find_rung_below(data, base, data[base + BID] + 1)
    data[base + ASK] = find_rung_above(data, base, data[base + ASK] - 1)
    cancelled: int = before - data[LIVE]
    return cancelled


@kernel
def sum_depth(data: I8, low: I8, high: I8, lots: I8) -> None:
    """Add lots of bids at ``low`` or above and of sell orders at ``high`` or below.

    The sums are added to ``lots`` (K, 2).
    """
    for instrument in range(len(lots)):
        bids, asks = sum_depth_of(data, instrument, low[instrument], high[instrument])
        lots[instrument, 0] += bids
        lots[instrument, 1] += asks


@kernel
def sum_depth_of(data: I8, instrument: int, low: int, high: int) -> tuple[int, int]:
    """Return lots of one book's bids at ``low`` or above, and of its asks up to ``high``."""
    bids, asks, base = 0, 0, HEADER + instrument * data[STRIDE]
    price = data[base + BID]
    while price > 0 and price >= low:
        bids += data[base + LADDER + RUNG * price + SUM]
        price = find_rung_below(data, base, price)
    price = data[base + ASK]
    while price <= data[LEVELS] and price <= high:
        asks -= data[base + LADDER + RUNG * price + SUM]
        price = find_rung_above(data, base, price)
    return bids, asks


@kernel
def list_owner_orders(data: I8, order: int, rows: I8) -> int:
    """Write the chain from ``order`` on into ``rows``, and return its length.

    Orders for which ``rows`` has no room are counted only.
    """
    count = 0
    while order:
        if count < len(rows):
            packed = data[order + OWNER_AND_SLOT]
            rows[count, 0] = ((packed & LOW) >> 1) - 1
            rows[count, 1], rows[count, 2] = data[order + LOTS_LEFT], data[order + ORDER_RUNG]
            rows[count, 3], rows[count, 4] = data[order + RESERVE_PER_LOT], packed & 1
        count += 1
        order = data[order + NEWER]
    return count


@kernel
def find_replaced_orders(data: I8, chain: I8, orders: I8, replaced: I8) -> None:
    """Write signed lots and reserve per lot of the resting order that each row would replace.

    Rows without such an order are zero.
    """
    near = 0
    for row in range(len(orders)):
        replaced[row, 0] = replaced[row, 1] = 0
        if row and not _share_chain(orders, row - 1, row):
            near = 0
        if orders[row, SLOT] != MISSING:
            first = chain[orders[row, INSTRUMENT], orders[row, OWNER]]
            order = find_order_near(data, near, first, orders[row, SLOT])
            if order:
                near = data[order + OLDER]
                replaced[row, 0], replaced[row, 1] = (
                    data[order + LOTS_LEFT],
                    data[order + RESERVE_PER_LOT],
                )
