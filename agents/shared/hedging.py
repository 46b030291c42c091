"""Hedges of perpetuals with spot (LED-3)."""

from typing import NamedTuple

import numpy as np

from agents.base import BASIS_POINT, Population, TradingScope, compute_limit_prices
from sim.errors import ConfigError
from sim.types import F8, I8, IOC, SPOT, AccountView, MarketSpec, Observation, Orders


class HedgedPairs(NamedTuple):
    """Perpetuals of one venue, each with the spot instrument that hedges it."""

    perp: TradingScope  # (m,) perpetuals
    spot: TradingScope  # (m,) the spot instrument of each
    ratio: F8  # (m,) lots of spot that hedge one lot of the perpetual

    def place_wealth(
        self, population: Population, spec: MarketSpec, wealth: F8, share: float
    ) -> I8:
        """Return the wealth of members by venue, with a share at a separate spot venue.

        Args:
            population: population of the members.
            spec: description of the market.
            wealth: (n,) units of the numeraire.
            share: share of wealth at the spot venue, if it is another venue.

        Returns:
            (n, V) minor units.
        """
        away = share if self.spot.venue != self.perp.venue else 0.0
        here = population.place_wealth(spec, self.perp.venue, wealth * (1 - away))
        return here + population.place_wealth(spec, self.spot.venue, wealth * away)

    def unhedged_lots(self, accounts: AccountView) -> F8:
        """Return the lots of the perpetual without a hedge, (n, m), unsigned."""
        held = accounts.position
        uncovered: F8 = np.abs(
            held[:, self.perp.instruments] + held[:, self.spot.instruments] / self.ratio
        )
        return uncovered

    def missing_hedges(self, accounts: AccountView) -> I8:
        """Return the signed lots of spot that complete the hedge of the perpetual, (n, m)."""
        target = -np.trunc(accounts.position[:, self.perp.instruments] * self.ratio).astype(
            np.int64
        )
        lacking: I8 = target - accounts.position[:, self.spot.instruments]
        return lacking

    def create_hedge_orders(self, missing: I8, observation: Observation, slippage: float) -> Orders:
        """Return IOC orders for the missing lots of spot, within ``slippage`` of the index.

        The orders follow the position in the perpetual, including changes by ADL and liquidation.
        They have a limit because admission charges a market order its loss down to the price
        band (MAR-1), and would refuse hedges.

        Args:
            missing: (n, m) signed lots of spot.
            observation: market data that agents see.
            slippage: largest distance from the index, basis points.
        """
        rows, pairs = np.nonzero(missing)
        if not len(rows):
            return Orders.join([])
        view, columns = self.spot.view(observation)
        lots, fair = missing[rows, pairs], self.spot.index_ticks(observation)[pairs]
        limit = compute_limit_prices(
            fair, np.sign(lots) * slippage * BASIS_POINT, view.contracts.max_price[columns][pairs]
        )
        return Orders.from_columns(rows, self.spot.instruments[pairs], lots, limit, IOC)


def pair_with_spot(
    population: Population, spec: MarketSpec, perp: TradingScope, spot_venue: str
) -> HedgedPairs:
    """Return each perpetual paired with the spot of its underlying at a venue.

    Raises:
        ConfigError: the venue does not exist, or lists no spot for one of the perpetuals.
    """
    there, contracts = population.find_venue(spec, spot_venue, "spot_venue"), spec.contracts
    spot = np.flatnonzero((contracts.venue == there) & (contracts.kind == SPOT))
    match = contracts.underlying[perp.instruments][:, None] == contracts.underlying[spot]
    unpaired = [contracts.names[k] for k in perp.instruments[~match.any(axis=1)]]
    if unpaired:
        message = f"{population.name}.spot_venue: {spot_venue} lists no spot for"
        raise ConfigError(
            [f"{message} {name}, list it there, or trade others (instruments)" for name in unpaired]
        )
    twins: I8 = spot[match.argmax(axis=1)]
    return HedgedPairs(
        perp, TradingScope(there, twins), contracts.lot[perp.instruments] / contracts.lot[twins]
    )
