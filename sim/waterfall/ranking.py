"""ADL queues of venues: the order in which accounts are deleveraged (margin rules, section 10).

Each score is the published formula on numbers; ``SCORES`` takes the numbers from an account. Longs
and shorts are ranked separately, highest score first, ties by account id.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sim.types import F8, I8
from sim.waterfall.deleveraging import BankruptLeg, Counterparties

FIRST_LOOK = 1024
"""Accounts examined before a larger part of the queue is sorted; changes speed only."""

FIRST_CHUNK = 16
"""Accounts examined first if the whole queue is sorted; changes speed only."""

MAX_MOVED_ROWS = 1024
"""Moved accounts at which they are dropped from a sorted queue; changes speed only."""

MIN_MOVED_TO_RESORT = 64
"""Moved accounts below which a queue is not sorted again; changes speed only."""


def score_bitmex(profit: F8, leverage: F8) -> F8:
    """Return BitMEX's score (support article 18589621443357).

    It is profit per value paid, times effective leverage, or divided by it for losing positions.

    Args:
        profit: (value at mark - value paid) / abs(value paid), (n,).
        leverage: effective, abs(value at mark) / (value at mark - value at bankruptcy), (n,) > 0.
    """
    return np.where(profit > 0, profit * leverage, profit / leverage)


def score_binance(unrealised: F8, wallet: F8, ratio: F8) -> F8:
    """Return Binance's score (FAQ 360033525471).

    It is max(0, unrealised) / max(1, wallet balance) x margin ratio.

    Args:
        unrealised: profit, (n,) money.
        wallet: balance without it, (n,) money of the same unit.
        ratio: maintenance / (wallet + unrealised), (n,), 0 where that sum is not positive.
    """
    return np.maximum(unrealised, 0) / np.maximum(wallet, 1) * ratio


def score_hyperliquid(gain: F8, leverage: F8) -> F8:
    """Return Hyperliquid's score (documentation, "Auto-deleveraging").

    It is the price ratio times notional over account value. Only positions in profit are ranked by
    it; the others come after them, in the same order.

    Args:
        gain: mark / entry for longs, (n,). The documentation has this form only. Applied to shorts
            it would spare those with the largest profits; entry / mark for shorts is an
            interpretation.
        leverage: notional / account value, (n,).
    """
    score = gain * leverage
    with np.errstate(divide="ignore"):
        return np.where(gain > 1, score, -1 / score)


def take_in_queue_order(score: F8, limit: I8, wanted: int) -> I8:
    """Return the lots taken from each account in queue order until ``wanted`` are taken, (n,).

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
    """Sorted queue of one side of a market, kept from one bankrupt account to the next.

    The side is sorted once. Accounts that have moved since leave the sorted rows and are scored
    again at each call. All others keep their score and their place, so that only the front of the
    rows is examined.

    Args:
        leg: the first leg to be closed against this side.
        score: function that scores counterparties, (n,).
    """

    def __init__(self, leg: BankruptLeg, score: Callable[[Counterparties], F8]) -> None:
        side = leg.find_counterparties()
        points = score(side)
        order = np.argsort(-points, kind="stable")
        self._score = score
        self._rows, self._points = side.rows[order], points[order]
        self._first_row = 0  # rows before this one have moved
        self._n_moved = 0  # accounts that have moved since rows were last dropped
        self._has_moved = np.zeros(len(leg.context.is_eligible), dtype=np.bool_)
        # accounts that have moved and are still on this side, ascending
        self._moved_on_side: I8 = np.empty(0, dtype=np.int64)
        # batches of ``LayerContext.changed_accounts`` that were read
        self._n_batches_read = len(leg.context.changed_accounts or ())

    @property
    def is_stale(self) -> bool:
        """Return whether so many accounts have moved that sorting again is faster."""
        return len(self._moved_on_side) > max(
            MIN_MOVED_TO_RESORT, (len(self._rows) - self._first_row) // 8
        )

    def remove_moved(self, moved: Sequence[I8]) -> None:
        """Remove the accounts that have moved since the last call from the sorted rows."""
        fresh = moved[self._n_batches_read :]
        self._n_batches_read = len(moved)
        for rows in fresh:
            self._has_moved[rows] = True
        if fresh:
            self._moved_on_side = np.unique(np.concatenate((self._moved_on_side, *fresh)))
            self._n_moved += sum(len(rows) for rows in fresh)
        if self._n_moved > MAX_MOVED_ROWS:
            is_unmoved = ~self._has_moved[self._rows]
            self._rows, self._points = self._rows[is_unmoved], self._points[is_unmoved]
            self._first_row = self._n_moved = 0
        while self._first_row < len(self._rows) and self._has_moved[self._rows[self._first_row]]:
            self._first_row += 1

    def take_counterparties(self, leg: BankruptLeg) -> tuple[Counterparties, I8]:
        """Return counterparties from the front that offer enough, or all, and the lots of each."""
        # an account that is not on this side now, or cannot pay, returns only by moving again
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
                last, lowest = self._rows[end - 1], self._points[end - 1]
                ahead = (points > lowest) | ((points == lowest) & (side.rows <= last))
                side, points = side.take(ahead), points[ahead]
            if end == len(self._rows) or side.limit.sum() >= leg.lots_to_close:
                return side, take_in_queue_order(points, side.limit, leg.lots_to_close)
            size *= 4


