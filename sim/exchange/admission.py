"""Admission of orders by the margin engine (MAR-1): the same verdict that liquidates."""

from collections.abc import Callable

import numpy as np

from sim.exchange.matching import INSTRUMENT, OWNER, QUANTITY
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8, MISSING, REDUCE_ONLY, Exposure

ShortageFunction = Callable[[I8, Exposure], F8]
"""What accounts (rows, hypothetical book) lack to hold a book, minor units; nil or below = affordable."""

MAX_TOTAL_LOTS = 2**60
"""Lots beyond any position; sums of orders stop here, so that they cannot wrap around."""


@kernel
def unique_owners(owner: I8, place: I8) -> tuple[I8, I8]:
    """Each owner once, in order of appearance, and the row of each entry; ``place`` (A,) is all NOBODY."""
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
def add_resting(
    bids: I8, asks: I8, reserved: I8, row: I8, pick: I8, orders: I8, replaced: I8, first: int
) -> None:
    """Let the picked orders rest in the books of their accounts, beside those they replace.

    An order may come too late to replace another. Then what the other traded is taken off it (see `Books.match`), so
    that on one side the larger of the two counts; on different sides both do.
    """
    for i in range(row.size):
        order = pick[i]
        a, k, lots, reserve = row[i], orders[order, 1] - first, orders[order, 2], orders[order, 6]
        former = replaced[order, 0]
        former = abs(former) if (former > 0) == (lots > 0) else 0
        more = min(max(abs(lots) - former, 0), MAX_TOTAL_LOTS)
        if lots > 0:
            bids[a, k] = min(bids[a, k] + more, MAX_TOTAL_LOTS)
        else:
            asks[a, k] = min(asks[a, k] + more, MAX_TOTAL_LOTS)
        reserved[a, k] += max(abs(lots) * reserve - former * replaced[order, 1], more * reserve)


@kernel
def classify_orders(orders: I8, bound: B1) -> tuple[B1, B1]:
    """Which orders cost nothing (cancels, and those of accounts that nothing binds), and which ask for no margin."""
    free, passes = np.empty(len(orders), dtype=np.bool_), np.empty(len(orders), dtype=np.bool_)
    for i in range(len(orders)):
        free[i] = orders[i, 2] == 0 or not bound[orders[i, 0]]
        passes[i] = free[i] or orders[i, 4] >= REDUCE_ONLY
    return free, passes


class OrderBatch:
    """The orders of one pool, in arrival order, waiting for admission.

    Args:
        orders: (n, 8) as packed for the books.
        replaced: (n, 2) resting lots (signed) that each order replaces, and their reserve per lot.
        book: the pool.
        max_lots: (K,) largest position of one account.
        first: global number of the pool's first instrument.

    Attributes:
        reduces: (n,) orders that were admitted only because they reduce, and must do no more.
    """

    def __init__(self, orders: I8, replaced: I8, book: Exposure, max_lots: I8, first: int) -> None:
        self.orders, self.replaced, self.accounts = orders, replaced, book
        self.max_lots, self._first = max_lots, first
        self.owner, self.quantity = orders[:, OWNER], orders[:, QUANTITY]
        self.is_reduce_only = np.zeros(len(orders), dtype=bool)
        self._row_of_owner = np.full(book.balance.shape[0], MISSING)

    def build_hypothetical(self, pick: I8) -> tuple[I8, I8, Exposure]:
        """The accounts of the picked orders, each order's row among them, and their books with all of these resting.

        Where most of the pool asks, all of it is taken: verdicts are by row, and copying columns beats picking rows.
        """
        if 2 * pick.size > self._row_of_owner.size:
            accounts, row = np.arange(self._row_of_owner.size), self.owner[pick]
            book = self.accounts._replace(
                bids=self.accounts.bids.copy(),
                asks=self.accounts.asks.copy(),
                reserved=self.accounts.reserved.copy(),
            )
        else:
            accounts, row = unique_owners(self.owner[pick], self._row_of_owner)
            book = self.accounts.take(accounts)
        add_resting(
            book.bids, book.asks, book.reserved, row, pick, self.orders, self.replaced, self._first
        )
        return accounts, row, book

    def has_oversized_position(self, book: Exposure) -> B1:
        """(A,) whether a fill could take a position beyond the largest allowed."""
        beyond = np.zeros(len(book.position), dtype=bool)
        for column, most in enumerate(self.max_lots):
            held = book.position[:, column]
            beyond |= (held + book.bids[:, column] > most) | (book.asks[:, column] - held > most)
        return beyond

    def find_reducing_orders(self) -> B1:
        """Orders that only shrink the position, net of other reducing orders resting or ahead of them."""
        owner, column, lots = (
            self.owner,
            self.orders[:, INSTRUMENT] - self._first,
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
    """Lots of earlier rows with the same key, in the order given."""
    before = np.zeros(lots.size, dtype=np.int64)
    order = np.argsort(key, kind="stable")
    total = np.cumsum(lots[order]) - lots[order]
    first = np.r_[True, key[order][1:] != key[order][:-1]] if key.size else np.empty(0, dtype=bool)
    start = np.maximum.accumulate(np.where(first, np.arange(key.size), 0))
    before[order] = total - total[start]
    return before


def admit_batch(batch: OrderBatch, bound: B1, shortage: ShortageFunction) -> B1:
    """Which orders may go to the book; ``bound`` (A,) are the accounts that margin rules bind.

    Cancels and reduce-only orders pass. The rest of an account's orders pass together if the engine, at the worse of
    filling all buys and all sells, finds initial margin covered. Else those that reduce pass as reduce-only, and the
    others one by one in arrival order.
    """
    free, passes = classify_orders(batch.orders, bound)
    if passes.all():
        return passes
    sent = np.flatnonzero(~free)  # reduce-only orders cost something, too
    accounts, row, book = batch.build_hypothetical(sent)
    fine = (shortage(accounts, book) <= 0) & ~batch.has_oversized_position(book)
    if fine.all():
        return np.ones_like(passes)
    asks = ~passes[sent]
    passes[sent[asks]] = fine[row[asks]]
    hard = np.flatnonzero(~passes)
    if not hard.size:
        return passes
    passes[hard] = batch.is_reduce_only[hard] = batch.find_reducing_orders()[hard]
    _admit_one_by_one(batch, shortage, hard[~passes[hard]], passes)
    return passes


def _admit_one_by_one(batch: OrderBatch, shortage: ShortageFunction, hard: I8, passes: B1) -> None:
    """Try each account's first order, then its first two, and so on, dropping those it cannot afford."""
    owner = batch.owner
    rank = cumulative_before(owner[hard], np.ones(hard.size, dtype=np.int64))
    for turn in range(int(rank.max(initial=-1)) + 1):
        tried = hard[rank == turn]
        mine = np.isin(owner, owner[tried]) & (passes & (batch.quantity != 0))
        accounts, row, book = batch.build_hypothetical(np.r_[tried, np.flatnonzero(mine)])
        fine = (shortage(accounts, book) <= 0) & ~batch.has_oversized_position(book)
        passes[tried] = fine[row[: tried.size]]
