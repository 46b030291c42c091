"""The insurance fund: takes bankrupt books over when the venue asks, and works them off (AGT-5, LIQ-3)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import BASIS_POINT, Behaviour, Participant, Stall
from agents.unwinding import Pace, work_off
from sim.types import F8, I8, AccountView, Orders, Outlook, Setting


class InsuranceFund(Participant):
    """The fund of one venue. Its income and payouts are postings of the venue; its own act is to unwind."""


class Fund(Behaviour):
    """One member that works off what it took over, in slices bounded by visible depth and slippage."""

    agent: ClassVar[type[Participant]] = InsuranceFund

    kind: Literal["insurance_fund"] = "insurance_fund"
    name: str = Field("insurance_fund", min_length=1, description="name of the population, unique in the market (text)")
    count: int = Field(1, ge=1, le=1, description="number of members, always one (agents)")
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(1_000_000.0, gt=0, description="balance at the start (units of the numeraire)")
    unwind: float = Field(3600.0, gt=0, description="time constant of working a position off (seconds)")
    participation: float = Field(
        0.1, gt=0, le=1, description="most sent in a minute, share of the depth within 1% (share)"
    )
    slippage: float = Field(50.0, ge=0, description="worst price accepted, distance from the mark (basis points)")

    _stall: Stall = PrivateAttr()
    _pace: Pace = PrivateAttr()

    @property
    def fund_of(self) -> str:
        """Name of the venue whose insurance fund this is."""
        return self.venue

    def start(self, setting: Setting, draws: F8) -> I8:
        """Settle at the venue, all instruments of it; see ``sim.protocols.Population``."""
        venue = self.venue_in(setting, self.venue)
        self._stall = Stall(venue, np.flatnonzero(setting.contracts.venue == venue))
        self._pace = Pace.of(setting.dt, self.unwind, self.participation)
        return self.wealth_at(setting, venue, np.full(1, self.wealth))

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Slices of what it holds."""
        held = accounts.position[:, self._stall.instruments]
        return work_off(outlook, self._stall, held, self._pace, self.slippage * BASIS_POINT)
