"""Admission of orders by margin, pool by pool, and the leverage that they choose."""

from typing import NamedTuple

import numpy as np

from sim.attribution import DEPOSIT
from sim.exchange.admission import OrderBatch, admit_batch
from sim.exchange.matching import INSTRUMENT, KIND
from sim.state import MarketState
from sim.types import (
    B1,
    F8,
    I8,
    LEVERAGE_STEP,
    NO_LEVERAGE_CHOSEN,
    REDUCE_ONLY,
    VENUE_MAX_LEVERAGE,
    Exposure,
    Transfers,
)
from sim.venue import PoolState, Venue


def admit_orders(market: MarketState, orders: I8, chosen: I8 = NO_LEVERAGE_CHOSEN) -> tuple[I8, I8]:
    """The orders that margin allows, and the lots that each would replace now, (n,) (MAR-1, ISO-1).

    ``chosen`` is the leverage that each order chooses, (n,) hundredths, or empty.
    """
    replaced = market.order_books.find_replaced_orders(orders)
    passes, reduces = np.zeros((2, len(orders)), dtype=bool)
    alone = len(market.ledger.pools) == 1
    for venue in market.venues:
        for state in venue.pool_states.values():
            pool, part = state.pool, state.pool.instruments
            mine = (
                slice(None)
                if alone
                else market.ledger.pool_numbers[orders[:, INSTRUMENT]] == pool.number
            )
            batch = OrderBatch(
                orders[mine],
                replaced[mine],
                venue.admission_accounts(pool),
                market.max_lots[part],
                part.start,
            )
            choices = LeverageChoices.from_batch(
                batch, chosen[mine] if chosen.size else chosen, market.is_margined
            )
            if choices is not None:
                batch.accounts = choices.apply_to(batch.accounts, part.start)
            passes[mine] = _admit_pool_orders(market, venue, state, batch)
            reduces[mine] = batch.is_reduce_only
            if choices is not None:
                market.ledger.cap_leverage(
                    *choices.select_passed(passes[mine] & ~batch.is_reduce_only)
                )
    orders[reduces, KIND] |= REDUCE_ONLY
    stood = replaced[:, 0]
    return (orders, stood) if passes.all() else (orders[passes], stood[passes])


class LeverageChoices(NamedTuple):
    """Leverage that orders of one pool choose: of each owner and instrument what its last order says."""

    order: I8  # (c,) rows of the batch that choose, in order of arrival
    owner: I8
    instrument: I8  # global
    leverage: F8

    @classmethod
    def from_batch(cls, batch: OrderBatch, chosen: I8, bound: B1) -> "LeverageChoices | None":
        """Choices of orders that may open, None where none is made; ``bound`` (A,) are accounts that margin binds."""
        if not chosen.size:
            return None
        opens = (batch.quantity != 0) & (batch.orders[:, KIND] < REDUCE_ONLY) & bound[batch.owner]
        rows = np.flatnonzero(opens & (chosen != 0))
        owner, instrument = batch.owner[rows], batch.orders[rows, INSTRUMENT]
        key = owner * (int(instrument.max(initial=0)) + 1) + instrument
        _, last, group = np.unique(key[::-1], return_index=True, return_inverse=True)
        final = chosen[rows][::-1][last][group][::-1]
        leverage = np.where(final < VENUE_MAX_LEVERAGE, final * LEVERAGE_STEP, np.inf)
        return cls(rows, owner, instrument, leverage) if rows.size else None

    def apply_to(self, book: Exposure, first: int) -> Exposure:
        """The accounts of a pool as if all choices were made; ``first`` is the number of its first instrument."""
        leverage = book.leverage.copy(order="K")
        leverage[self.owner, self.instrument - first] = self.leverage
        leverage.flags.writeable = False
        return book._replace(leverage=leverage)

    def select_passed(self, passes: B1) -> tuple[I8, I8, F8]:
        """Instruments, owners and leverage of the choices whose orders pass, (n,) of the batch."""
        kept = passes[self.order]
        return self.instrument[kept], self.owner[kept], self.leverage[kept]


def _admit_pool_orders(
    market: MarketState, venue: Venue, state: PoolState, batch: OrderBatch
) -> B1:
    """Which of a pool's orders pass; isolated margin moves from the wallet for those that do."""

    def shortage(accounts: I8, book: Exposure) -> F8:
        verdict = state.engine.assess_admission(book)
        lacking = verdict.initial - verdict.equity
        if venue.wallet_pool != state.pool.number:
            lacking = lacking - venue.free_wallet_cash(accounts)
        return lacking

    passes = admit_batch(batch, market.is_margined, shortage)
    if venue.wallet_pool == state.pool.number:
        return passes
    sent = passes & market.is_margined[batch.owner] & (batch.quantity != 0)
    opening = batch.owner[sent & (batch.orders[:, KIND] < REDUCE_ONLY) & ~batch.is_reduce_only]
    if opening.size:
        opens = np.zeros_like(market.is_margined)
        opens[opening] = True
        accounts, _, book = batch.build_hypothetical(np.flatnonzero(sent & opens[batch.owner]))
        verdict = state.engine.assess_admission(book)
        missing = np.maximum(np.ceil(verdict.initial - verdict.equity), 0.0)
        lacking = np.minimum(missing, venue.free_wallet_cash(accounts)).astype(np.int64)
        need = opens[accounts] & (lacking > 0)
        moves = Transfers.from_columns(
            accounts[need], accounts[need], venue.wallet_pool, state.pool.number, 0, lacking[need]
        )
        market.ledger.transfer(moves, DEPOSIT)
    return passes
