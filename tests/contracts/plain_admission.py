"""Admission of one pool's orders in plain Python (MAR-1), to which faster forms are held."""

import numpy as np

from sim.exchange.admission import OrderBatch, ShortageFunction, classify_orders
from sim.types import B1, I8


def cumulative_before(key: I8, lots: I8) -> I8:
    """The lots of earlier rows with the same key, in the order given."""
    total: dict[int, int] = {}
    before = []
    for each, more in zip(key.tolist(), lots.tolist(), strict=True):
        before.append(total.get(each, 0))
        total[each] = total.get(each, 0) + more
    return np.array(before, dtype=np.int64)


def find_reducing_orders(batch: OrderBatch, first: int) -> B1:
    """Orders that only reduce a position after those that rest or come first."""
    owner, column, lots = batch.owner, batch.orders[:, 1] - first, batch.quantity
    held = batch.accounts.position[owner, column]
    against = (lots != 0) & (np.sign(lots) == -np.sign(held))
    resting = np.where(
        held > 0, batch.accounts.asks[owner, column], batch.accounts.bids[owner, column]
    )
    former = batch.replaced[:, 0]
    own = np.where(np.sign(former) == np.sign(lots), np.abs(former), 0)
    key = owner * len(batch.max_lots) + column
    before = cumulative_before(key, np.where(against, np.abs(lots), 0))
    return against & (before + np.abs(lots) <= np.abs(held) - resting + own)


def admit(batch: OrderBatch, bound: B1, shortage: ShortageFunction, first: int) -> tuple[B1, B1]:
    """The orders that pass, and those of them that pass only as reduce-only.

    All orders of an account are tried together; then those that reduce pass, and the others are
    tried one by one: the first of each account, the first two, and so on.
    """
    free, passes = classify_orders(batch.orders, bound)
    reduces = np.zeros_like(passes)
    if passes.all():
        return passes, reduces
    sent = np.flatnonzero(~free)
    passes[sent] |= afford(batch, shortage, sent)
    refused = np.flatnonzero(~passes)
    passes[refused] = reduces[refused] = find_reducing_orders(batch, first)[refused]
    batch.is_reduce_only[:] = reduces  # they choose no leverage
    refused = refused[~passes[refused]]
    rank = cumulative_before(batch.owner[refused], np.ones(refused.size, dtype=np.int64))
    for turn in range(int(rank.max(initial=-1)) + 1):
        tried = refused[rank == turn]
        admitted = np.isin(batch.owner, batch.owner[tried]) & (passes & (batch.quantity != 0))
        resting = np.r_[tried, np.flatnonzero(admitted)]
        passes[tried] = afford(batch, shortage, resting)[: tried.size]
    return passes, reduces


def afford(batch: OrderBatch, shortage: ShortageFunction, pick: I8) -> B1:
    """For each picked order, whether its account can afford all of those that are picked."""
    accounts, row, exposure = batch.build_hypothetical(pick)
    fine = (shortage(accounts, exposure) <= 0) & ~batch.has_oversized_position(exposure)
    result: B1 = fine[row]
    return result
