"""Admission of orders by the margin engine (MAR-1), with the assessment that also liquidates."""

from collections.abc import Callable

import numpy as np

from sim.exchange.matching import INSTRUMENT, OWNER, QUANTITY, RESERVE
from sim.exchange.one_by_one import (
    ADDED_TO,
    MORE_LOTS,
    MORE_RESERVE,
    RefusedOrders,
    RestingOrders,
    try_one_by_one,
)
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING, REDUCE_ONLY, Exposure

ShortageFunction = Callable[[I8, Exposure], F8]
"""Margin shortage of accounts (rows, hypothetical exposure), minor units; none if at most zero."""

MAX_TOTAL_LOTS = 2**60
"""Lots beyond any position. Sums of orders stop here, so that they cannot overflow."""


@kernel
def unique_owners(owner: I8, place: I8) -> tuple[I8, I8]:
    """Return each owner once, in order of appearance, and the row of each entry among them.

    ``place`` (A,) is all MISSING before and after the call.
    """
    accounts, row = np.empty_like(owner), np.empty_like(owner)
    count = 0
    for i in range(owner.size):
        if place[owner[i]] == MISSING:
            place[owner[i]] = count
            accounts[count] = owner[i]
            count += 1
        row[i] = place[owner[i]]
    for i in range(count):
        place[accounts[i]] = MISSING
    return accounts[:count].copy(), row


@kernel
def compute_added_lots(
    quantity: int, reserve: int, replaced: int, replaced_reserve: int
) -> tuple[int, int]:
    """Return the lots and the reserve that an order adds to the resting orders of its side.

    The order that it replaces still counts. An order may arrive too late to replace another: the
    lots that the other has traded are then subtracted from it (see
    :meth:`sim.exchange.book.OrderBooks.match`). On one side the larger of the two therefore counts;
    on different sides both do.

    Args:
        quantity: lots of the order, signed.
        reserve: its reserve per lot.
        replaced: lots of the order that it replaces, signed.
        replaced_reserve: reserve per lot of that order.
    """
    former = abs(replaced) if (replaced > 0) == (quantity > 0) else 0
    more = min(max(abs(quantity) - former, 0), MAX_TOTAL_LOTS)
    return more, max(abs(quantity) * reserve - former * replaced_reserve, more * reserve)


@kernel
def add_resting(
    bids: I8, asks: I8, reserved: I8, row: I8, pick: I8, orders: I8, replaced: I8, first: int
) -> None:
    """Add the picked orders to the resting orders of their accounts."""
    for i in range(row.size):
        order = pick[i]
        a, k = row[i], orders[order, INSTRUMENT] - first
        more, reserve = compute_added_lots(
            orders[order, QUANTITY], orders[order, RESERVE], replaced[order, 0], replaced[order, 1]
        )
        if orders[order, QUANTITY] > 0:
            bids[a, k] = min(bids[a, k] + more, MAX_TOTAL_LOTS)
        else:
            asks[a, k] = min(asks[a, k] + more, MAX_TOTAL_LOTS)
        reserved[a, k] += reserve


@kernel
def list_additions(orders: I8, replaced: I8, pick: I8, first: int, instruments: int) -> I8:
    """Return what the picked orders add: see :data:`sim.exchange.one_by_one.ADDED_TO`."""
    added = np.empty((pick.size, 3), dtype=np.int64)
    for i in range(pick.size):
        order = pick[i]
        quantity, k = orders[order, QUANTITY], orders[order, INSTRUMENT] - first
        added[i, ADDED_TO] = k if quantity > 0 else instruments + k
        added[i, MORE_LOTS], added[i, MORE_RESERVE] = compute_added_lots(
            quantity, orders[order, RESERVE], replaced[order, 0], replaced[order, 1]
        )
    return added


@kernel
def classify_orders(orders: I8, bound: B1) -> tuple[B1, B1]:
    """Return the orders that cost nothing, and the orders that require no margin, (n,) each.

    Cancels, and orders of accounts that no margin rule binds, cost nothing.
    """
    free, passes = np.empty(len(orders), dtype=np.bool_), np.empty(len(orders), dtype=np.bool_)
    for i in range(len(orders)):
        free[i] = orders[i, 2] == 0 or not bound[orders[i, 0]]
        passes[i] = free[i] or orders[i, 4] >= REDUCE_ONLY
    return free, passes


