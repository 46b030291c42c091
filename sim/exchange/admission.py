"""Admission of orders by the margin engine (MAR-1): the same verdict that liquidates."""

from collections.abc import Callable

import numpy as np

from sim.types import B1, F8, I8, REDUCE_ONLY, Exposure, Orders

Shortage = Callable[[I8, Exposure], F8]
"""What accounts (rows, hypothetical book) lack to hold a book, minor units; nil or below = affordable."""


class Batch:
    """The orders of one pool, in arrival order, waiting for admission.

    Args:
        orders: owners are rows of the pool, instruments its columns.
        reserve: (n,) minor units per lot for fees and limit-against-mark loss.
        replaced: (n, 2) resting lots (signed) that each order replaces, and their reserve per lot.
        book: the pool.
        max_lots: (K,) largest position of one account.
    """

    def __init__(self, orders: Orders, reserve: I8, replaced: I8, book: Exposure, max_lots: I8) -> None:
        self.orders, self.reserve, self.replaced = orders, reserve, replaced
        self.book, self.max_lots = book, max_lots

    def hypothetical(self, pick: I8) -> tuple[I8, Exposure]:
        """The rows of the picked orders' accounts, and their books with all of these orders resting."""
        accounts, which = np.unique(self.orders.owner[pick], return_inverse=True)
        book = self.book.take(accounts)
        columns = self.orders.instrument[pick]
        for lots, reserve, sign in (
            (self.orders.quantity[pick], self.reserve[pick], 1),
            (self.replaced[pick, 0], self.replaced[pick, 1], -1),
        ):
            np.add.at(book.bids, (which, columns), sign * np.maximum(lots, 0))
            np.add.at(book.asks, (which, columns), sign * np.maximum(-lots, 0))
            np.add.at(book.reserved, (which, columns), sign * np.abs(lots) * reserve)
        return accounts, book

    def too_large(self, book: Exposure) -> B1:
        """(A,) whether a fill could take a position beyond the largest allowed."""
        return np.any(np.maximum(book.position + book.bids, book.asks - book.position) > self.max_lots, axis=1)

    def reducing(self) -> B1:
        """Orders that only shrink the position, net of other reducing orders resting or ahead of them."""
        o = self.orders
        held = self.book.position[o.owner, o.instrument]
        against = (o.quantity != 0) & (np.sign(o.quantity) == -np.sign(held))
        resting = np.where(held > 0, self.book.asks[o.owner, o.instrument], self.book.bids[o.owner, o.instrument])
        own = np.where(np.sign(self.replaced[:, 0]) == np.sign(o.quantity), np.abs(self.replaced[:, 0]), 0)
        room = np.abs(held) - resting + own
        return against & (_ahead(o, np.where(against, np.abs(o.quantity), 0)) + np.abs(o.quantity) <= room)


def _ahead(orders: Orders, lots: I8) -> I8:
    """Lots of earlier orders of the same account and instrument, in arrival order."""
    ahead = np.zeros(lots.size, dtype=np.int64)
    key = orders.owner * (orders.instrument.max(initial=0) + 1) + orders.instrument
    order = np.argsort(key, kind="stable")
    total = np.cumsum(lots[order]) - lots[order]
    first = np.r_[True, key[order][1:] != key[order][:-1]] if key.size else np.empty(0, dtype=bool)
    start = np.maximum.accumulate(np.where(first, np.arange(key.size), 0))
    ahead[order] = total - total[start]
    return ahead


def admit(batch: Batch, shortage: Shortage) -> B1:
    """Which orders may go to the book.

    Cancels, reduce-only and reducing orders pass. The rest of an account's orders pass together if the engine, at
    the worse of filling all buys and all sells, finds initial margin covered; else one by one in arrival order.
    """
    o = batch.orders
    passes = (o.quantity == 0) | (o.kind >= REDUCE_ONLY)
    asking = np.flatnonzero(~passes)
    if not asking.size:
        return passes
    accounts, book = batch.hypothetical(asking)
    fine = (shortage(accounts, book) <= 0) & ~batch.too_large(book)
    if fine.all():
        passes[asking] = True
        return passes
    refused = np.zeros(batch.book.balance.shape[0], dtype=bool)
    refused[accounts[~fine]] = True
    easy = ~refused[o.owner[asking]]
    passes[asking[easy]] = True
    hard = asking[~easy]
    passes[hard] = batch.reducing()[hard]
    _one_by_one(batch, shortage, hard[~passes[hard]], passes)
    return passes


def _one_by_one(batch: Batch, shortage: Shortage, hard: I8, passes: B1) -> None:
    """Try each account's first order, then its first two, and so on, dropping those it cannot afford."""
    owners = batch.orders.owner
    rank = _ahead(
        batch.orders._replace(instrument=np.zeros_like(owners)).take(hard), np.ones(hard.size, dtype=np.int64)
    )
    for turn in range(int(rank.max(initial=-1)) + 1):
        tried = hard[rank == turn]
        mine = np.isin(owners, owners[tried]) & (passes & (batch.orders.quantity != 0))
        accounts, book = batch.hypothetical(np.sort(np.r_[np.flatnonzero(mine), tried]))
        fine = (shortage(accounts, book) <= 0) & ~batch.too_large(book)
        passes[tried] = fine[np.searchsorted(accounts, owners[tried])]
