"""The queues of venues: who is deleveraged first (margin rules, section 10).

Each score is the published formula on numbers; ``SCORES`` takes the numbers from an account. Longs and shorts are
ranked apart, highest score first, ties by account id.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.types import F8, I8
from sim.waterfall.deleveraging import Leg, Side

FIRST_LOOK = 1024
"""Accounts looked at before a larger part of the queue is sorted; changes speed only."""


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


class Head(NamedTuple):
    """The best of a queue, kept from one bankrupt account to the next."""

    rows: I8  # (n,) accounts, ascending; nobody else had a score of ``bar`` or more when all were looked at
    bar: float
    heeded: int  # batches of ``Floor.moved`` that were heeded since


def call(leg: Leg, score: Callable[[Side], F8], head: Head | None) -> tuple[Side, I8, Head | None]:
    """Serve a leg from the head of its queue, if with whoever has moved since the head suffices; else from all of it.

    Only an account that moved can have come up to the bar, so the answer is the one that the whole queue would give;
    only who is looked at differs.

    Returns:
        counterparties, lots that each loses, and the head to call the next one with, if it is worth keeping.
    """
    moved = leg.floor.moved or ()
    if head is not None:
        side = leg.side(np.unique(np.concatenate((head.rows, *moved[head.heeded :]))))
        points = score(side)
        best = points >= head.bar
        side, points = side.take(best), points[best]
        if side.limit.sum() >= leg.wanted:
            return side, serve(points, side.limit, leg.wanted), Head(side.rows, head.bar, len(moved))
    side = leg.side()
    points = score(side)
    rows = _front(points, side.limit, leg.wanted)
    short = 2 * len(rows) < len(points)  # else a head is no quicker to look at
    head = Head(side.rows[rows], float(points[rows].min()), len(moved)) if short else None
    return side, serve(points, side.limit, leg.wanted), head


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
