"""Values of instruments: now, in scenarios, at expiry.

Prices are the venue's, never the index (MAR-1).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.pricing.black import Greeks, OptionTerms, compute_greeks, price_options

if TYPE_CHECKING:
    from sim.types import Contracts, MarketView

F8 = NDArray[np.float64]

YEAR_SECONDS = 365 * 86_400.0
"""Seconds in a year of 365 days."""


def find_seconds_per_year(market: "MarketView") -> F8:
    """Return the seconds of the run's clock in a year of each instrument's underlying, (K,).

    A year is 365 days, or the trading time of a year.
    """
    if not market.clock.size:
        return np.full(market.mark.size, YEAR_SECONDS)
    return market.clock[market.contracts.underlying]


def find_years_to_expiry(market: "MarketView") -> F8:
    """Return the time to expiry, (K,) years of 365 days.

    It is zero after expiry, and infinite for instruments that never expire.
    """
    expiry = market.contracts.expiry
    if not expiry.size:
        return np.full(market.mark.size, np.inf)
    return np.maximum(expiry - market.seconds, 0.0) / YEAR_SECONDS


def find_rates(market: "MarketView") -> F8:
    """Return the interest to expiry, (K,) per year."""
    return market.rate if market.rate.size else np.zeros(market.mark.size)


def find_forwards(market: "MarketView") -> F8:
    """Return the price of each underlying for delivery at expiry, (K,) quote currency.

    It is today's price for instruments that never expire.
    """
    if market.forward.size:
        return market.forward
    spot, left = market.oracle[market.contracts.underlying], find_years_to_expiry(market)
    return spot * np.exp(find_rates(market) * np.where(np.isinf(left), 0.0, left))


def find_option_columns(market: "MarketView") -> NDArray[np.int64]:
    """Return the columns of the instruments that are options; only these have a side."""
    return np.flatnonzero(market.contracts.side)


def value_instruments(market: "MarketView", oracle: F8, vol: F8, averaging: float = 0.0) -> F8:
    """Return the value of every instrument in every scenario, (S, K) ticks, unrounded.

    Linear instruments move from their mark in proportion to their underlying. An option has the
    value of Black's formula at its forward. The part of the forward that is not settled yet moves
    in proportion, too.

    Args:
        market: the present market.
        oracle: (S, U) quote currency, every underlying in every scenario.
        vol: (S, K) annualised volatility; used for options only.
        averaging: length of the window before expiry over which settlement prices are averaged (s).
            Within it only the share still to come moves with the oracle.
    """
    contracts = market.contracts
    ratio = (oracle / market.oracle)[:, contracts.underlying]
    value: F8 = market.mark * ratio
    column = find_option_columns(market)
    if column.size:
        left = find_years_to_expiry(market)[column]
        open_part = (
            np.minimum(1.0, left * YEAR_SECONDS / averaging) if averaging else np.ones(column.size)
        )
        forward = find_forwards(market)[column] * (1.0 + open_part * (ratio[:, column] - 1.0))
        terms = _option_terms(market, column)._replace(forward=forward)
        value[:, column] = price_options(terms, vol[:, column]) / contracts.tick[column]
    return value


def _option_terms(market: "MarketView", column: NDArray[np.int64]) -> OptionTerms:
    """Return the terms of the options in some columns."""
    return OptionTerms(
        forward=find_forwards(market)[column],
        strike=market.contracts.strike[column],
        years=find_years_to_expiry(market)[column],
        rate=find_rates(market)[column],
        side=market.contracts.side[column],
    )


def mark_at_model(market: "MarketView") -> "MarketView":
    """Return the same market with every option's mark at its value."""
    return market._replace(mark=value_instruments(market, market.oracle[None], market.vol[None])[0])


def shift_underlying(market: "MarketView", underlying: int, factor: float) -> "MarketView":
    """Return the same market after one underlying has moved by a factor, at fixed volatilities.

    Options are marked at their value, so any earlier gap between mark and value is closed.
    """
    moves = np.where(np.arange(market.oracle.size) == underlying, factor, 1.0)
    oracle = market.oracle * moves
    mark = value_instruments(market, oracle[None], market.vol[None])[0]
    is_shifted = market.contracts.underlying == underlying
    forward = (
        market.forward * moves[market.contracts.underlying]
        if market.forward.size
        else market.forward
    )
    return market._replace(
        oracle=oracle, mark=np.where(is_shifted, mark, market.mark), forward=forward
    )


def compute_sensitivities(market: "MarketView") -> Greeks:
    """Return the Greeks of one unit of each instrument on its underlying, (K,) quote currency.

    See :class:`sim.pricing.black.Greeks`. The delta of a linear instrument is its price over the
    oracle's, 1 for a perpetual at the oracle. Its other Greeks are zero.
    """
    contracts, spot = market.contracts, market.oracle[market.contracts.underlying]
    price = market.mark * contracts.tick
    table = np.zeros((len(Greeks._fields), price.size))
    table[0], table[1] = price, price / spot
    column = find_option_columns(market)
    if column.size:
        table[:, column] = compute_greeks(
            _option_terms(market, column), market.vol[column], spot[column]
        )
    return Greeks(*table)


def compute_settlement(contracts: "Contracts", price: F8) -> F8:
    """Return the payment of one lot of each instrument at expiry, (K,) ticks, unrounded.

    It is NaN for instruments that never expire. A future settles at the price of its underlying, an
    option at its intrinsic value, both in cash.

    Args:
        contracts: the instruments.
        price: (U,) settlement prices of the underlyings, quote currency.
    """
    if not contracts.expiry.size:
        return np.full(len(contracts.names), np.nan)
    final = price[contracts.underlying]
    paid = np.where(
        contracts.side == 0, final, np.maximum(contracts.side * (final - contracts.strike), 0.0)
    )
    return np.where(np.isinf(contracts.expiry), np.nan, paid / contracts.tick)
