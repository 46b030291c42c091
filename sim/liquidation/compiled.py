"""Kernels of the close-out policies, and the arrays in which they plan (LIQ-2 to LIQ-5)."""

from typing import NamedTuple

import numpy as np

from sim.exchange.matching import (
    INSTRUMENT,
    KIND,
    OWNER,
    PRICE,
    QUANTITY,
    RESERVE,
    SLOT,
)
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.numerics.sorting import sort_stably
from sim.types import B1, F8, I8, IOC, MISSING, REDUCE_ONLY, ROUTE_AUCTION, ROUTE_BOOK

EQUITY, INITIAL, MAINTENANCE = range(3)
"""Rows of an assessment."""

(POOL, ROUTE) = range(2)
"""Columns of the details of a close-out."""

NO_CAPACITY = -1
"""Capacity of a policy without a limit."""


class PlanArrays(NamedTuple):
    """Accounts of one pool for its policy, and the plan of its venue; N owners, K instruments."""

    rows: I8  # (N,) liquidatable accounts, ascending, the first of them in use
    n_rows: I8  # (1,)
    shares: F8  # (K, N) shares of maintenance of these accounts
    assessed: F8  # (3, N) equity, initial, maintenance
    liquidatable_since: I8  # (N,) tick
    last_action: I8  # (N,) tick
    bankrupt_since: I8  # (N,) tick
    position: I8  # (K, N) lots
    mark: F8  # (K,) ticks
    lot_value: F8  # (K,) minor units of the numeraire per lot at the mark
    tick_value: F8  # (K,) the same per tick and lot
    max_price: I8  # (K,) ticks
    is_perpetual: B1  # (K,)
    is_spot: B1  # (K,)
    first: int  # number of the pool's first instrument
    pool: int  # number of the pool
    orders: I8  # (M, 8) close-outs as orders, out
    details: I8  # (M, 2) pool and route, out
    n_planned: I8  # (1,) close-outs of the venue, in place
    chosen: I8  # (N,) places in ``rows`` of the accounts due, in order
    n_chosen: I8  # (1,)
    is_whole: B1  # (N,) whether each of ``rows`` is closed out whole
    is_offered: B1  # (N,) whether lots are on public offer after the step, False before


def bind_selection(
    arrays: PlanArrays, delay: int, cooldown: int, capacity: int | None
) -> BoundKernel:
    """Bind :func:`select_due_accounts`; durations are in steps."""
    return bind_kernel(
        select_due_accounts,
        arrays.rows,
        arrays.n_rows,
        arrays.assessed,
        arrays.liquidatable_since,
        arrays.last_action,
        delay,
        cooldown,
        NO_CAPACITY if capacity is None else capacity,
        arrays.is_whole,
        arrays.chosen,
        arrays.n_chosen,
    )


def bind_close_outs(arrays: PlanArrays, share: float) -> BoundKernel:
    """Bind :func:`plan_close_outs`."""
    return bind_kernel(
        plan_close_outs,
        arrays.rows,
        arrays.chosen,
        arrays.n_chosen,
        arrays.is_whole,
        share,
        arrays.shares,
        arrays.assessed,
        arrays.last_action,
        arrays.position,
        arrays.mark,
        arrays.tick_value,
        arrays.max_price,
        arrays.is_perpetual,
        arrays.first,
        arrays.pool,
        arrays.orders,
        arrays.details,
        arrays.n_planned,
    )


@kernel
def choose_whole(tick: int, n_rows: I8, is_whole: B1) -> int:
    """Close out no account that has not cooled down: whole positions are the rule."""
    is_whole[: n_rows[0]] = False
    return 0


@kernel
def find_whole_close_outs(
    tick: int,
    rows: I8,
    n_rows: I8,
    assessed: F8,
    position: I8,
    lot_value: F8,
    coverage: float,
    small_notional: float,
    is_whole: B1,
) -> int:
    """Find accounts that are closed out whole: see ``FractionalCloseOut.is_full_close_out``."""
    for place in range(n_rows[0]):
        row, gross = rows[place], 0.0
        equity, maintenance = assessed[EQUITY, row], assessed[MAINTENANCE, row]
        for k in range(lot_value.size):
            gross += abs(position[k, row] * lot_value[k])
        is_whole[place] = equity < 0 or equity < coverage * maintenance or gross < small_notional
    return 0


@kernel
def select_due_accounts(
    tick: int,
    rows: I8,
    n_rows: I8,
    assessed: F8,
    liquidatable_since: I8,
    last_action: I8,
    delay: int,
    cooldown: int,
    capacity: int,
    is_whole: B1,
    chosen: I8,
    n_chosen: I8,
) -> int:
    """Choose the accounts due, most distressed first: see ``LiquidationBase``.

    Args:
        tick: present tick.
        rows ... last_action: see :class:`PlanArrays`.
        delay: steps between becoming liquidatable and the first close-out.
        cooldown: steps between close-outs of one account; ``is_whole`` accounts do not wait.
        capacity: accounts closed out per step, negative = no limit.
        is_whole ... n_chosen: see :class:`PlanArrays`.
    """
    due = np.empty(n_rows[0], dtype=np.int64)
    cover = np.empty(n_rows[0])
    count = 0
    for place in range(n_rows[0]):
        row = rows[place]
        since, acted = liquidatable_since[row], last_action[row]
        waited = 0 if since == MISSING else tick - since
        was_tried = assessed[EQUITY, row] < 0 and acted == tick
        has_rested = acted == MISSING or tick - acted >= cooldown
        if waited >= delay and not was_tried and (has_rested or is_whole[place]):
            maintenance = assessed[MAINTENANCE, row]
            cover[count] = assessed[EQUITY, row] / maintenance if maintenance > 0 else -np.inf
            due[count] = place
            count += 1
    order = sort_stably(cover[:count])
    left = capacity
    if capacity >= 0:
        for row in range(last_action.size):
            left -= last_action[row] == tick
    n_chosen[0] = fresh = 0
    for place in order:
        is_fresh = last_action[rows[due[place]]] != tick
        fresh += is_fresh
        if capacity < 0 or not is_fresh or fresh <= left:
            chosen[n_chosen[0]] = due[place]
            n_chosen[0] += 1
    return 0


