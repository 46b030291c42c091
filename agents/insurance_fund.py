"""The insurance fund: takes bankrupt books over when the venue asks, and works them off (AGT-5, LIQ-3)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import BASIS_POINT, Behaviour, Participant, Stall, lot_value
from agents.shared.commitment import Commitment
from agents.shared.unwinding import Pace, work_off
from sim.cash_flows import Payments
from sim.numerics.rounding import whole
from sim.types import F8, I8, NOBODY, AccountView, Orders, Outlook, Risk, Setting


class InsuranceFund(Participant):
    """The fund of one venue. Its income and payouts are postings of the venue; its own act is to unwind."""


class Fund(Behaviour):
    """One member that works off what it took over, in slices bounded by visible depth and slippage.

    With ``share`` its owner keeps it at a share of open interest until it first takes a book over: what it lacks is
    paid in from outside, what fees brought beyond is paid out. From then on it has what it has. Where its wallet lies
    apart from its margin accounts, it keeps a cushion in those that hold positions, the rest for further take-overs.
    """

    agent: ClassVar[type[Participant]] = InsuranceFund

    kind: Literal["insurance_fund"] = "insurance_fund"
    name: str = Field("insurance_fund", min_length=1, description="name of the population, unique in the market (text)")
    count: int = Field(1, ge=1, le=1, description="number of members, always one (agents)")
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(1_000_000.0, gt=0, description="balance at the start (units of the numeraire)")
    share: float | None = Field(
        None, gt=0, le=10, description="balance kept until the first take-over, none = the start's (of open interest)"
    )
    cushion: float = Field(
        3.0,
        ge=1,
        description="kept in isolated accounts with a position, while the wallet lasts (times initial margin)",
    )
    unwind: float = Field(3600.0, gt=0, description="time constant of working a position off (seconds)")
    participation: float = Field(
        0.1, gt=0, le=1, description="most sent in a minute, share of the depth within 1% (share)"
    )
    slippage: float = Field(50.0, ge=0, description="worst price accepted, distance from the mark (basis points)")

    _stall: Stall = PrivateAttr()
    _pace: Pace = PrivateAttr()
    _called: bool = PrivateAttr()

    @property
    def fund_of(self) -> str:
        """Name of the venue whose insurance fund this is."""
        return self.venue

    @property
    def paying(self) -> int:
        """It makes payments while its owner keeps it at a share; nothing of them is drawn."""
        return int(self.share is not None)

    def start(self, setting: Setting, draws: F8) -> I8:
        """Settle at the venue, all instruments of it; see ``sim.protocols.Population``."""
        venue = self.venue_in(setting, self.venue)
        self._stall = Stall(venue, np.flatnonzero(setting.contracts.venue == venue))
        self._commitment = Commitment.of(setting, venue, self._stall.instruments)
        self._pace, self._called = Pace.of(setting.dt, self.unwind, self.participation), False
        return self.wealth_at(setting, venue, np.full(1, self.wealth))

    def pay(self, outlook: Outlook, accounts: AccountView, standing: Risk, draws: F8) -> Payments:
        """What brings its balance to its share of open interest, until it has taken a book over; then its cushion."""
        return Payments.join([self._kept_at_share(outlook, accounts), self._cushioned(outlook, accounts, standing)])

    def _kept_at_share(self, outlook: Outlook, accounts: AccountView) -> Payments:
        view, columns = self._stall.look(outlook)
        self._called |= bool(accounts.position[:, self._stall.instruments].any())
        if self.share is None or self._called:
            return Payments.join([])
        wanted = np.floor(self.share * (view.open_interest[columns] * lot_value(view, columns)).sum())
        missing = whole(wanted) - accounts.wallet[0, self._stall.venue, 0]
        return Payments.of(0, self._stall.venue, NOBODY, np.full(1, missing))

    def _cushioned(self, outlook: Outlook, accounts: AccountView, standing: Risk) -> Payments:
        """From its wallet into accounts whose equity is below the cushion, in the order of instruments."""
        if self._commitment is None:
            return Payments.join([])
        venue, instruments = self._commitment
        initial, equity = standing.initial[0, instruments], standing.equity[0, instruments]
        lacking = np.where(initial > 0, np.maximum(np.ceil(self.cushion * initial - equity), 0.0), 0.0)
        spent = np.minimum(np.cumsum(lacking), self._commitment.cash(outlook, accounts)[0])
        return Payments.of(0, venue, instruments, np.diff(spent, prepend=0.0).astype(np.int64))

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Slices of what it holds."""
        held = accounts.position[:, self._stall.instruments]
        return work_off(outlook, self._stall, held, self._pace, self.slippage * BASIS_POINT)
