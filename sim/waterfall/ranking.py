"""The queues of venues: who is deleveraged first (margin rules, section 10).

Each score is the published formula on numbers; ``SCORES`` takes the numbers from an account. Longs and shorts are
ranked apart, highest score first, ties by account id.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sim.types import F8, I8
from sim.waterfall.deleveraging import Leg, Side

FIRST_LOOK = 1024
"""Accounts looked at before a larger part of the queue is sorted; changes speed only."""

FIRST_CHUNK = 16
"""Accounts looked at first where the whole queue is sorted; changes speed only."""

DROPPED = 1024
"""Accounts that may have moved before they are dropped from a sorted queue; changes speed only."""

WORN = 64
"""Accounts that may have moved before a queue is sorted anew; changes speed only."""


def bitmex(profit: F8, leverage: F8) -> F8:
    """BitMEX (support article 18589621443357): profit per value paid, times effective leverage, over it for losers.

    Args:
        profit: (value at mark - value paid) / abs(value paid), (n,).
        leverage: effective, abs(value at mark) / (value at mark - value at bankruptcy), (n,) > 0.
    """
    return np.where(profit > 0, profit * leverage, profit / leverage)


def binance(unrealised: F8, wallet: F8, ratio: F8) -> F8:
    """Binance (FAQ 360033525471): max(0, unrealised) / max(1, wallet balance) * margin ratio.

    Args:
        unrealised: profit, (n,) money.
        wallet: balance without it, (n,) money of the same unit.
        ratio: maintenance / (wallet + unrealised), (n,), 0 where that sum is not positive.
    """
    return np.maximum(unrealised, 0) / np.maximum(wallet, 1) * ratio


def hyperliquid(gain: F8, leverage: F8) -> F8:
    """Hyperliquid (documentation, "Auto-deleveraging"): price ratio times notional over account value.

    Only those in profit are ranked by it; the others come after them, in the same order.

    Args:
        gain: mark / entry for longs, (n,). The documentation prints this form alone, which taken literally
            would spare the shorts with the largest profits; entry / mark for shorts is an interpretation.
        leverage: notional / account value, (n,).
    """
    score = gain * leverage
    with np.errstate(divide="ignore"):
        return np.where(gain > 1, score, -1 / score)


def serve(score: F8, limit: I8, wanted: int) -> I8:
    """Lots taken from each in queue order until ``wanted`` are found, (n,).

    Args:
        score: (n,) highest first, ties by row.
        limit: (n,) lots that may be taken.
        wanted: lots.
    """
    rows = _front(score, limit, wanted)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    taken = np.zeros(len(score), dtype=np.int64)
    taken[rows] = np.diff(np.minimum(np.cumsum(limit[rows]), wanted), prepend=0)
    return taken


class Head:
    """One side of a market in the order of its queue, kept from one bankrupt account to the next.

    The side is sorted once. Accounts that have moved since leave the sorted rows and are scored again at each call;
    all others keep their score and their place, so that only the front of the rows is looked at.

    Args:
        leg: the first to be closed against this side.
        score: of counterparties, (n,).
    """

    def __init__(self, leg: Leg, score: Callable[[Side], F8]) -> None:
        side = leg.side()
        points = score(side)
        order = np.argsort(-points, kind="stable")
        self._score = score
        self._rows, self._points = side.rows[order], points[order]
        self._first = 0  # rows before this one have moved
        self._gone = 0  # accounts that have moved since the last of them were dropped from the rows
        self._moved = np.zeros(len(leg.floor.eligible), dtype=np.bool_)
        self._apart: I8 = np.empty(0, dtype=np.int64)  # accounts that have moved and are still on this side, ascending
        self._heeded = len(leg.floor.moved or ())  # batches of ``LayerContext.moved`` that were heeded

    @property
    def worn(self) -> bool:
        """Whether so many have moved that sorting all anew is quicker."""
        return len(self._apart) > max(WORN, (len(self._rows) - self._first) // 8)

    def heed(self, moved: Sequence[I8]) -> None:
        """Take the accounts that have moved since the last call out of the sorted rows."""
        fresh = moved[self._heeded :]
        self._heeded = len(moved)
        for rows in fresh:
            self._moved[rows] = True
        if fresh:
            self._apart = np.unique(np.concatenate((self._apart, *fresh)))
            self._gone += sum(len(rows) for rows in fresh)
        if self._gone > DROPPED:
            stay = ~self._moved[self._rows]
            self._rows, self._points = self._rows[stay], self._points[stay]
            self._first = self._gone = 0
        while self._first < len(self._rows) and self._moved[self._rows[self._first]]:
            self._first += 1

    def serve(self, leg: Leg) -> tuple[Side, I8]:
        """Return counterparties from the front that offer enough, or all of them, and the lots that each loses."""
        # who is not on this side now, or cannot pay, can only come back by moving again
        if len(self._apart):
            self._apart = leg.side(self._apart).rows
        size = FIRST_CHUNK
        while True:
            end = min(self._first + size, len(self._rows))
            front = self._rows[self._first : end]
            side = leg.side(np.sort(np.concatenate((front[~self._moved[front]], self._apart))))
            points = self._score(side)
            if end < len(self._rows):
                last, bar = self._rows[end - 1], self._points[end - 1]
                ahead = (points > bar) | ((points == bar) & (side.rows <= last))
                side, points = side.take(ahead), points[ahead]
            if end == len(self._rows) or side.limit.sum() >= leg.wanted:
                return side, serve(points, side.limit, leg.wanted)
            size *= 4


def call(leg: Leg, score: Callable[[Side], F8], head: Head | None) -> tuple[Side, I8, Head]:
    """Serve a leg in queue order; the answer does not depend on what is kept, which changes speed only.

    Args:
        leg: what is to be closed.
        score: of counterparties.
        head: what the last call on this side returned, None = nothing.

    Returns:
        counterparties, lots that each loses, and what to call the next one with.
    """
    moved = leg.floor.moved
    if moved is None:  # who has moved is not known: look at all
        side = leg.side()
        return side, serve(score(side), side.limit, leg.wanted), Head(leg, score)
    if head is not None:
        head.heed(moved)
    if head is None or head.worn:
        head = Head(leg, score)
    return *head.serve(leg), head


def quintile(lots: I8) -> I8:
    """The light a venue shows each place of a queue: the fifth, in %, that its last lot falls in, (n,)."""
    fifths: I8 = -(-5 * np.cumsum(lots) // lots.sum())
    return 20 * fifths


def _front(score: F8, limit: I8, wanted: int) -> I8:
    """The best so many that offer enough, with all who tie with the last of them; all if nobody does."""
    size = FIRST_LOOK
    while size < len(score):
        bar = np.partition(score, len(score) - size)[len(score) - size]
        rows = np.flatnonzero(score >= bar)
        if limit[rows].sum() >= wanted:
            return rows
        size *= 8
    return np.arange(len(score))


def _values(side: Side) -> F8:
    """Signed value of every leg of the counterparties, (n, K) minor units of the numeraire."""
    book = side.floor.book
    return book.position[side.rows] * book.market.worth()


def _bitmex(side: Side) -> F8:
    """An account's effective leverage is its gross notional over equity.

    That equals the published leverage of a leg when the account's bankruptcy value is spread over its legs by
    notional, and is the published one where it holds a single leg.
    """
    gross = np.abs(_values(side)).sum(axis=1)
    return bitmex(side.profit() / side.paid(), gross / side.floor.risk.equity[side.rows])


def _binance(side: Side) -> F8:
    """Profit and wallet are the account's; the published floor of 1 USDT on the wallet is one minor unit here."""
    book, equity = side.floor.book, side.floor.risk.equity[side.rows]
    value = _values(side)
    paid = np.copysign(book.entry[side.rows], value) * book.market.price[book.market.contracts.settle]
    unrealised = (value - paid).sum(axis=1)
    return binance(unrealised, equity - unrealised, side.floor.risk.maintenance[side.rows] / equity)


def _hyperliquid(side: Side) -> F8:
    market, rows = side.floor.book.market, side.rows
    gain = side.worth() / side.paid()
    gain = np.where(side.floor.book.position[rows, side.instrument] > 0, gain, 1 / gain)
    price = market.price[market.contracts.settle[side.instrument]]
    return hyperliquid(gain, side.worth() * price / side.floor.risk.equity[rows])


SCORES: dict[str, Callable[[Side], F8]] = {"bitmex": _bitmex, "binance": _binance, "hyperliquid": _hyperliquid}
"""Queues by name. Scores are finite: everybody on a side has a positive equity."""
