"""Trial of refused orders one by one, with few assessments (MAR-1).

An account's orders are tried in order of arrival, each with those of the account that pass. Each
verdict depends on the ones before, and an assessment by an engine in Python costs about as much for
one account as for a thousand. Verdicts are therefore guessed: many orders of each account are
assessed in one call, as if the guesses about earlier ones were right. All verdicts up to the first
wrong guess of an account are valid. The number of orders guessed doubles while guesses are right,
so the assessments are at most a small multiple of the orders.

An order is guessed to pass if it is smaller than all of its instrument and side that its account
was refused. Guesses change the number of assessments, never a verdict.

An order may choose its account's leverage (ISO-1). It is tried at that leverage, and the choice
stays if it passes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sim.arrays import B1, F8, I8, MISSING
from sim.numerics.jit import kernel

FIRST_GUESSES, MAX_GUESSES = 4, 2**16
"""Orders of an account that are assessed in the first call, and in any call."""

ADDED_TO, MORE_LOTS, MORE_RESERVE = range(3)
"""Columns of what an order adds to its account: the sum that grows (lots to buy of each instrument,
then lots to sell of each), lots, and minor units reserved."""


class RestingOrders(NamedTuple):
    """Resting orders of accounts, and the leverage of their positions; R accounts."""

    lots: I8  # (3, K, R) lots to buy, lots to sell, and minor units reserved
    leverage: F8  # (K, R) chosen, inf = the venue's highest


AffordsRows = Callable[[I8, RestingOrders], B1]
"""Verdicts on hypothetical accounts: rows of their accounts (T,), and their resting orders."""


class RefusedOrders(NamedTuple):
    """Orders to try, sorted by account and within it by arrival; R accounts, r orders."""

    first: I8  # (R + 1,) place of each account's first order, and r
    added: I8  # (r, 3) columns ADDED_TO, MORE_LOTS, MORE_RESERVE
    chosen: F8  # (r,) leverage that each chooses, zero = none


def try_one_by_one(
    refused: RefusedOrders, resting: RestingOrders, most: int, affords: AffordsRows
) -> B1:
    """Return which orders pass, (r,).

    Args:
        refused: the orders.
        resting: in place: those of each account, its other orders that pass included. Orders that
            pass are added, and the leverage that they choose is set.
        most: lots at which sums of orders stop.
        affords: verdicts on accounts with some of the orders.
    """
    passes = np.zeros(len(refused.added), dtype=bool)
    head = refused.first[:-1].copy()
    guesses = np.full(head.size, FIRST_GUESSES)
    smallest_refused = np.full((head.size, 2 * len(resting.leverage)), most + 1)
    while True:
        block = allot_guesses(refused.first, head, guesses, MAX_GUESSES)
        if not block.any():
            return passes
        account, tried, guessed = guess_orders(
            refused, head, block, resting, smallest_refused, most
        )
        fine = affords(account, tried)
        keep_valid_verdicts(
            *(refused, head, block, guesses, resting, smallest_refused, most),
            *(guessed, fine, passes),
        )


@kernel
def allot_guesses(first: I8, head: I8, guesses: I8, room: int) -> I8:
    """Return how many orders of each account are tried now, (R,); at least one where some are left.

    The room is shared by the accounts that wait, so that memory is bounded.
    """
    waiting = 0
    for account in range(head.size):
        waiting += head[account] < first[account + 1]
    share, block = max(room // max(waiting, 1), 1), np.zeros_like(head)
    for account in range(head.size):
        block[account] = min(first[account + 1] - head[account], guesses[account], share)
    return block


@kernel
def guess_orders(
    refused: RefusedOrders, head: I8, block: I8, resting: RestingOrders, smallest: I8, most: int
) -> tuple[I8, RestingOrders, B1]:
    """Return the accounts with each order that is tried and the earlier ones that may pass.

    Returns:
        (T,) rows of the accounts, their resting orders, (T,) guesses.
    """
    total, instruments = block.sum(), len(resting.leverage)
    account, guessed = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.bool_)
    tried = np.empty((3, instruments, total), dtype=np.int64)
    leverage = np.empty((instruments, total))
    t, added = 0, refused.added
    for a in range(head.size):
        former = MISSING  # the trial whose order is thought to pass, with all before it
        for i in range(head[a], head[a] + block[a]):
            for k in range(instruments):
                for side in range(3):
                    base = resting.lots[side, k, a] if former == MISSING else tried[side, k, former]
                    tried[side, k, t] = base
                own = resting.leverage[k, a] if former == MISSING else leverage[k, former]
                leverage[k, t] = own
            side, k = divmod(added[i, ADDED_TO], instruments)
            tried[side, k, t] = min(tried[side, k, t] + added[i, MORE_LOTS], most)
            tried[2, k, t] += added[i, MORE_RESERVE]
            if refused.chosen[i] > 0:
                leverage[k, t] = refused.chosen[i]
            account[t] = a
            guessed[t] = added[i, MORE_LOTS] < smallest[a, added[i, ADDED_TO]]
            former = t if guessed[t] else former
            t += 1
    return account, RestingOrders(tried, leverage), guessed


@kernel
def keep_valid_verdicts(
    refused: RefusedOrders,
    head: I8,
    block: I8,
    guesses: I8,
    resting: RestingOrders,
    smallest: I8,
    most: int,
    guessed: B1,
    fine: B1,
    passes: B1,
) -> None:
    """Write the verdicts up to each account's first wrong guess, and add the orders that pass."""
    t, added, instruments = 0, refused.added, len(resting.leverage)
    for a in range(head.size):
        begin, end = head[a], head[a] + block[a]
        is_right = True
        for i in range(begin, end):
            if is_right:
                to = added[i, ADDED_TO]
                side, k = divmod(to, instruments)
                head[a] += 1
                passes[i] = fine[t]
                if fine[t]:
                    more = resting.lots[side, k, a] + added[i, MORE_LOTS]
                    resting.lots[side, k, a] = min(more, most)
                    resting.lots[2, k, a] += added[i, MORE_RESERVE]
                    if refused.chosen[i] > 0:
                        resting.leverage[k, a] = refused.chosen[i]
                else:
                    smallest[a, to] = min(smallest[a, to], added[i, MORE_LOTS])
                is_right = fine[t] == guessed[t]
            t += 1
        if block[a]:
            guesses[a] = 2 * block[a] if is_right else max(head[a] - begin, 1)
