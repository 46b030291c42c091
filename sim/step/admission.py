"""Admission of orders by margin, pool by pool, and the leverage that orders choose."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.exchange.admission import OrderBatch, admit_batch
from sim.exchange.matching import INSTRUMENT, KIND, OWNER, QUANTITY
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
    chosen = chosen if chosen.size else np.zeros(len(orders), dtype=np.int64)
    passes, reduces = np.zeros((2, len(orders)), dtype=bool)
    for venue in market.venues:
        for state in venue.pool_states.values():
            earlier, parts = None, _select_pool_rows(market, orders, state.pool.number)
            for rows in parts:
                batch = _make_batch(market, venue, state, orders[rows], replaced[rows])
                batch.chosen = list_choices(batch.orders, chosen[rows], market.is_margined)
                admitted = _admit_pool_orders(market, venue, state, batch, earlier)
                passes[rows], reduces[rows] = admitted, batch.is_reduce_only
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


def list_choices(orders: I8, chosen: I8, bound: B1) -> F8 | None:
    """Return the leverage that orders which may open choose, zero = none; None without any.

    Args:
        orders: (n, 8) orders of a pool.
        chosen: (n,) leverage that each chooses, hundredths, zero = none.
        bound: (A,) accounts that margin rules apply to.
    """
    if not chosen.any():
        return None
    opens = (orders[:, QUANTITY] != 0) & (orders[:, KIND] < REDUCE_ONLY) & bound[orders[:, OWNER]]
    leverage = np.where(chosen < VENUE_MAX_LEVERAGE, chosen * LEVERAGE_STEP, np.inf)
    choices: F8 = np.where(opens, leverage, 0.0)
    return choices


def _keep_choices(market: MarketState, batch: OrderBatch, passes: B1) -> None:
    """Post the leverage that the last admitted order of each account and instrument chose."""
    rows = np.flatnonzero(passes)
    chosen = batch.list_choices(rows)
    rows, chosen = rows[chosen > 0], chosen[chosen > 0]
    if rows.size:
        market.ledger.cap_leverage(batch.orders[rows, INSTRUMENT], batch.owner[rows], chosen)


def _admit_pool_orders(
    market: MarketState,
    venue: Venue,
    state: PoolState,
    batch: OrderBatch,
    earlier: OrderBatch | None,
) -> B1:
    """Return which of a pool's orders pass; move isolated margin, and post the leverage they chose.

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
    _keep_choices(market, batch, passes)
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