@kernel
def plan_close_outs(
    tick: int,
    rows: I8,
    chosen: I8,
    n_chosen: I8,
    is_whole: B1,
    share: float,
    shares: F8,
    assessed: F8,
    last_action: I8,
    position: I8,
    mark: F8,
    tick_value: F8,
    max_price: I8,
    is_perpetual: B1,
    first: int,
    pool: int,
    orders: I8,
    details: I8,
    n_planned: I8,
) -> int:
    """Plan close-outs of the chosen accounts: see ``sim.liquidation.base.build_close_outs``.

    ``share`` is the part of each leg that is closed, at least a lot, unless the account is closed
    out whole; other arguments are those of :class:`PlanArrays`.
    """
    limits = np.empty(mark.size, dtype=np.int64)
    count = n_planned[0]
    for number in range(n_chosen[0]):
        place = chosen[number]
        row = rows[place]
        find_limit_prices(
            assessed[EQUITY, row],
            shares[:, place],
            position[:, row],
            mark,
            tick_value,
            max_price,
            limits,
        )
        for k in range(mark.size):
            held = abs(position[k, row])
            if held == 0 or not (is_perpetual[k] or shares[k, place] > 0):
                continue
            lots = held
            if share < 1 and not is_whole[place]:
                lots = min(np.int64(max(np.rint(share * held), 1.0)), held)
            orders[count, OWNER], orders[count, INSTRUMENT] = row, first + k
            orders[count, QUANTITY] = -lots if position[k, row] > 0 else lots
            orders[count, PRICE], orders[count, KIND] = limits[k], IOC + REDUCE_ONLY
            orders[count, SLOT], orders[count, RESERVE] = MISSING, 0
            details[count, POOL], details[count, ROUTE] = pool, ROUTE_BOOK
            last_action[row] = tick
            count += 1
    n_planned[0] = count
    return 0


@kernel
def find_limit_prices(
    equity: float,
    shares: F8,
    position: I8,
    mark: F8,
    tick_value: F8,
    max_price: I8,
    limits: I8,
) -> None:
    """Write an account's limit prices: see ``sim.liquidation.bankruptcy.compute_limit_prices``."""
    budget = np.floor(equity * shares)
    overspent = max(budget.sum() - np.floor(equity), 0.0)
    budget[np.argmax(shares)] -= overspent
    for k in range(mark.size):
        lots = max(abs(position[k]), 1)
        distance = np.floor(budget[k] / (lots * tick_value[k]))
        price = mark[k] - np.sign(position[k]) * distance
        limits[k] = np.int64(min(max(price, 1.0), float(max_price[k])))


@kernel
def price_auctioned(
    tick: int,
    assessed: F8,
    bankrupt_since: I8,
    mark: F8,
    max_price: I8,
    first: int,
    pool: int,
    orders: I8,
    details: I8,
    n_planned: I8,
    duration: int,
    max_discount: float,
) -> int:
    """Price the close-outs of bankrupt accounts by their auction: see ``AuctionCloseOut``.

    ``duration`` is in steps; other arguments are those of :class:`PlanArrays`.
    """
    for row in range(n_planned[0]):
        account, since = orders[row, OWNER], bankrupt_since[orders[row, OWNER]]
        elapsed = 0 if since == MISSING else tick - since
        if details[row, POOL] != pool or elapsed <= 0 or not assessed[EQUITY, account] < 0:
            continue
        k = orders[row, INSTRUMENT] - first
        sign = 1 if orders[row, QUANTITY] > 0 else -1
        discount = max_discount * min(elapsed / duration, 1.0)
        worst = sign * np.floor(sign * mark[k] * (1 + sign * discount))
        orders[row, PRICE] = np.int64(min(max(worst, 1.0), float(max_price[k])))
        details[row, ROUTE] = ROUTE_AUCTION
    return 0


@kernel
def offer_auctioned(
    tick: int,
    assessed: F8,
    liquidatable_since: I8,
    last_action: I8,
    bankrupt_since: I8,
    position: I8,
    is_spot: B1,
    duration: int,
    is_offered: B1,
) -> int:
    """Find the accounts whose lots are on public offer after the step: see ``AuctionCloseOut``."""
    for row in range(liquidatable_since.size):
        equity, since = assessed[EQUITY, row], liquidatable_since[row]
        if not equity < assessed[MAINTENANCE, row]:
            continue
        is_due = since != MISSING and last_action[row] >= since
        if equity < 0:
            elapsed = 0 if bankrupt_since[row] == MISSING else tick - bankrupt_since[row]
            is_due = elapsed < duration
        for k in range(is_spot.size if is_due else 0):
            is_offered[row] |= not is_spot[k] and position[k, row] != 0
    return 0
