"""Funding payments of perpetuals."""

import numpy as np

from sim.attribution import FUNDING
from sim.numerics.rounding import round_balanced
from sim.state import MarketState
from sim.types import PERPETUAL, Transfers
from sim.venue import Venue


def settle_funding(market: MarketState) -> None:
    """Post the funding that falls due at each venue (FUND-1)."""
    seconds = float(market.exogenous_path.seconds[market.tick])
    for venue in market.venues:
        _pay_funding(market, venue, seconds)


def _pay_funding(market: MarketState, venue: Venue, seconds: float) -> None:
    """Transfer the due rate on notional at the mark from longs to shorts (LED-2).

    Amounts are whole units, by largest remainder.
    """
    funding = venue.config.funding
    if funding is None:
        return
    stamps = market.exogenous_path.exchange_time
    rate = funding.take_due_rate(seconds, stamps[market.tick] if stamps.size else None)
    if rate is None:
        return
    contracts = venue.contracts
    venue.view = venue.view._replace(funding=rate)
    for column in np.flatnonzero((contracts.kind == PERPETUAL) & (rate != 0)):
        k = venue.instrument_slice.start + int(column)
        position = market.ledger.position[k]
        owners = np.flatnonzero(position)
        paid_per_lot = venue.view.mark[column] * contracts.multiplier[column] * rate[column]
        due = round_balanced(position[owners] * paid_per_lot)
        pool = int(market.ledger.pool_numbers[k])
        moves = Transfers.from_columns(
            owners, venue.system_accounts.rounding, pool, pool, int(contracts.settle[column]), due
        )
        market.ledger.transfer(moves, FUNDING, k)