def select_from_queue(
    leg: BankruptLeg, score: Callable[[Counterparties], F8], queue: SortedQueue | None
) -> tuple[Counterparties, I8, SortedQueue]:
    """Return the counterparties of a leg in queue order.

    The result does not depend on the kept queue, which changes speed only.

    Args:
        leg: leg to be closed.
        score: of counterparties.
        queue: queue that the last call on this side returned, None = none yet.

    Returns:
        Counterparties, lots that each loses, and the queue for the next call.
    """
    moved = leg.context.changed_accounts
    if moved is None:  # it is not known which accounts have moved: examine all
        side = leg.find_counterparties()
        return (
            side,
            take_in_queue_order(score(side), side.limit, leg.lots_to_close),
            SortedQueue(leg, score),
        )
    if queue is not None:
        queue.remove_moved(moved)
    if queue is None or queue.is_stale:
        queue = SortedQueue(leg, score)
    return *queue.take_counterparties(leg), queue


def compute_quintiles(lots: I8) -> I8:
    """Return the indicator of each place in a queue, (n,): the fifth, in %, of its last lot."""
    fifths: I8 = -(-5 * np.cumsum(lots) // lots.sum())
    return 20 * fifths


def _select_front(score: F8, limit: I8, wanted: int) -> I8:
    """Return the highest-ranked rows that offer enough, with all ties of the last, or all rows."""
    size = FIRST_LOOK
    while size < len(score):
        lowest = np.partition(score, len(score) - size)[len(score) - size]
        rows = np.flatnonzero(score >= lowest)
        if limit[rows].sum() >= wanted:
            return rows
        size *= 8
    return np.arange(len(score))


def _value_legs(side: Counterparties) -> F8:
    """Return the signed value of every leg of the counterparties, (n, K) minor units."""
    accounts = side.context.accounts
    return accounts.position[side.rows] * accounts.market.lot_value()


def _rank_by_bitmex(side: Counterparties) -> F8:
    """Return BitMEX's score with an account's gross notional over equity as effective leverage.

    This equals the published leverage of a leg if the account's bankruptcy value is spread over its
    legs by notional. It is the published one for an account with a single leg.
    """
    gross = np.abs(_value_legs(side)).sum(axis=1)
    return score_bitmex(
        side.unrealised_profit() / side.entry_value(),
        gross / side.context.assessment.equity[side.rows],
    )


def _rank_by_binance(side: Counterparties) -> F8:
    """Return Binance's score from profit and wallet of the whole account.

    The published minimum of 1 USDT for the wallet is one minor unit here.
    """
    accounts, equity = side.context.accounts, side.context.assessment.equity[side.rows]
    value = _value_legs(side)
    paid = (
        np.copysign(accounts.entry[side.rows], value)
        * accounts.market.price[accounts.market.contracts.settle]
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
"""Scores of the queues by name. They are finite: each account on a side has a positive equity."""
