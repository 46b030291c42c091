"""Liquidation rounds of one market: cancel, plan, match, settle, re-mark (LIQ-1 to LIQ-5)."""

import numpy as np

from sim.attribution import CLOSE_OUT, Causes
from sim.close_outs import CloseOuts
from sim.exchange.fees import compute_fees
from sim.exchange.matching import (
    FILLED_LOTS,
    LAST_AFTER,
    LOTS,
    MID2_AFTER,
    MID2_BEFORE,
    REASON,
    TICKS,
    TRADED,
)
from sim.records import ExecutedLiquidations, LiquidationRound
from sim.state import MarketState
from sim.step import assessment
from sim.types import F8, I8, IOC, MISSING, REDUCE_ONLY, Fills, MarginPool, Transfers
from sim.venue import Venue, record_since


def run_liquidation_rounds(market: MarketState) -> tuple[list[LiquidationRound], int]:
    """Rounds of assess, plan, match, settle, until nothing is planned or filled, or ``max_rounds`` (LIQ-4).

    Returns:
        What was closed out in each round and venue, and how many rounds closed something out.
    """
    rounds: list[LiquidationRound] = []
    for number in range(market.config.max_rounds):
        acted = [
            done
            for venue in market.venues
            if (done := run_close_out_round(market, venue, number)) is not None
        ]
        if not acted:
            return rounds, number
        rounds.extend(acted)
        assessment.assess_accounts(market, number)
        if not any(done.executed.filled.any() for done in acted):
            return rounds, number + 1
    return rounds, market.config.max_rounds


def run_close_out_round(market: MarketState, venue: Venue, number: int) -> LiquidationRound | None:
    """One round at one venue; None if nothing was planned."""
    planned = [
        (state.pool, _plan_close_outs(market, venue, state.pool))
        for state in venue.pool_states.values()
    ]
    planned = [(pool, plan) for pool, plan in planned if plan.account.size]
    if not planned:
        return None
    pool = np.concatenate([np.full(plan.account.size, pool.number) for pool, plan in planned])
    plan = CloseOuts.join([_number_globally(*each) for each in planned])
    if market.config.shuffle_closeouts:
        order = np.argsort(
            market.streams.draw_uniform(f"shuffle/{number}", market.tick, pool.size, 1)[:, 0]
        )
        pool, plan = pool[order], plan.take(order)
    executed = _execute_close_outs(market, venue, pool, plan)
    causes = [_collect_causes(market, executed, pool) for pool, _ in planned]
    return LiquidationRound(number, venue.number, executed, causes)


def _plan_close_outs(market: MarketState, venue: Venue, pool: MarginPool) -> CloseOuts:
    """What the venue's policy wants closed in one pool, after open orders were cancelled (LIQ-1)."""
    state = venue.pool_states[pool.number]
    risk, distress = state.assessment, state.distress
    liquidatable = risk.liquidatable
    rows = np.flatnonzero(liquidatable)
    record_since(distress.liquidatable_since, liquidatable, market.tick)
    if not rows.size or market.config.suppress_closeouts:
        return CloseOuts.empty()
    rows = _cancel_orders(market, venue, pool, rows)
    book = venue.pool_accounts(pool)
    weights = np.zeros(book.position.shape)
    weights[rows] = state.engine.compute_leg_shares(book.take(rows))
    plan = venue.liquidation_policy.plan_close_outs(risk, distress, book, weights)
    distress.last_action[plan.account] = market.tick
    return plan


def _cancel_orders(market: MarketState, venue: Venue, pool: MarginPool, rows: I8) -> I8:
    """Cancel the open orders of liquidatable accounts; returns those that this did not cure (LIQ-1)."""
    state, instruments = (
        venue.pool_states[pool.number],
        range(pool.instruments.start, pool.instruments.stop),
    )
    if not sum(
        market.order_books.cancel_owner_orders(instrument, rows) for instrument in instruments
    ):
        return rows
    fresh = state.engine.assess(venue.pool_accounts(pool).take(rows))
    for column, value in zip(state.assessment, fresh, strict=True):
        column[rows] = value
    return rows[fresh.liquidatable]


def _number_globally(pool: MarginPool, plan: CloseOuts) -> CloseOuts:
    return plan._replace(instrument=plan.instrument + pool.instruments.start)


