"""Admission of orders by margin, pool by pool, and the leverage that they choose."""

from typing import NamedTuple

import numpy as np

from sim.attribution import DEPOSIT
from sim.exchange.admission import Batch, admit
from sim.exchange.matching import INSTRUMENT, KIND
from sim.state import MarketState
from sim.types import (
    B1,
    F8,
    HIGHEST,
    I8,
    LEVERAGE_STEP,
    NONE_CHOSEN,
    REDUCE_ONLY,
    Exposure,
    Transfers,
)
from sim.venue import PoolState, Venue


def admit_orders(market: MarketState, orders: I8, chosen: I8 = NONE_CHOSEN) -> tuple[I8, I8]:
    """The orders that margin allows, and the lots that each would replace now, (n,) (MAR-1, ISO-1).

    ``chosen`` is the leverage that each order chooses, (n,) hundredths, or empty.
    """
    replaced = market.order_books.replaced(orders)
    passes, reduces = np.zeros((2, len(orders)), dtype=bool)
    alone = len(market.ledger.pools) == 1
    for venue in market.venues:
        for state in venue.states.values():
            pool, part = state.pool, state.pool.instruments
            mine = slice(None) if alone else market.ledger.pool_of[orders[:, INSTRUMENT]] == pool.number
            batch = Batch(orders[mine], replaced[mine], venue.opening(pool), market.max_lots[part], part.start)
            choices = Choices.of(batch, chosen[mine] if chosen.size else chosen, market.watched)
            if choices is not None:
                batch.book = choices.applied(batch.book, part.start)
            passes[mine] = _admit_pool(market, venue, state, batch)
            reduces[mine] = batch.reduces
            if choices is not None:
                market.ledger.cap_leverage(*choices.kept(passes[mine] & ~batch.reduces))
    orders[reduces, KIND] |= REDUCE_ONLY
    stood = replaced[:, 0]
    return (orders, stood) if passes.all() else (orders[passes], stood[passes])


class Choices(NamedTuple):
    """Leverage that orders of one pool choose: of each owner and instrument what its last order says."""

    order: I8  # (c,) rows of the batch that choose, in order of arrival
    owner: I8
    instrument: I8  # global
    leverage: F8

    @classmethod
    def of(cls, batch: Batch, chosen: I8, bound: B1) -> "Choices | None":
        """Choices of orders that may open, None where none is made; ``bound`` (A,) are accounts that margin binds."""
        if not chosen.size:
            return None
        opens = (batch.quantity != 0) & (batch.orders[:, KIND] < REDUCE_ONLY) & bound[batch.owner]
        rows = np.flatnonzero(opens & (chosen != 0))
        owner, instrument = batch.owner[rows], batch.orders[rows, INSTRUMENT]
        key = owner * (int(instrument.max(initial=0)) + 1) + instrument
        _, last, group = np.unique(key[::-1], return_index=True, return_inverse=True)
        final = chosen[rows][::-1][last][group][::-1]
        leverage = np.where(final < HIGHEST, final * LEVERAGE_STEP, np.inf)
        return cls(rows, owner, instrument, leverage) if rows.size else None

    def applied(self, book: Exposure, first: int) -> Exposure:
        """The accounts of a pool as if all choices were made; ``first`` is the number of its first instrument."""
        leverage = book.leverage.copy(order="K")
        leverage[self.owner, self.instrument - first] = self.leverage
        leverage.flags.writeable = False
        return book._replace(leverage=leverage)

    def kept(self, passes: B1) -> tuple[I8, I8, F8]:
        """Instruments, owners and leverage of the choices whose orders pass, (n,) of the batch."""
        kept = passes[self.order]
        return self.instrument[kept], self.owner[kept], self.leverage[kept]


def _admit_pool(market: MarketState, venue: Venue, state: PoolState, batch: Batch) -> B1:
    """Which of a pool's orders pass; isolated margin moves from the wallet for those that do."""

    def shortage(accounts: I8, book: Exposure) -> F8:
        verdict = state.engine.admits(book)
        lacking = verdict.initial - verdict.equity
        if venue.wallet != state.pool.number:
            lacking = lacking - venue.purse(accounts)
        return lacking

    passes = admit(batch, market.watched, shortage)
    if venue.wallet == state.pool.number:
        return passes
    sent = passes & market.watched[batch.owner] & (batch.quantity != 0)
    opening = batch.owner[sent & (batch.orders[:, KIND] < REDUCE_ONLY) & ~batch.reduces]
    if opening.size:
        opens = np.zeros_like(market.watched)
        opens[opening] = True
        accounts, _, book = batch.hypothetical(np.flatnonzero(sent & opens[batch.owner]))
        verdict = state.engine.admits(book)
        missing = np.maximum(np.ceil(verdict.initial - verdict.equity), 0.0)
        lacking = np.minimum(missing, venue.purse(accounts)).astype(np.int64)
        need = opens[accounts] & (lacking > 0)
        moves = Transfers.of(accounts[need], accounts[need], venue.wallet, state.pool.number, 0, lacking[need])
        market.ledger.transfer(moves, DEPOSIT)
    return passes
