"""Perpetuals hedged with spot, for whoever holds both (LED-3)."""

from typing import NamedTuple

import numpy as np

from agents.base import BASIS_POINT, Behaviour, Stall, worst
from sim.errors import ConfigError
from sim.types import F8, I8, IOC, SPOT, AccountView, Orders, Outlook, Setting


class Pairs(NamedTuple):
    """Perpetuals of one venue, each with the spot instrument that hedges it."""

    perp: Stall  # (m,) perpetuals
    spot: Stall  # (m,) the spot instrument of each
    ratio: F8  # (m,) lots of spot that hedge one lot of the perpetual

    def placed(self, population: Behaviour, setting: Setting, wealth: F8, share: float) -> I8:
        """Wealth (n,), units of the numeraire, a share of it at the spot venue if another: (n, V) minor units."""
        away = share if self.spot.venue != self.perp.venue else 0.0
        here = population.wealth_at(setting, self.perp.venue, wealth * (1 - away))
        return here + population.wealth_at(setting, self.spot.venue, wealth * away)

    def naked(self, accounts: AccountView) -> F8:
        """Lots of the perpetual that lack their hedge, (n, m), unsigned."""
        held = accounts.position
        uncovered: F8 = np.abs(held[:, self.perp.instruments] + held[:, self.spot.instruments] / self.ratio)
        return uncovered

    def missing(self, accounts: AccountView) -> I8:
        """Lots of spot to trade until it is minus the perpetual's position in whole lots, (n, m), signed."""
        target = -np.trunc(accounts.position[:, self.perp.instruments] * self.ratio).astype(np.int64)
        lacking: I8 = target - accounts.position[:, self.spot.instruments]
        return lacking

    def hedges(self, missing: I8, outlook: Outlook, slippage: float) -> Orders:
        """IOC orders for the lots of spot missing (n, m), at worst ``slippage`` basis points from the index.

        They follow the perpetual's position whatever made it, ADL and liquidation included. A limit is named
        because admission charges a market order its loss down to the price band (MAR-1), and would refuse hedges.
        """
        rows, pairs = np.nonzero(missing)
        if not len(rows):
            return Orders.join([])
        view, columns = self.spot.look(outlook)
        lots, fair = missing[rows, pairs], self.spot.fair(outlook)[pairs]
        limit = worst(fair, np.sign(lots) * slippage * BASIS_POINT, view.contracts.max_price[columns][pairs])
        return Orders.of(rows, self.spot.instruments[pairs], lots, limit, IOC)


def paired(population: Behaviour, setting: Setting, perp: Stall, spot_venue: str) -> Pairs:
    """Each perpetual with the spot of its underlying at a venue.

    Raises:
        ConfigError: there is no such venue, or it lists no spot for one of the perpetuals.
    """
    there, contracts = population.venue_in(setting, spot_venue, "spot_venue"), setting.contracts
    spot = np.flatnonzero((contracts.venue == there) & (contracts.kind == SPOT))
    match = contracts.underlying[perp.instruments][:, None] == contracts.underlying[spot]
    lonely = [contracts.names[k] for k in perp.instruments[~match.any(axis=1)]]
    if lonely:
        told = f"{population.name}.spot_venue: {spot_venue} lists no spot for"
        raise ConfigError([f"{told} {name}, list it there, or trade others (instruments)" for name in lonely])
    twins: I8 = spot[match.argmax(axis=1)]
    return Pairs(perp, Stall(there, twins), contracts.lot[perp.instruments] / contracts.lot[twins])