def _execute_close_outs(
    market: MarketState, venue: Venue, pool: I8, plan: CloseOuts
) -> ExecutedLiquidations:
    """Match close-outs one after another, re-marking after each, and settle them."""
    count = plan.account.size
    numbers = market.next_close_out + np.arange(count)
    market.next_close_out += count
    orders = np.empty((count, 8), dtype=np.int64)
    orders[:, :4] = np.stack((plan.account, plan.instrument, plan.quantity, plan.limit), axis=1)
    orders[:, 4:] = np.stack(np.broadcast_arrays(IOC + REDUCE_ONLY, MISSING, 0, numbers), axis=1)
    before = venue.view.mark
    matched = market.order_books.match(orders, market.ledger.position, market.price_bands)
    market.ledger.settle_fills(Fills.from_table(matched.fills), CLOSE_OUT)
    _, first = np.unique(pool * market.n_owners + plan.account, return_inverse=True)
    lowest = np.full(first.max() + 1, numbers[-1] + 1)
    np.minimum.at(lowest, first, numbers)
    notional = _filled_notional(market, matched.fills, numbers)
    _charge_liquidation_fees(market, venue, pool, plan, notional)
    venue.update_mark(market.order_books.top_of_book()[venue.instrument_slice])
    marks_before, marks_after = _marks_around(
        venue, plan.instrument - venue.instrument_slice.start, matched.report, before
    )
    equity, maintenance = _last_assessment(venue, pool, plan.account)
    mids = [_halve_mids(matched.report[:, column]) for column in (MID2_BEFORE, MID2_AFTER)]
    filled = matched.report[:, FILLED_LOTS]
    return ExecutedLiquidations(
        *(numbers, lowest[first], plan.account, pool, plan.instrument, plan.quantity, filled),
        *(plan.limit, plan.route, notional),
        *(marks_before, marks_after, *mids, equity, maintenance),
    )


def _last_assessment(venue: Venue, pool: I8, account: I8) -> tuple[F8, F8]:
    """Equity and maintenance of accounts as last assessed."""
    equity, maintenance = np.empty(account.size), np.empty(account.size)
    for number in np.unique(pool):
        here, risk = pool == number, venue.pool_states[int(number)].assessment
        equity[here], maintenance[here] = (
            risk.equity[account[here]],
            risk.maintenance[account[here]],
        )
    return equity, maintenance


def _halve_mids(doubled: I8) -> F8:
    return np.where(doubled == MISSING, np.nan, doubled / 2)


def _filled_notional(market: MarketState, fills: I8, numbers: I8) -> I8:
    """Minor units of the numeraire filled of each close-out."""
    notional = np.zeros(numbers.size)
    value = np.abs(fills[:, LOTS]) * fills[:, TICKS] * market.tick_value()[fills[:, TRADED]]
    np.add.at(notional, fills[:, REASON] - numbers[0], value)
    return np.rint(notional).astype(np.int64)


def _charge_liquidation_fees(
    market: MarketState, venue: Venue, pool: I8, plan: CloseOuts, notional: I8
) -> None:
    """The liquidation fee, to the fund, from what equity is left after the close-out (FEE-1)."""
    rate = venue.config.fees.liquidation
    if not rate:
        return
    due = compute_fees(notional, rate)
    target = (
        venue.system_accounts.insurance_fund
        if venue.system_accounts.insurance_fund != MISSING
        else venue.system_accounts.fees
    )
    for number in np.unique(pool):
        state, here = venue.pool_states[int(number)], pool == number
        accounts = np.unique(plan.account[here])
        left = np.maximum(venue.pool_accounts(state.pool).take(accounts).equity(), 0)
        asked = np.zeros(accounts.size)
        np.add.at(asked, np.searchsorted(accounts, plan.account[here]), due[here])
        paid = np.floor(np.minimum(asked, left)).astype(np.int64)
        paid[accounts == target] = 0
        market.ledger.transfer(
            Transfers.from_columns(accounts, target, int(number), venue.wallet_pool, 0, paid),
            CLOSE_OUT,
        )


def _marks_around(venue: Venue, columns: I8, report: I8, before: F8) -> tuple[F8, F8]:
    """The mark of each close-out's instrument just before and just after it, from a venue marked anew (LIQ-4).

    Close-outs only take quotes away: a book that ends bare has been so since the last of them that traded.
    """
    old, new = np.empty(columns.size), np.empty(columns.size)
    for column in np.unique(columns):
        here = np.flatnonzero(columns == column)
        traded = np.flatnonzero(report[here, FILLED_LOTS])
        quotes = venue.quotes._replace(
            mid=_halve_mids(report[here, MID2_AFTER]),
            last=report[here, LAST_AFTER].astype(np.float64),
            oracle=np.full(here.size, venue.quotes.oracle[column]),
            basis=np.full(here.size, venue.basis[column]),
            is_book_empty=venue.quotes.is_book_empty[column]
            & (np.arange(here.size) >= traded.max(initial=0)),
        )
        new[here] = venue.mark_price(quotes)
        old[here] = np.r_[before[column], new[here[:-1]]]
    return old, new


def _collect_causes(
    market: MarketState, executed: ExecutedLiquidations, pool: MarginPool
) -> tuple[I8, Causes]:
    """What pushed the accounts whose action just filled something, and its number (LIQ-6)."""
    here = (executed.pool == pool.number) & (executed.filled > 0)
    accounts, first = np.unique(executed.account[here], return_index=True)
    causes = market.cause_logs[pool.number].collect_causes(accounts)
    action = executed.action[here][first][np.searchsorted(accounts, causes.row)]
    return action, causes
