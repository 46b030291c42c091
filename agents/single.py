"""Base of user-written agents that decide one member at a time in plain Python.

This is slower than one vectorised call for the whole population.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, TradingScope
from sim.types import F8, I8, LIMIT, AccountView, MarketSpec, Observation, Orders


class MemberOrder(NamedTuple):
    """One order. It replaces an order of the same instrument and slot; quantity 0 cancels."""

    instrument: int  # global number
    quantity: int  # lots, + buys
    limit: int = 1  # ticks; ignored for MARKET
    kind: int = LIMIT  # of sim.types
    slot: int = 0
    leverage: int = 0  # chosen for the instrument, hundredths, at least 100; 0 = unchanged


class MemberAccount(NamedTuple):
    """One member's own accounts: its row of ``sim.types.AccountView``."""

    member: int  # row in the population
    position: I8  # (K,) lots, over all instruments of all venues
    entry: I8  # (K,) value paid for the position, minor units
    free_margin: F8  # (V,) margin left for new orders, minor units of the numeraire
    equity: F8  # (V,) sum over its accounts at a venue, minor units
    wallet: I8  # (V, C) free balance of the wallet row, minor units


class IndividualPopulation(Population):
    """Base of populations whose members decide one by one.

    A subclass defines ``kind`` and ``decide_member``. All members start with ``wealth`` at
    ``venue``. ``n_trait_draws`` and ``n_decision_draws`` are the numbers of uniform draws that a
    member receives at the start and in every step (RNG-1). A subclass with traits extends
    ``start``.
    """

    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="wealth of each member at the start (units of the numeraire)"
    )
    instruments: tuple[str, ...] = Field(
        (), description="instruments they trade; empty = all perpetuals of the venue (names)"
    )

    _scope: TradingScope = PrivateAttr()  # index of the venue, global numbers of the instruments

    @abstractmethod
    def decide_member(
        self, observation: Observation, account: MemberAccount, draws: F8
    ) -> Iterable[MemberOrder]:
        """Return the orders of one member; change nothing outside the population.

        Args:
            observation: market data that agents see.
            account: the member's own accounts.
            draws: (n_decision_draws,) uniform draws of the member.
        """

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Return the initial wealth; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        self._scope = TradingScope(venue, self.select_instruments(spec, venue, self.instruments))
        return self.place_wealth(spec, venue, np.full(self.count, self.wealth))

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return the orders of all members, decided one after another."""
        rows = [
            (member, *order)
            for member in range(self.count)
            for order in self.decide_member(
                observation,
                MemberAccount(member, *(part[member] for part in accounts)),
                draws[member],
            )
        ]
        return Orders(*np.array(rows, dtype=np.int64).reshape(-1, len(Orders._fields)).T)