class OrderBatch:
    """Orders of one pool that wait for admission, in arrival order.

    Args:
        orders: (n, 8) as packed for the order books.
        replaced: (n, 2) resting lots (signed) that each order replaces, and their reserve per lot.
        exposure: accounts of the pool.
        max_lots: (K,) largest position of one account.
        first: global number of the pool's first instrument.

    Attributes:
        chosen: (n,) leverage that each order chooses for its account's position, zero = none; or
            None without any (ISO-1).
        first: global number of the pool's first instrument.
        is_reduce_only: (n,) orders that were admitted only because they reduce a position. They
            must do no more.
    """

    def __init__(
        self, orders: I8, replaced: I8, exposure: Exposure, max_lots: I8, first: int
    ) -> None:
        self.orders, self.replaced, self.accounts = orders, replaced, exposure
        self.max_lots, self.first = max_lots, first
        self.chosen: F8 | None = None
        self.owner, self.quantity = orders[:, OWNER], orders[:, QUANTITY]
        self.is_reduce_only = np.zeros(len(orders), dtype=bool)
        self._row_of_owner = np.full(exposure.balance.shape[0], MISSING)

    def build_hypothetical(self, pick: I8) -> tuple[I8, I8, Exposure]:
        """Return the accounts of the picked orders as if these orders rested.

        Accounts have the leverage that the last of them chooses. If most of the pool sends orders,
        all of it is taken. Assessments are made row by row, and copying columns is faster than
        picking rows.

        Returns:
            Rows of the accounts in the pool, row of each order among them, and exposure of the
            accounts.
        """
        if 2 * pick.size > self._row_of_owner.size:
            accounts, row = np.arange(self._row_of_owner.size), self.owner[pick]
            exposure = self.accounts._replace(
                bids=self.accounts.bids.copy(),
                asks=self.accounts.asks.copy(),
                reserved=self.accounts.reserved.copy(),
            )
        else:
            accounts, row = self.number_owners(pick)
            exposure = self.accounts.take(accounts)
        add_resting(
            exposure.bids,
            exposure.asks,
            exposure.reserved,
            row,
            pick,
            self.orders,
            self.replaced,
            self.first,
        )
        return accounts, row, self._apply_choices(exposure, row, pick)

    def list_choices(self, pick: I8) -> F8:
        """Return the leverage that the picked orders choose, zero = none."""
        if self.chosen is None:
            return np.zeros(pick.size)
        return np.where(self.is_reduce_only[pick], 0.0, self.chosen[pick])

    def _apply_choices(self, exposure: Exposure, row: I8, pick: I8) -> Exposure:
        """Return accounts with the last leverage that the picked orders choose for each position.

        ``row`` has the account of each of these orders.
        """
        chosen = self.list_choices(pick)
        places = np.argsort(pick, kind="stable")
        places = places[chosen[places] > 0]
        if not places.size:
            return exposure
        leverage = exposure.leverage.copy(order="K")
        # of repeated places, numpy keeps the last value
        leverage[row[places], self.orders[pick[places], INSTRUMENT] - self.first] = chosen[places]
        leverage.flags.writeable = False
        return exposure._replace(leverage=leverage)

    def number_owners(self, pick: I8) -> tuple[I8, I8]:
        """Return the owners of the picked orders, and the row of each order among them."""
        return unique_owners(self.owner[pick], self._row_of_owner)

    def add_orders(self, accounts: I8, pick: I8) -> Exposure:
        """Return some accounts as if the picked orders, which are theirs, rested.

        Their leverage is as it is.
        """
        exposure = self.accounts.take(accounts)
        place = np.empty_like(self._row_of_owner)
        place[accounts] = np.arange(accounts.size)
        resting = (exposure.bids, exposure.asks, exposure.reserved)
        row = place[self.owner[pick]]
        add_resting(*resting, row, pick, self.orders, self.replaced, self.first)
        return exposure

    def list_additions(self, pick: I8) -> I8:
        """Return what the picked orders add: see :data:`sim.exchange.one_by_one.ADDED_TO`."""
        return list_additions(
            self.orders, self.replaced, pick, self.first, self.accounts.position.shape[1]
        )

    def has_oversized_position(self, exposure: Exposure) -> B1:
        """Return whether a fill could take a position beyond the largest allowed, (A,)."""
        beyond = np.zeros(len(exposure.position), dtype=bool)
        for column, largest in enumerate(self.max_lots):
            held = exposure.position[:, column]
            beyond |= (held + exposure.bids[:, column] > largest) | (
                exposure.asks[:, column] - held > largest
            )
        return beyond

    def find_reducing_orders(self) -> B1:
        """Return the orders that only reduce the position, (n,).

        Other reducing orders that rest or come first are counted before them.
        """
        owner, column, lots = (
            self.owner,
            self.orders[:, INSTRUMENT] - self.first,
            np.abs(self.quantity),
        )
        held = self.accounts.position[owner, column]
        against = (self.quantity != 0) & (np.sign(self.quantity) == -np.sign(held))
        resting = np.where(
            held > 0, self.accounts.asks[owner, column], self.accounts.bids[owner, column]
        )
        own = np.where(
            np.sign(self.replaced[:, 0]) == np.sign(self.quantity), np.abs(self.replaced[:, 0]), 0
        )
        key = owner * len(self.max_lots) + column
        return against & (
            cumulative_before(key, np.where(against, lots, 0)) + lots
            <= np.abs(held) - resting + own
        )


