"""Liquidation rounds of one market: cancel, plan, match, settle, re-mark (LIQ-1 to LIQ-5)."""

import numpy as np

from sim.attribution import CLOSE_OUT, Causes
from sim.exchange.fees import compute_fees
from sim.exchange.matching import (
    CAUSE,
    FILLED_LOTS,
    INSTRUMENT,
    KIND,
    LAST_AFTER,
    LOTS,
    MID2_AFTER,
    MID2_BEFORE,
    OWNER,
    PRICE,
    QUANTITY,
    REASON,
    RESERVE,
    SLOT,
    TICKS,
    TRADED,
)
from sim.records import ExecutedLiquidations, LiquidationRound
from sim.state import MarketState
from sim.step.assessment import assess_accounts
from sim.types import F8, I8, IOC, MISSING, REDUCE_ONLY, CloseOuts, Fills, MarginPool, Transfers
from sim.venue import Venue, record_since


def run_liquidation_rounds(market: MarketState) -> tuple[list[LiquidationRound], int]:
    """Repeat rounds of assess, plan, match and settle (LIQ-4).

    Rounds end when no close-out is planned or filled, or after ``max_rounds``.

    Returns:
        The close-outs of each round and venue, and the number of rounds with any.
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
        assess_accounts(market, number)
        if not any(done.executed.filled.any() for done in acted):
            return rounds, number + 1
    return rounds, market.config.max_rounds


def run_close_out_round(market: MarketState, venue: Venue, number: int) -> LiquidationRound | None:
    """Make one round at one venue; return None without planned close-outs."""
    planned = [
        (state.pool, _plan_close_outs(market, venue, state.pool))
        for state in venue.pool_states.values()
    ]
    planned = [(pool, plan) for pool, plan in planned if plan.account.size]
    if not planned:
        return None
    pool = np.concatenate([np.full(plan.account.size, pool.number) for pool, plan in planned])
    plan = CloseOuts.join([_number_globally(pool, plan) for pool, plan in planned])
    if market.config.shuffle_closeouts:
        order = np.argsort(
            market.streams.draw_uniform(f"shuffle/{number}", market.tick, pool.size, 1)[:, 0]
        )
        pool, plan = pool[order], plan.take(order)
    executed = _execute_close_outs(market, venue, pool, plan)
    causes = [_collect_causes(market, executed, own_pool) for own_pool, _ in planned]
    return LiquidationRound(number, venue.number, executed, causes)


def _plan_close_outs(market: MarketState, venue: Venue, pool: MarginPool) -> CloseOuts:
    """Return the close-outs that the policy plans in one pool, after cancelling orders (LIQ-1)."""
    state = venue.pool_states[pool.number]
    assessment, distress = state.assessment, state.distress
    liquidatable = assessment.liquidatable
    rows = np.flatnonzero(liquidatable)
    record_since(distress.liquidatable_since, liquidatable, market.tick)
    if not rows.size or market.config.suppress_closeouts:
        return CloseOuts.empty()
    rows = _cancel_orders(market, venue, pool, rows)
    accounts = venue.pool_accounts(pool)
    weights = np.zeros(accounts.position.shape)
    weights[rows] = state.engine.compute_leg_shares(accounts.take(rows))
    plan = venue.liquidation_policy.plan_close_outs(assessment, distress, accounts, weights)
    distress.last_action[plan.account] = market.tick
    return plan


def _cancel_orders(market: MarketState, venue: Venue, pool: MarginPool, rows: I8) -> I8:
    """Cancel orders of liquidatable accounts; return accounts that stay liquidatable (LIQ-1)."""
    state = venue.pool_states[pool.number]
    instruments = range(pool.instruments.start, pool.instruments.stop)
    n_cancelled = sum(
        market.order_books.cancel_owner_orders(instrument, rows) for instrument in instruments
    )
    if not n_cancelled:
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
    """Match close-outs one after another, mark after each of them, and settle them."""
    numbers = market.next_close_out + np.arange(plan.account.size)
    market.next_close_out += plan.account.size
    before = venue.view.mark
    matched = market.order_books.match(
        _pack_close_outs(plan, numbers), market.ledger.position, market.price_bands
    )
    market.ledger.settle_fills(Fills.from_table(matched.fills), CLOSE_OUT)
    notional = _filled_notional(market, matched.fills, numbers)
    _charge_liquidation_fees(market, venue, pool, plan, notional)
    venue.update_mark(market.order_books.top_of_book()[venue.instrument_slice])
    columns = plan.instrument - venue.instrument_slice.start
    marks_before, marks_after = _marks_around(venue, columns, matched.report, before)
    equity, maintenance = _last_assessment(venue, pool, plan.account)
    return ExecutedLiquidations(
        number=numbers,
        action=_find_actions(pool * market.n_owners + plan.account, numbers),
        account=plan.account,
        pool=pool,
        instrument=plan.instrument,
        planned=plan.quantity,
        filled=matched.report[:, FILLED_LOTS],
        limit=plan.limit,
        route=plan.route,
        notional=notional,
        mark_before=marks_before,
        mark_after=marks_after,
        mid_before=_halve_mids(matched.report[:, MID2_BEFORE]),
        mid_after=_halve_mids(matched.report[:, MID2_AFTER]),
        equity=equity,
        maintenance=maintenance,
    )


def _pack_close_outs(plan: CloseOuts, numbers: I8) -> I8:
    """Return close-outs as orders for the order books, (n, 8)."""
    orders = np.empty((plan.account.size, 8), dtype=np.int64)
    orders[:, OWNER], orders[:, INSTRUMENT] = plan.account, plan.instrument
    orders[:, QUANTITY], orders[:, PRICE] = plan.quantity, plan.limit
    orders[:, KIND], orders[:, SLOT] = IOC + REDUCE_ONLY, MISSING
    orders[:, RESERVE], orders[:, CAUSE] = 0, numbers
    return orders


def _find_actions(accounts: I8, numbers: I8) -> I8:
    """Return the id of the first close-out of the same account for each close-out, (n,)."""
    _, group = np.unique(accounts, return_inverse=True)
    lowest = np.full(group.max() + 1, numbers[-1] + 1)
    np.minimum.at(lowest, group, numbers)
    return lowest[group]


def _last_assessment(venue: Venue, pool: I8, account: I8) -> tuple[F8, F8]:
    """Return equity and maintenance of accounts as last assessed."""
    equity, maintenance = np.empty(account.size), np.empty(account.size)
    for number in np.unique(pool):
        here, last = pool == number, venue.pool_states[int(number)].assessment
        equity[here] = last.equity[account[here]]
        maintenance[here] = last.maintenance[account[here]]
    return equity, maintenance


def _halve_mids(doubled: I8) -> F8:
    return np.where(doubled == MISSING, np.nan, doubled / 2)


def _filled_notional(market: MarketState, fills: I8, numbers: I8) -> I8:
    """Return the filled notional of each close-out, minor units of the numeraire."""
    notional = np.zeros(numbers.size)
    tick_value = market.tick_value()[fills[:, TRADED]]
    value = np.abs(fills[:, LOTS]) * fills[:, TICKS] * tick_value
    np.add.at(notional, fills[:, REASON] - numbers[0], value)
    return np.rint(notional).astype(np.int64)


def _charge_liquidation_fees(
    market: MarketState, venue: Venue, pool: I8, plan: CloseOuts, notional: I8
) -> None:
    """Transfer the liquidation fee to the fund, from equity left after the close-out (FEE-1)."""
    rate = venue.config.fees.liquidation
    if not rate:
        return
    fees = compute_fees(notional, rate)
    fund = venue.system_accounts.insurance_fund
    target = fund if fund != MISSING else venue.system_accounts.fees
    for number in np.unique(pool):
        state, here = venue.pool_states[int(number)], pool == number
        accounts = np.unique(plan.account[here])
        left = np.maximum(venue.pool_accounts(state.pool).take(accounts).equity(), 0)
        due = np.zeros(accounts.size)
        np.add.at(due, np.searchsorted(accounts, plan.account[here]), fees[here])
        paid = np.floor(np.minimum(due, left)).astype(np.int64)
        paid[accounts == target] = 0
        moves = Transfers.from_columns(accounts, target, int(number), venue.wallet_pool, 0, paid)
        market.ledger.transfer(moves, CLOSE_OUT)


def _marks_around(venue: Venue, columns: I8, report: I8, before: F8) -> tuple[F8, F8]:
    """Return the marks just before and just after each close-out, at an updated venue (LIQ-4).

    Close-outs only remove quotes. A book that is empty at the end has therefore been empty since
    the last close-out that traded.
    """
    old, new = np.empty(columns.size), np.empty(columns.size)
    for column in np.unique(columns):
        here = np.flatnonzero(columns == column)
        traded = np.flatnonzero(report[here, FILLED_LOTS])
        is_after_last_trade = np.arange(here.size) >= traded.max(initial=0)
        quotes = venue.quotes._replace(
            mid=_halve_mids(report[here, MID2_AFTER]),
            last=report[here, LAST_AFTER].astype(np.float64),
            oracle=np.full(here.size, venue.quotes.oracle[column]),
            basis=np.full(here.size, venue.basis[column]),
            is_book_empty=venue.quotes.is_book_empty[column] & is_after_last_trade,
        )
        new[here] = venue.mark_price(quotes)
        old[here] = np.r_[before[column], new[here[:-1]]]
    return old, new


def _collect_causes(
    market: MarketState, executed: ExecutedLiquidations, pool: MarginPool
) -> tuple[I8, Causes]:
    """Return the causes of the deficits of accounts with fills, and their action's id (LIQ-6)."""
    here = (executed.pool == pool.number) & (executed.filled > 0)
    accounts, first = np.unique(executed.account[here], return_index=True)
    causes = market.cause_logs[pool.number].collect_causes(accounts)
    action = executed.action[here][first][np.searchsorted(accounts, causes.row)]
    return action, causes
