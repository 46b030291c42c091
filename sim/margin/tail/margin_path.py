"""Margin of one portfolio along a series of returns, outside a market.

The requirement is the same that runs in a market.
"""

from collections.abc import Iterator

import numpy as np

from sim.margin.base import RequirementComponent
from sim.margin.probe_portfolio import build_one_lot_accounts, compute_margin_rates
from sim.margin.tail.volatility import RunningVolatility
from sim.pricing import instrument_values
from sim.protocols import Requirement
from sim.types import F8, NOT_GIVEN, PERPETUAL, Contracts, MarketView

START_MARK = 1_000_000.0
"""Mark in ticks; it is constant, so that margin is a share of a notional that does not move."""

TICK_SIZE, LOT_SIZE = 0.01, 1e-6
"""Tick and lot of the perpetuals on the path.

The price is 10,000, and a million lots have a notional of 10,000. Such a small account is in the
lowest bracket of any ladder of sizes.
"""


def compute_margin_path(
    rule: RequirementComponent,
    returns: F8,
    *,
    dt: float,
    lots: F8 | None = None,
    clock: F8 = NOT_GIVEN,
) -> F8:
    """Return the initial margin in force before each return, as a share of gross notional, (T,).

    Entry t depends only on rows before t: the requirement observes them one by one, as in a market.
    Every instrument is a perpetual on its underlying at a mark of ``START_MARK`` ticks.

    Args:
        rule: any requirement.
        returns: log returns of the oracle, (T, U).
        dt: seconds between them.
        lots: the portfolio, (U,) whole lots; none = one of each.
        clock: seconds of the same clock in a year of each underlying, (U,); not given = 365 days.
    """
    requirement = _bind_requirement(rule, build_perpetuals(returns.shape[1]))
    path = np.empty(len(returns))
    first = _build_blank_view(returns.shape[1])._replace(clock=clock)
    for number, view in enumerate(iterate_views(returns, dt, first, still=True)):
        if number:
            requirement.observe(view)
        else:
            accounts = build_one_lot_accounts(view).take(slice(0, 1))
            held = np.ones(returns.shape[1]) if lots is None else lots
            position = np.asarray(held, dtype=np.int64)[None]
            accounts = accounts._replace(position=position, entry=position * int(START_MARK))
            gross = float(np.abs(accounts.position_value()).sum())
        path[number] = (
            requirement.compute_margins(accounts._replace(market=view)).initial[0] / gross
        )
    return path


def compute_rate_path(
    rule: RequirementComponent, returns: F8, *, dt: float, first: MarketView | None = None
) -> F8:
    """Return initial margin rates of a long and of a short of each instrument alone, (T + 1, 2, K).

    Rates are shares of the value. Entry t is in force once the first t rows are known; see
    :func:`compute_margin_path`.

    Args:
        rule: any requirement.
        returns: log returns of the oracle, (T, U).
        dt: seconds between them.
        first: the market before the first row; none = a perpetual on each underlying, as in
            :func:`compute_margin_path`.
    """
    # no view contains the last row, so its values do not matter
    past = np.append(returns, np.zeros((1, returns.shape[1])), axis=0)
    start = _build_blank_view(returns.shape[1]) if first is None else first
    requirement = _bind_requirement(rule, start.contracts)
    path = []
    for view in iterate_views(past, dt, first):
        if view.tick:
            requirement.observe(view)
        path.append(compute_margin_rates(requirement, view))
    return np.stack(path)


def _bind_requirement(rule: RequirementComponent, contracts: Contracts) -> Requirement:
    """Return a requirement bound to contracts.

    Their value of a tick and lot gives the minor units.
    """
    tick_and_lot = float(contracts.tick[0] * contracts.lot[0])
    return rule.bind(contracts, unit=round(float(contracts.multiplier[0]) / tick_and_lot))


def build_perpetuals(columns: int) -> Contracts:
    """Return one perpetual on each of U underlyings, worth one minor unit per tick and lot."""
    ones = np.ones(columns, dtype=np.int64)
    tick, lot = np.full(columns, TICK_SIZE), np.full(columns, LOT_SIZE)
    names = tuple(f"u{number}" for number in range(columns))
    place = np.arange(columns, dtype=np.int64)
    return Contracts(
        names, 0 * ones, place, 0 * ones, PERPETUAL * ones, ones, tick, lot, ones * 10**9
    )


def iterate_views(
    returns: F8, dt: float, first: MarketView | None = None, *, still: bool = False
) -> Iterator[MarketView]:
    """Yield the public information before each row, without an order book.

    Without ``first``, marks start at ``START_MARK``. With it, they start at its marks and follow
    the oracle with zero basis, unless they are ``still``.
    """
    returns = returns.copy()
    returns.flags.writeable = False
    view = (_build_blank_view(returns.shape[1]) if first is None else first)._replace(dt=dt)
    place, tick = view.contracts.underlying, view.contracts.tick
    running = RunningVolatility(dt, instrument_values.find_seconds_per_year(view))
    for number in range(len(returns)):
        if number:
            view = view._replace(vol=running.learn(returns[number - 1][place]))
        if number and first is not None and not still:
            oracle = view.oracle * np.exp(returns[number - 1])
            view = view._replace(oracle=oracle, mark=np.maximum(np.rint(oracle[place] / tick), 1.0))
        yield view._replace(tick=number, seconds=number * dt, returns=returns[:number])


def _build_blank_view(columns: int) -> MarketView:
    unknown, mark = np.full(columns, np.nan), np.full(columns, START_MARK)
    return MarketView(
        tick=0,
        contracts=build_perpetuals(columns),
        mark=mark,
        bid=unknown,
        ask=unknown,
        last=mark,
        depth=unknown,
        funding=unknown,
        open_interest=np.zeros(columns, dtype=np.int64),
        oracle=mark * TICK_SIZE,
        confidence=np.ones(columns),
        vol=np.zeros(columns),
        price=np.ones(1),
        returns=np.empty((0, columns)),
        imbalance=unknown,
        crowd=unknown,
    )
