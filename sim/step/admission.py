"""Admission of orders by margin, pool by pool, and the leverage that orders choose."""

from typing import NamedTuple

import numpy as np

from sim.attribution import DEPOSIT
from sim.exchange.admission import OrderBatch, admit_batch
from sim.exchange.matching import INSTRUMENT, KIND, OWNER
from sim.state import MarketState
from sim.step import sides
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
    """Select the orders that margin allows (MAR-1, ISO-1).

    Args:
        market: in place; chosen leverage and isolated margin of admitted orders are posted.
        orders: (n, 8) in order of arrival.
        chosen: (n,) leverage that each order chooses, hundredths, or empty.

    Returns:
        The admitted orders (m, 8), and the lots of the resting order that each replaces, (m,).
    """
    replaced = market.order_books.find_replaced_orders(orders)
    passes, reduces = np.zeros((2, len(orders)), dtype=bool)
    for venue in market.venues:
        for state in venue.pool_states.values():
            earlier, parts = None, _select_pool_rows(market, orders, state.pool.number)
            for rows in parts:
                batch = _make_batch(market, venue, state, orders[rows], replaced[rows])
                choices = _apply_choices(batch, chosen, rows, market.is_margined)
                admitted = _admit_pool_orders(market, venue, state, batch, earlier)
                passes[rows], reduces[rows] = admitted, batch.is_reduce_only
                if choices is not None:
                    passed = choices.select_passed(admitted & ~batch.is_reduce_only)
                    market.ledger.cap_leverage(*passed)
                if len(parts) > 1:
                    taken = orders[rows][admitted], replaced[rows][admitted]
                    earlier = _make_batch(market, venue, state, *taken)
    orders[reduces, KIND] |= REDUCE_ONLY
    replaced_lots = replaced[:, 0]
    return (orders, replaced_lots) if passes.all() else (orders[passes], replaced_lots[passes])


def _select_pool_rows(market: MarketState, orders: I8, number: int) -> list[slice | B1]:
    """Return the rows of orders that belong to a pool; all rows where it is the only one.

    Orders of short sides come apart, after the others: both sides use one wallet (ISO-1).
    """
    if market.sides.pairs.size:
        here = market.ledger.pool_numbers[orders[:, INSTRUMENT]] == number
        is_short = market.sides.side[orders[:, OWNER]] < 0
        return [here & ~is_short, here & is_short]
    if len(market.ledger.pools) == 1:
        return [slice(None)]
    return [market.ledger.pool_numbers[orders[:, INSTRUMENT]] == number]


def _make_batch(
    market: MarketState, venue: Venue, state: PoolState, orders: I8, replaced: I8
) -> OrderBatch:
    part = state.pool.instruments
    accounts = venue.admission_accounts(state.pool)
    return OrderBatch(orders, replaced, accounts, market.max_lots[part], part.start)


def _apply_choices(
    batch: OrderBatch, chosen: I8, rows: slice | B1, bound: B1
) -> "LeverageChoices | None":
    """Return the leverage that orders of a batch choose, after a change of its accounts.

    ``rows`` are those of the batch among all orders.
    """
    choices = LeverageChoices.from_batch(batch, chosen[rows] if chosen.size else chosen, bound)
    if choices is not None:
        batch.accounts = choices.apply_to(batch.accounts, batch.first)
    return choices


class LeverageChoices(NamedTuple):
    """Leverage that orders of one pool choose: the last choice for each owner and instrument."""

    order: I8  # (c,) rows of the batch that choose, in order of arrival
    owner: I8
    instrument: I8  # global
    leverage: F8

    @classmethod
    def from_batch(cls, batch: OrderBatch, chosen: I8, bound: B1) -> "LeverageChoices | None":
        """Return the choices of orders that may open, or None without any.

        Args:
            batch: orders of the pool.
            chosen: (n,) leverage that each order chooses, hundredths, or empty.
            bound: (A,) accounts that margin rules apply to.
        """
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

    def apply_to(self, accounts: Exposure, first: int) -> Exposure:
        """Return the pool's accounts with all choices; ``first`` is its first instrument."""
        leverage = accounts.leverage.copy(order="K")
        leverage[self.owner, self.instrument - first] = self.leverage
        leverage.flags.writeable = False
        return accounts._replace(leverage=leverage)

    def select_passed(self, passes: B1) -> tuple[I8, I8, F8]:
        """Return instruments, owners and leverage of choices whose orders pass.

        ``passes`` (n,) has a value for each order of the batch.
        """
        kept = passes[self.order]
        return self.instrument[kept], self.owner[kept], self.leverage[kept]


def _admit_pool_orders(
    market: MarketState,
    venue: Venue,
    state: PoolState,
    batch: OrderBatch,
    earlier: OrderBatch | None,
) -> B1:
    """Return which of a pool's orders pass, and move isolated margin from wallets for them.

    ``earlier`` holds the orders of long sides that have passed, if these are of short sides.
    """
    is_separate = venue.wallet_pool != state.pool.number
    beside = None
    if market.sides.pairs.size and not is_separate:
        beside = sides.find_shortages_beside(market, venue, state, earlier)

    def shortage(rows: I8, accounts: Exposure) -> F8:
        assessment = state.engine.assess_admission(accounts)
        lacking = assessment.initial - assessment.equity
        if is_separate:
            lacking = lacking - venue.free_wallet_cash(market.sides.member[rows])
        return lacking if beside is None else lacking + beside[rows]

    passes = admit_batch(batch, market.is_margined, shortage)
    if is_separate:
        _transfer_isolated_margin(market, venue, state, batch, passes)
    return passes


def _transfer_isolated_margin(
    market: MarketState, venue: Venue, state: PoolState, batch: OrderBatch, passes: B1
) -> None:
    """Move the initial margin that opening orders lack from wallets into isolated accounts."""
    sent = passes & market.is_margined[batch.owner] & (batch.quantity != 0)
    may_open = (batch.orders[:, KIND] < REDUCE_ONLY) & ~batch.is_reduce_only
    opening = batch.owner[sent & may_open]
    if not opening.size:
        return
    opens = np.zeros_like(market.is_margined)
    opens[opening] = True
    rows, _, accounts = batch.build_hypothetical(np.flatnonzero(sent & opens[batch.owner]))
    assessment = state.engine.assess_admission(accounts)
    missing = np.maximum(np.ceil(assessment.initial - assessment.equity), 0.0)
    payer = market.sides.member[rows]
    lacking = np.minimum(missing, venue.free_wallet_cash(payer)).astype(np.int64)
    need = opens[rows] & (lacking > 0)
    moves = Transfers.from_columns(
        payer[need], rows[need], venue.wallet_pool, state.pool.number, 0, lacking[need]
    )
    market.ledger.transfer(moves, DEPOSIT)
