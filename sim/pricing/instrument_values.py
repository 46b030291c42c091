"""What instruments are worth: now, in scenarios, at expiry. Prices are the venue's, never the index (MAR-1)."""

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
    """Seconds of the run's clock in a year of each instrument's underlying, (K,): 365 days, or its trading time."""
    if not market.clock.size:
        return np.full(market.mark.size, YEAR_SECONDS)
    return market.clock[market.contracts.underlying]


def find_years_to_expiry(market: "MarketView") -> F8:
    """Time to expiry, (K,) years of 365 days; nil once it has passed, infinite for what never expires."""
    expiry = market.contracts.expiry
    if not expiry.size:
        return np.full(market.mark.size, np.inf)
    return np.maximum(expiry - market.seconds, 0.0) / YEAR_SECONDS


def find_rates(market: "MarketView") -> F8:
    """Interest to expiry, (K,) per year."""
    return market.rate if market.rate.size else np.zeros(market.mark.size)


def find_forwards(market: "MarketView") -> F8:
    """Price of each instrument's underlying for delivery at its expiry, (K,) quote currency; today's if it has none."""
    if market.forward.size:
        return market.forward
    spot, left = market.oracle[market.contracts.underlying], find_years_to_expiry(market)
    return spot * np.exp(find_rates(market) * np.where(np.isinf(left), 0.0, left))


def find_option_columns(market: "MarketView") -> NDArray[np.int64]:
    """Columns of the instruments that are options; only these have a side."""
    return np.flatnonzero(market.contracts.side)


def value_instruments(market: "MarketView", oracle: F8, vol: F8, averaging: float = 0.0) -> F8:
    """Value of every instrument in every scenario, (S, K) ticks, unrounded.

    What is linear moves from its mark in proportion to its underlying. An option is worth what Black's formula says at
    its forward, which moves in proportion, too: its part that is not settled yet.

    Args:
        market: as it is.
        oracle: (S, U) quote currency, every underlying in every scenario.
        vol: (S, K) annualised volatility; read of options only.
        averaging: length of the window before expiry over which settlement prices are averaged; within it only the
            share of it that is still to come moves with the oracle (s).
    """
    contracts = market.contracts
    moved = (oracle / market.oracle)[:, contracts.underlying]
    worth: F8 = market.mark * moved
    column = find_option_columns(market)
    if column.size:
        left = find_years_to_expiry(market)[column]
        open_part = (
            np.minimum(1.0, left * YEAR_SECONDS / averaging) if averaging else np.ones(column.size)
        )
        forward = find_forwards(market)[column] * (1.0 + open_part * (moved[:, column] - 1.0))
        terms = _option_terms(market, column)._replace(forward=forward)
        worth[:, column] = price_options(terms, vol[:, column]) / contracts.tick[column]
    return worth


def _option_terms(market: "MarketView", column: NDArray[np.int64]) -> OptionTerms:
    """Of the options in some columns."""
    right = market.contracts
    columns = (
        find_forwards(market),
        right.strike,
        find_years_to_expiry(market),
        find_rates(market),
        right.side,
    )
    return OptionTerms(*(each[column] for each in columns))


def mark_at_model(market: "MarketView") -> "MarketView":
    """The same market with every option's mark at its value."""
    return market._replace(mark=value_instruments(market, market.oracle[None], market.vol[None])[0])


def shift_underlying(market: "MarketView", underlying: int, factor: float) -> "MarketView":
    """The same market after one underlying has moved by a factor, volatilities as they are.

    Options are marked at their value; the gap between mark and value there was before is closed.
    """
    moves = np.where(np.arange(market.oracle.size) == underlying, factor, 1.0)
    oracle = market.oracle * moves
    mark = value_instruments(market, oracle[None], market.vol[None])[0]
    here = market.contracts.underlying == underlying
    forward = (
        market.forward * moves[market.contracts.underlying]
        if market.forward.size
        else market.forward
    )
    return market._replace(oracle=oracle, mark=np.where(here, mark, market.mark), forward=forward)


def compute_sensitivities(market: "MarketView") -> Greeks:
    """Greeks of one unit of each instrument on its underlying, (K,) quote currency.

    See :class:`sim.pricing.black.Greeks`.

    What is linear has a delta of its price over the oracle's: 1 for a perpetual at the oracle, and nothing else.
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
    """What one lot of each instrument pays at expiry, (K,) ticks, unrounded; NaN for what never expires.

    A future settles at the price of its underlying, an option at what it is in the money, both in cash.

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
