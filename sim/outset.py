"""The outset of a run, and of each of its steps: first prices; then index, oracle, funding due, calls that are met."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sim.causes import DEPOSIT, FUNDING
from sim.errors import ConfigError
from sim.margin.calls import WIDTH
from sim.rounding import balanced
from sim.types import F8, PERPETUAL, Transfers

if TYPE_CHECKING:
    from sim.market import Market
    from sim.venue import Venue


def open_market(market: "Market") -> None:
    """First prices: last trade, oracle and mark at the index."""
    with np.errstate(over="ignore"):  # an index without bound is one that no book can quote
        index = np.exp(market.path.x)
        problems = [line for venue in market.venues for line in _unpriced(venue, index)]
        for venue in market.venues:
            problems += _unfunded(venue, market)
    if problems:
        raise ConfigError(problems)
    for venue in market.venues:
        for column, price in enumerate(np.rint(venue.in_ticks(index[0])).astype(np.int64)):
            market.books.set_last(venue.part.start + column, int(price))
        venue.open(market.streams, index[0], _asset_prices(market), market.steps_planned)
        venue.remark(market.books.tops()[venue.part])
    market.assess()


def _unfunded(venue: "Venue", market: "Market") -> list[str]:
    """Get funding ready; what is wrong with it."""
    try:
        if venue.config.funding is not None:
            venue.config.funding.begin(market.path.stamp, float(market.path.seconds[-1]))
    except ConfigError as error:
        return [f"venues.{venue.number}.{line}" for line in error.problems]
    return []


def _unpriced(venue: "Venue", index: F8) -> Iterator[str]:
    """Instruments whose books could not quote the index of the whole run, (T + 1, U)."""
    contracts = venue.contracts
    lowest, highest = (np.rint(venue.in_ticks(edge)) for edge in (index.min(axis=0), index.max(axis=0)))
    for column in np.flatnonzero(~((lowest >= 1) & (highest <= contracts.max_price))):
        seen = f"{contracts.names[column]!r} sees its index go from {lowest[column]:.6g} to {highest[column]:.6g} ticks"
        prices = index[:, contracts.underlying[column]]
        least, tick = float(prices.min()), float(contracts.tick[column])
        remedies = []
        if lowest[column] < 1 and least > 0:
            remedies.append(f"set its tick to at most {least:.1g}")
        if highest[column] > contracts.max_price[column] and np.isfinite(highest[column]):
            remedies.append(f"set its max_price to at least {math.ceil(1.01 * highest[column]) * tick:.15g}")
        remedies.append("change the process or the start of its underlying")
        yield (
            f"venues.{venue.number}.instruments: {seen}, outside 1 to {contracts.max_price[column]}; "
            + ", or ".join(remedies)
        )


def _asset_prices(market: "Market") -> F8:
    """Value of a minor unit of each asset in minor units of the numeraire, (C,), now."""
    assets = market.config.assets
    scale = np.array([asset.price * 10.0 ** (assets[0].decimals - asset.decimals) for asset in assets])
    price: F8 = scale * market.path.asset_price[market.tick]
    return price


def advance_index(market: "Market") -> None:
    """Spot moves, the oracle tells, funding falls due, calls are met, engines learn (IDX-2, IDX-3, FUND-1, MAR-4)."""
    market.impact = market.impacts.advance(market.impact, _bought_outside(market))
    seconds = float(market.path.seconds[market.tick])
    for venue in market.venues:
        venue.called[:], venue.paid[:] = 0, 0
        _pay_funding(market, venue, seconds)
        if venue.config.calls is not None:
            _meet_calls(market, venue)
        venue.hear(market.streams, market.tick, seconds, market.spot(), _asset_prices(market))


def _bought_outside(market: "Market") -> F8:
    """What the market bought in spot in the last step, net, (U,) quote currency."""
    held = market.ledger.position[:, market.outside]
    lots, contracts = market.spot_held - held, market.contracts
    market.spot_held = held.copy()
    bought = np.zeros(len(market.impact))
    np.add.at(bought, contracts.underlying, lots * contracts.lot * market.spot()[contracts.underlying])
    return bought


def _pay_funding(market: "Market", venue: "Venue", seconds: float) -> None:
    """Longs pay shorts the due rate on notional at the mark; whole units by largest remainder (LED-2)."""
    funding = venue.config.funding
    stamps = market.path.stamp
    rate = None if funding is None else funding.due(seconds, stamps[market.tick] if stamps.size else None)
    if rate is None:
        return
    contracts = venue.contracts
    venue.view = venue.view._replace(funding=rate)
    for column in np.flatnonzero((contracts.kind == PERPETUAL) & (rate != 0)):
        k = venue.part.start + int(column)
        position = market.ledger.position[k]
        owners = np.flatnonzero(position)
        due = balanced(position[owners] * (venue.view.mark[column] * contracts.multiplier[column] * rate[column]))
        pool = int(market.ledger.pool_of[k])
        moves = Transfers.of(owners, venue.rows.dust, pool, pool, int(contracts.settle[column]), due)
        market.ledger.transfer(moves, FUNDING)


def _meet_calls(market: "Market", venue: "Venue") -> None:
    """Deposits that answer margin calls, from outside, recorded (MAR-4)."""
    for state in venue.states.values():
        assert state.calls is not None
        number = state.pool.number
        draws = market.streams.uniform(f"calls/{venue.config.name}/{number}", market.tick, market.owners, WIDTH)
        outcome = state.calls.advance(market.tick, state.risk, draws, venue.means)
        venue.means -= outcome.deposits
        venue.ever_called |= outcome.opened
        venue.paid[0] += outcome.deposits.sum()
        venue.called += [column.sum() for column in (outcome.opened, outcome.met, outcome.missed)]
        owners = np.flatnonzero(outcome.deposits)
        deposits = Transfers.of(market.outside, owners, venue.wallet, number, 0, outcome.deposits[owners])
        market.ledger.transfer(deposits, DEPOSIT)
