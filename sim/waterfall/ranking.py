"""The queues of venues: who is deleveraged first (margin rules, section 10).

Each score is the published formula on numbers; ``SCORES`` takes the numbers from an account. Longs and shorts are
ranked apart, highest score first, ties by account id.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sim.types import F8, I8
from sim.waterfall.deleveraging import BankruptLeg, Counterparties

FIRST_LOOK = 1024
"""Accounts looked at before a larger part of the queue is sorted; changes speed only."""

FIRST_CHUNK = 16
"""Accounts looked at first where the whole queue is sorted; changes speed only."""

MAX_MOVED_ROWS = 1024
"""Accounts that may have moved before they are dropped from a sorted queue; changes speed only."""

MIN_MOVED_TO_RESORT = 64
"""Accounts that may have moved before a queue is sorted anew; changes speed only."""


def score_bitmex(profit: F8, leverage: F8) -> F8:
    """BitMEX (support article 18589621443357): profit per value paid, times effective leverage, over it for losers.

    Args:
        profit: (value at mark - value paid) / abs(value paid), (n,).
        leverage: effective, abs(value at mark) / (value at mark - value at bankruptcy), (n,) > 0.
    """
    return np.where(profit > 0, profit * leverage, profit / leverage)


def score_binance(unrealised: F8, wallet: F8, ratio: F8) -> F8:
    """Binance (FAQ 360033525471): max(0, unrealised) / max(1, wallet balance) * margin ratio.

    Args:
        unrealised: profit, (n,) money.
        wallet: balance without it, (n,) money of the same unit.
        ratio: maintenance / (wallet + unrealised), (n,), 0 where that sum is not positive.
    """
    return np.maximum(unrealised, 0) / np.maximum(wallet, 1) * ratio


def score_hyperliquid(gain: F8, leverage: F8) -> F8:
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


def take_in_queue_order(score: F8, limit: I8, wanted: int) -> I8:
    """Lots taken from each in queue order until ``wanted`` are found, (n,).

    Args:
        score: (n,) highest first, ties by row.
        limit: (n,) lots that may be taken.
        wanted: lots.
    """
    rows = _select_front(score, limit, wanted)
    rows = rows[np.argsort(-score[rows], kind="stable")]
    taken = np.zeros(len(score), dtype=np.int64)
    taken[rows] = np.diff(np.minimum(np.cumsum(limit[rows]), wanted), prepend=0)
    return taken


class SortedQueue:
    """One side of a market in the order of its queue, kept from one bankrupt account to the next.

    The side is sorted once. Accounts that have moved since leave the sorted rows and are scored again at each call;
    all others keep their score and their place, so that only the front of the rows is looked at.

    Args:
        leg: the first to be closed against this side.
        score: of counterparties, (n,).
    """

    def __init__(self, leg: BankruptLeg, score: Callable[[Counterparties], F8]) -> None:
        side = leg.find_counterparties()
        points = score(side)
        order = np.argsort(-points, kind="stable")
        self._score = score
        self._rows, self._points = side.rows[order], points[order]
        self._first_row = 0  # rows before this one have moved
        self._n_moved = (
            0  # accounts that have moved since the last of them were dropped from the rows
        )
        self._has_moved = np.zeros(len(leg.context.is_eligible), dtype=np.bool_)
        self._moved_on_side: I8 = np.empty(
            0, dtype=np.int64
        )  # accounts that have moved and are still on this side, ascending
        self._n_batches_read = len(
            leg.context.changed_accounts or ()
        )  # batches of ``LayerContext.changed_accounts`` that were heeded

    @property
    def is_stale(self) -> bool:
        """Whether so many have moved that sorting all anew is quicker."""
        return len(self._moved_on_side) > max(
            MIN_MOVED_TO_RESORT, (len(self._rows) - self._first_row) // 8
        )

    def remove_moved(self, moved: Sequence[I8]) -> None:
        """Take the accounts that have moved since the last call out of the sorted rows."""
        fresh = moved[self._n_batches_read :]
        self._n_batches_read = len(moved)
        for rows in fresh:
            self._has_moved[rows] = True
        if fresh:
            self._moved_on_side = np.unique(np.concatenate((self._moved_on_side, *fresh)))
            self._n_moved += sum(len(rows) for rows in fresh)
        if self._n_moved > MAX_MOVED_ROWS:
            stay = ~self._has_moved[self._rows]
            self._rows, self._points = self._rows[stay], self._points[stay]
            self._first_row = self._n_moved = 0
        while self._first_row < len(self._rows) and self._has_moved[self._rows[self._first_row]]:
            self._first_row += 1

    def take_counterparties(self, leg: BankruptLeg) -> tuple[Counterparties, I8]:
        """Return counterparties from the front that offer enough, or all of them, and the lots that each loses."""
        # who is not on this side now, or cannot pay, can only come back by moving again
        if len(self._moved_on_side):
            self._moved_on_side = leg.find_counterparties(self._moved_on_side).rows
        size = FIRST_CHUNK
        while True:
            end = min(self._first_row + size, len(self._rows))
            front = self._rows[self._first_row : end]
            side = leg.find_counterparties(
                np.sort(np.concatenate((front[~self._has_moved[front]], self._moved_on_side)))
            )
            points = self._score(side)
            if end < len(self._rows):
                last, bar = self._rows[end - 1], self._points[end - 1]
                ahead = (points > bar) | ((points == bar) & (side.rows <= last))
                side, points = side.take(ahead), points[ahead]
            if end == len(self._rows) or side.limit.sum() >= leg.lots_to_close:
                return side, take_in_queue_order(points, side.limit, leg.lots_to_close)
            size *= 4


def select_from_queue(
    leg: BankruptLeg, score: Callable[[Counterparties], F8], head: SortedQueue | None
) -> tuple[Counterparties, I8, SortedQueue]:
    """Serve a leg in queue order; the answer does not depend on what is kept, which changes speed only.

    Args:
        leg: what is to be closed.
        score: of counterparties.
        head: what the last call on this side returned, None = nothing.

    Returns:
        counterparties, lots that each loses, and what to call the next one with.
    """
    moved = leg.context.changed_accounts
    if moved is None:  # who has moved is not known: look at all
        side = leg.find_counterparties()
        return (
            side,
            take_in_queue_order(score(side), side.limit, leg.lots_to_close),
            SortedQueue(leg, score),
        )
    if head is not None:
        head.remove_moved(moved)
    if head is None or head.is_stale:
        head = SortedQueue(leg, score)
    return *head.take_counterparties(leg), head


def compute_quintiles(lots: I8) -> I8:
    """The light a venue shows each place of a queue: the fifth, in %, that its last lot falls in, (n,)."""
    fifths: I8 = -(-5 * np.cumsum(lots) // lots.sum())
    return 20 * fifths


def _select_front(score: F8, limit: I8, wanted: int) -> I8:
    """The best so many that offer enough, with all who tie with the last of them; all if nobody does."""
    size = FIRST_LOOK
    while size < len(score):
        bar = np.partition(score, len(score) - size)[len(score) - size]
        rows = np.flatnonzero(score >= bar)
        if limit[rows].sum() >= wanted:
            return rows
        size *= 8
    return np.arange(len(score))


def _value_legs(side: Counterparties) -> F8:
    """Signed value of every leg of the counterparties, (n, K) minor units of the numeraire."""
    book = side.context.accounts
    return book.position[side.rows] * book.market.lot_value()


def _rank_by_bitmex(side: Counterparties) -> F8:
    """An account's effective leverage is its gross notional over equity.

    That equals the published leverage of a leg when the account's bankruptcy value is spread over its legs by
    notional, and is the published one where it holds a single leg.
    """
    gross = np.abs(_value_legs(side)).sum(axis=1)
    return score_bitmex(
        side.unrealised_profit() / side.entry_value(),
        gross / side.context.assessment.equity[side.rows],
    )


def _rank_by_binance(side: Counterparties) -> F8:
    """Profit and wallet are the account's; the published floor of 1 USDT on the wallet is one minor unit here."""
    book, equity = side.context.accounts, side.context.assessment.equity[side.rows]
    value = _value_legs(side)
    paid = (
        np.copysign(book.entry[side.rows], value) * book.market.price[book.market.contracts.settle]
    )
    unrealised = (value - paid).sum(axis=1)
    return score_binance(
        unrealised, equity - unrealised, side.context.assessment.maintenance[side.rows] / equity
    )


def _rank_by_hyperliquid(side: Counterparties) -> F8:
    market, rows = side.context.accounts.market, side.rows
    gain = side.position_value() / side.entry_value()
    gain = np.where(side.context.accounts.position[rows, side.instrument] > 0, gain, 1 / gain)
    price = market.price[market.contracts.settle[side.instrument]]
    return score_hyperliquid(
        gain, side.position_value() * price / side.context.assessment.equity[rows]
    )


SCORES: dict[str, Callable[[Counterparties], F8]] = {
    "bitmex": _rank_by_bitmex,
    "binance": _rank_by_binance,
    "hyperliquid": _rank_by_hyperliquid,
}
"""Queues by name. Scores are finite: everybody on a side has a positive equity."""