def cumulative_before(key: I8, lots: I8) -> I8:
    """Return the lots of earlier rows with the same key, in the order given."""
    before = np.zeros(lots.size, dtype=np.int64)
    order = np.argsort(key, kind="stable")
    total = np.cumsum(lots[order]) - lots[order]
    first = np.r_[True, key[order][1:] != key[order][:-1]] if key.size else np.empty(0, dtype=bool)
    start = np.maximum.accumulate(np.where(first, np.arange(key.size), 0))
    before[order] = total - total[start]
    return before


def admit_batch(batch: OrderBatch, bound: B1, shortage: ShortageFunction) -> B1:
    """Return the orders that may go to the order book, (n,).

    Cancels and reduce-only orders pass. The other orders of an account pass together if initial
    margin is covered both when all buys and when all sells fill. Otherwise the orders that reduce
    pass as reduce-only, and the others are tried one by one in arrival order. Each is judged at the
    leverage that it and the orders that pass before it choose.

    Args:
        batch: the orders.
        bound: (A,) accounts to which margin rules apply.
        shortage: margin shortage of accounts with a hypothetical exposure.
    """
    free, passes = classify_orders(batch.orders, bound)
    if passes.all():
        return passes
    sent = np.flatnonzero(~free)  # reduce-only orders have a cost, too
    accounts, row, exposure = batch.build_hypothetical(sent)
    is_affordable = (shortage(accounts, exposure) <= 0) & ~batch.has_oversized_position(exposure)
    if is_affordable.all():
        return np.ones_like(passes)
    needs_margin = ~passes[sent]
    passes[sent[needs_margin]] = is_affordable[row[needs_margin]]
    refused = np.flatnonzero(~passes)
    if not refused.size:
        return passes
    passes[refused] = batch.is_reduce_only[refused] = batch.find_reducing_orders()[refused]
    _admit_one_by_one(batch, shortage, refused[~passes[refused]], passes)
    return passes


def _admit_one_by_one(
    batch: OrderBatch, shortage: ShortageFunction, refused: I8, passes: B1
) -> None:
    """Try refused orders in order of arrival, each with the other orders of its account that pass.

    Args:
        batch: the orders.
        shortage: as for :func:`admit_batch`.
        refused: rows of the orders, in order of arrival.
        passes: (n,) in place; other orders that pass are True.
    """
    accounts, row = batch.number_owners(refused)
    sorted_rows = np.argsort(row, kind="stable")
    refused = refused[sorted_rows]
    first = np.searchsorted(row[sorted_rows], np.arange(accounts.size + 1))
    others = np.flatnonzero(passes & (batch.quantity != 0) & np.isin(batch.owner, accounts))
    exposure = batch.add_orders(accounts, others)
    resting = RestingOrders(
        np.stack([exposure.bids.T, exposure.asks.T, exposure.reserved.T]),
        np.array(exposure.leverage.T, order="C"),
    )

    def affords(account: I8, tried: RestingOrders) -> B1:
        bids, asks, reserved = (each.T for each in tried.lots)
        hypothetical = exposure.take(account)._replace(
            bids=bids, asks=asks, reserved=reserved, leverage=tried.leverage.T
        )
        lacking = shortage(accounts[account], hypothetical)
        return (lacking <= 0) & ~batch.has_oversized_position(hypothetical)

    orders = RefusedOrders(first, batch.list_additions(refused), batch.list_choices(refused))
    passes[refused] = try_one_by_one(orders, resting, MAX_TOTAL_LOTS, affords)
