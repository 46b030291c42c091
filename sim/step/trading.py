"""Matching of orders in the order books, and posting of trades and fees."""

import numpy as np

from sim.attribution import FUNDING, VOLUNTARY
from sim.exchange.fees import compute_fees
from sim.ledger import JournalEntry
from sim.numerics.jit import kernel
from sim.state import MarketState
from sim.types import I8, Fills, Transfers
from sim.venue import Venue


def match_orders(market: MarketState, orders: I8, replaced: I8) -> I8:
    """Match orders in the order books, and post trades and their fees (BOOK-1, FEE-1).

    Args:
        market: in place.
        orders: (n, 8) admitted orders in order of arrival.
        replaced: (n,) lots of the resting order that each replaces.

    Returns:
        See :func:`sum_trades`.
    """
    fills = market.order_books.trade(
        orders, market.ledger.position, market.price_bands, np.ascontiguousarray(replaced)
    )
    market.ledger.settle_fills(fills, VOLUNTARY)
    for event, charged, instrument in list_trading_fees(market, fills):
        assert isinstance(charged, Transfers)
        market.ledger.transfer(charged, event, instrument)
    return sum_trades(fills.instrument, fills.quantity, fills.price, len(market.contracts.names))


def list_trading_fees(market: MarketState, fills: Fills) -> list[JournalEntry]:
    """Return the taker and maker fees of trades, a batch for each venue that charges any."""
    batches = [
        _list_venue_fees(market, venue, fills)
        for venue in market.venues
        if not venue.config.fees.has_free_trades
    ]
    return [charged for charged in batches if charged.posting[0].size]


def _list_venue_fees(market: MarketState, venue: Venue, fills: Fills) -> JournalEntry:
    """Return transfers of fees to a venue's fee account; the external owner pays none."""
    here = (fills.instrument >= venue.instrument_slice.start) & (
        fills.instrument < venue.instrument_slice.stop
    )
    fees, contracts, at = venue.config.fees, market.contracts, np.flatnonzero(here)
    k = fills.instrument[at]
    notional = np.abs(fills.quantity[at]) * fills.price[at] * contracts.multiplier[k]
    owners = np.concatenate((fills.taker[at], fills.maker[at]))
    due = np.concatenate((compute_fees(notional, fees.taker), compute_fees(notional, fees.maker)))
    due[owners == market.external_owner] = 0
    pools, settle = np.tile(market.ledger.pool_numbers[k], 2), np.tile(contracts.settle[k], 2)
    charged = Transfers.from_columns(
        owners, venue.system_accounts.fees, pools, venue.wallet_pool, settle, due
    )
    return JournalEntry(FUNDING, charged, np.tile(k, 2))


@kernel
def sum_trades(instrument: I8, quantity: I8, price: I8, instruments: int) -> I8:
    """Return number of trades, lots, net lots bought by takers, and their value, (4, K).

    The value is in ticks x lots.
    """

    sums = np.zeros((4, instruments), dtype=np.int64)
    for i in range(instrument.size):
        k, lots = instrument[i], quantity[i]
        sums[0, k] += 1
        sums[1, k] += abs(lots)
        sums[2, k] += lots
        sums[3, k] += lots * price[i]
    return sums
