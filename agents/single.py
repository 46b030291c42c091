"""For an agent of your own in plain Python, decided one member at a time: slower than a population's one call."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, TradingScope
from sim.types import F8, I8, LIMIT, AccountView, MarketSpec, Observation, Orders


class MemberOrder(NamedTuple):
    """One order; the same instrument and slot replaces, quantity 0 cancels."""

    instrument: int  # global number
    quantity: int  # lots, + buys
    limit: int = 1  # ticks; ignored for MARKET
    kind: int = LIMIT  # of sim.types
    slot: int = 0
    leverage: int = (
        0  # chosen for the instrument from now on, hundredths, at least 100; 0 = as it is set
    )


class MemberAccount(NamedTuple):
    """What one member knows of itself: its row of ``sim.types.AccountView``."""

    member: int  # row in the population
    position: I8  # (K,) lots, over all instruments of all venues
    entry: I8  # (K,) value paid for the position, minor units
    free_margin: F8  # (V,) what may still be used as initial margin, minor units of the numeraire
    equity: F8  # (V,) over all its accounts at a venue
    wallet: I8  # (V, C) free balance of the wallet row, minor units


class IndividualPopulation(Population):
    """Base of populations whose members decide one by one: a subclass has a ``kind`` and ``decide_one``.

    All members start with ``wealth`` at ``venue``. ``traits`` and ``width`` are the numbers of draws that a member is
    given at the start and in every step (RNG-1); a subclass that wants traits extends ``start``.
    """

    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="wealth of each member at the start (units of the numeraire)"
    )
    instruments: tuple[str, ...] = Field(
        (), description="what they trade; empty = all perpetuals of the venue (names)"
    )

    _scope: TradingScope = PrivateAttr()  # index of the venue, global numbers of the instruments

    @abstractmethod
    def decide_member(
        self, outlook: Observation, account: MemberAccount, draws: F8
    ) -> Iterable[MemberOrder]:
        """One member's orders from what it sees and its uniform draws, (width,); touches nothing else."""

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Settle in; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        self._scope = TradingScope(venue, self.select_instruments(setting, venue, self.instruments))
        return self.place_wealth(setting, venue, np.full(self.count, self.wealth))

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """All members' orders, asked one after another."""
        rows = [
            (member, *order)
            for member in range(self.count)
            for order in self.decide_member(
                outlook, MemberAccount(member, *(part[member] for part in accounts)), draws[member]
            )
        ]
        return Orders(*np.array(rows, dtype=np.int64).reshape(-1, len(Orders._fields)).T)
