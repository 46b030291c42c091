"""Admission of orders by margin, pool by pool, and the leverage that orders choose."""

from typing import NamedTuple

import numpy as np

from sim.attribution import DEPOSIT
from sim.exchange.admission import OrderBatch, admit_batch
from sim.exchange.matching import INSTRUMENT, KIND, OWNER
from sim.margin.tiered_admission import find_tiered_terms, list_terms
from sim.state import MarketState
from sim.step.tiered_admission import (
    PoolAccounts,
    WaitingOrders,
    admit_pool_orders,
    number_accounts,
)
from sim.types import (
    B1,
    F8,
    I8,
    LEVERAGE_STEP,
    NO_LEVERAGE_CHOSEN,
    NOT_GIVEN,
    REDUCE_ONLY,
    VENUE_MAX_LEVERAGE,
    Exposure,
    Transfers,
)
from sim.venue import PoolState, Venue

CROWD_SIZE = 2**14
"""Orders above which whole pools are assessed column by column, if most owners send one or two.

The result is the same; kernels that go from account to account are then slower.
"""


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
    waiting = WaitingOrders.from_orders(orders, replaced, chosen)
    is_crowd = max(CROWD_SIZE, market.n_owners // 2) < len(orders) < 2 * market.n_owners
    for venue in market.venues:
        for state in venue.pool_states.values():
            if is_crowd or find_tiered_terms(state.engine) is None:
                _admit_by_engine(market, venue, state, waiting)
            else:
                _admit_by_kernel(market, venue, state, waiting)
    orders[waiting.reduces, KIND] |= REDUCE_ONLY
    passes, replaced_lots = waiting.passes, replaced[:, 0]
    return (orders, replaced_lots) if passes.all() else (orders[passes], replaced_lots[passes])


def _admit_by_engine(
    market: MarketState, venue: Venue, state: PoolState, waiting: WaitingOrders
) -> None:
    """Admit a pool's orders by its engine, and post the leverage that they choose."""
    rows = _select_pool_rows(market, waiting.orders, state.pool.number)
    batch = _make_batch(market, venue, state, waiting.orders[rows], waiting.replaced[rows])
    chosen = waiting.chosen[rows] if waiting.chosen.size else waiting.chosen
    choices = LeverageChoices.from_batch(batch, chosen, market.is_margined)
    if choices is not None:
        batch.accounts = choices.apply_to(batch.accounts, state.pool.instruments.start)
    admitted = _admit_pool_orders(market, venue, state, batch)
    waiting.passes[rows], waiting.reduces[rows] = admitted, batch.is_reduce_only
    if choices is not None:
        passed = choices.select_passed(admitted & ~batch.is_reduce_only)
        market.ledger.cap_leverage(*passed)


def _admit_by_kernel(
    market: MarketState, venue: Venue, state: PoolState, waiting: WaitingOrders
) -> None:
    """Admit a pool's orders by kernel, post chosen leverage, and move isolated margin for them."""
    part, row = state.pool.instruments, np.empty(len(waiting.orders), dtype=np.int64)
    owners, n_needy = number_accounts(
        waiting.orders,
        market.is_margined,
        part.start,
        part.stop - part.start,
        market.row_of_owner,
        row,
        waiting.passes,
    )
    if not n_needy:
        return
    pool = _make_pool_accounts(market, venue, state)
    payers, amounts, n_opening = admit_pool_orders(pool, waiting, row, owners)
    if waiting.chosen.size:
        sets = np.flatnonzero(~np.isnan(waiting.leverage))
        setters, instruments = waiting.orders[sets, OWNER], waiting.orders[sets, INSTRUMENT]
        market.ledger.cap_leverage(instruments, setters, waiting.leverage[sets])
        waiting.leverage[sets] = np.nan
    if payers.size:
        if 2 * n_opening > market.n_owners:  # the order in which OrderBatch lists accounts
            order = np.argsort(payers)
            payers, amounts = payers[order], amounts[order]
        moves = Transfers.from_columns(payers, payers, venue.wallet_pool, pool.number, 0, amounts)
        market.ledger.transfer(moves, DEPOSIT)


def _make_pool_accounts(market: MarketState, venue: Venue, state: PoolState) -> PoolAccounts:
    """Return a pool with tiered brackets and cash valuation as kernels read it."""
    engine = find_tiered_terms(state.engine)
    assert engine is not None
    ledger, contracts, price = market.ledger, market.contracts, venue.view.price
    first, mark = state.pool.instruments.start, venue.view.mark[state.pool.venue_slice]
    has_wallet = venue.wallet_pool != state.pool.number
    return PoolAccounts(
        number=state.pool.number,
        first=first,
        balance=ledger.balance,
        position=ledger.position,
        entry=ledger.entry,
        leverage=ledger.leverage,
        resting=market.order_books.resting_totals,
        wallet=venue.free_wallet_cash(slice(0, market.n_owners)) if has_wallet else NOT_GIVEN,
        max_lots=market.max_lots,
        price=price,
        terms=list_terms(
            first, mark, contracts.multiplier, price, contracts.settle, contracts.kind
        ),
        table=engine.table,
        factor=engine.factor,
        is_separable=engine.is_separable,
    )


def _select_pool_rows(market: MarketState, orders: I8, number: int) -> slice | B1:
    """Return the rows of orders that belong to a pool; all rows where it is the only one."""
    if len(market.ledger.pools) == 1:
        return slice(None)
    here: B1 = market.ledger.pool_numbers[orders[:, INSTRUMENT]] == number
    return here


def _make_batch(
    market: MarketState, venue: Venue, state: PoolState, orders: I8, replaced: I8
) -> OrderBatch:
    part = state.pool.instruments
    accounts = venue.admission_accounts(state.pool)
    return OrderBatch(orders, replaced, accounts, market.max_lots[part], part.start)


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
    market: MarketState, venue: Venue, state: PoolState, batch: OrderBatch
) -> B1:
    """Return which of a pool's orders pass, and move isolated margin from wallets for them."""

    def shortage(rows: I8, accounts: Exposure) -> F8:
        assessment = state.engine.assess_admission(accounts)
        lacking = assessment.initial - assessment.equity
        if venue.wallet_pool != state.pool.number:
            lacking = lacking - venue.free_wallet_cash(rows)
        return lacking

    passes = admit_batch(batch, market.is_margined, shortage)
    if venue.wallet_pool != state.pool.number:
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
    lacking = np.minimum(missing, venue.free_wallet_cash(rows)).astype(np.int64)
    need = opens[rows] & (lacking > 0)
    moves = Transfers.from_columns(
        rows[need], rows[need], venue.wallet_pool, state.pool.number, 0, lacking[need]
    )
    market.ledger.transfer(moves, DEPOSIT)
