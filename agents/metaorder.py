"""A large order, worked in equal parts over time: what measures a market's impact."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, Trader, TradingScope, compute_limit_prices
from agents.shared.commitment import WalletCommitment
from sim.types import F8, I8, IOC, AccountView, MarketSpec, Observation, Orders


class MetaorderTrader(Trader):
    """A member of a population that works one order each."""


class MetaorderSchedule(NamedTuple):
    """What does not change after the start."""

    scope: TradingScope  # of one instrument
    first_tick: int  # tick of the first part
    n_parts: int


class Metaorder(Population):
    """Every member buys or sells ``quantity`` of one instrument in equal parts, one a step, and then does no more.

    A part is what the position lacks of the schedule, so that what the book refused is caught up with until the end.
    Each is an IOC order with a slippage limit. With ``quantity`` 0 the members stand by: the twin of a paired run, with
    the same owners, hence the same draws.
    """

    agent_class: ClassVar[type[Trader]] = MetaorderTrader

    kind: Literal["metaorder"] = "metaorder"
    name: str = Field(
        "metaorder", min_length=1, description="name of the population, unique in the market (text)"
    )
    count: int = Field(
        1, ge=1, description="number of members, each with an order of its own (agents)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        1_000_000_000.0, gt=0, description="wealth of each member (units of the numeraire)"
    )
    instrument: str = Field(
        "", description="what is traded; empty = the venue's first perpetual (name)"
    )
    quantity: int = Field(description="whole order, + buys, - sells, 0 = stand by (lots)")
    at: float = Field(0.0, ge=0, description="when it begins (seconds)")
    duration: float = Field(3600.0, gt=0, description="time over which it is worked (seconds)")
    slippage: float = Field(
        0.05, ge=0, le=1, description="worst price accepted, distance from the mark (share)"
    )

    _schedule: MetaorderSchedule = PrivateAttr()

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Make the schedule; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        listed = self.select_instruments(
            setting, venue, (self.instrument,) if self.instrument else ()
        )[:1]
        first, parts = (round(seconds / setting.dt) for seconds in (self.at, self.duration))
        self._schedule = MetaorderSchedule(TradingScope(venue, listed), first + 1, max(parts, 1))
        self._commitment = WalletCommitment.from_instruments(setting, venue, listed)
        return self.place_wealth(setting, venue, np.full(self.count, self.wealth))

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """One part per member while the order is worked."""
        stall, first, parts = self._schedule
        number = outlook.tick - first + 1
        if not 1 <= number <= parts:
            return Orders.join([])
        view, columns = stall.view(outlook)
        missing = round(self.quantity * number / parts) - accounts.position[:, stall.instruments[0]]
        rows = np.flatnonzero(missing * self.quantity > 0)
        slip = float(np.sign(self.quantity)) * self.slippage
        limit = compute_limit_prices(view.mark[columns], slip, view.contracts.max_price[columns])
        return Orders.from_columns(
            rows, int(stall.instruments[0]), missing[rows], int(limit[0]), IOC
        )
