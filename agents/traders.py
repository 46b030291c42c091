"""Leveraged traders who enter, hold and exit (AGT-1)."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import DAY, Behaviour, Participant, Stall, hazard, lognormal, lot_value, whole_lots
from sim.types import B1, F8, I8, MARKET, NOBODY, REDUCE_ONLY, AccountView, MarketView, Orders, Outlook, Setting

ENTER, WHICH, SIDE, LEAVE = range(4)
"""Columns of a step's draws."""


class Trader(Participant):
    """A member of a population of traders."""


class Members(NamedTuple):
    """What does not change after the start."""

    stall: Stall
    taste: F8  # (n,) leverage wished where the engine admits the reference leverage
    due: I8  # (n,) tick of the first entry, NOBODY = left to the hazard
    enter: float  # probability per step of a flat member
    leave: float  # probability per step of a member who holds


class Traders(Behaviour):
    """Flat members enter one instrument at a drawn side, hold for an exponential time, and leave it whole.

    A position is worth leverage times equity at the venue, with leverage l_i * (L / L_ref) ** elasticity: l_i is
    the member's taste and L the highest leverage the engine admits, so that elasticity 0 ignores the engine and
    elasticity 1 uses every compression in full (AGT-1). Entries and exits are protected market orders.
    """

    agent: ClassVar[type[Participant]] = Trader
    traits: ClassVar[int] = 3
    width: ClassVar[int] = 4

    kind: Literal["traders"] = "traders"
    name: str = Field("traders", min_length=1, description="name of the population, unique in the market (text)")
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(10_000.0, gt=0, description="median wealth at the start (units of the numeraire)")
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field((), description="what they trade; empty = all perpetuals of the venue (names)")
    leverage: float = Field(5.0, gt=0, description="median leverage wished at the reference leverage (times equity)")
    leverage_sigma: float = Field(0.6, ge=0, description="standard deviation of log leverage (1)")
    reference_leverage: float = Field(20.0, gt=0, description="engine's highest leverage at that wish (times)")
    elasticity: float = Field(0.5, ge=0, le=1, description="response of the wish to the engine's leverage (exponent)")
    cap: float = Field(0.9, gt=0, le=1, description="most leverage used, share of the engine's highest (share)")
    entries: float = Field(1.0, ge=0, description="hazard of entering while flat (per day)")
    hold: float = Field(DAY, gt=0, description="mean time a position is held (seconds)")
    long_share: float = Field(0.5, ge=0, le=1, description="probability that an entry buys (probability)")
    take_profit: float | None = Field(None, gt=0, description="gain that closes, share of the entry price (share)")
    stop: float | None = Field(None, gt=0, description="loss that closes, share of the entry price (share)")
    initially_in: float = Field(0.0, ge=0, le=1, description="share of members who enter during the warm-up (share)")
    warm_up: float = Field(3600.0, gt=0, description="time over which they enter (seconds)")

    _members: Members = PrivateAttr()
    _waiting: B1 = PrivateAttr()

    def start(self, setting: Setting, draws: F8) -> I8:
        """Draw wealth, taste for leverage and the time of a first entry; see ``sim.types.Population``."""
        venue = self.venue_in(setting, self.venue)
        first = np.ceil(draws[:, 2] / (self.initially_in or 1.0) * max(self.warm_up / setting.dt, 1.0))
        self._waiting = draws[:, 2] < self.initially_in
        self._members = Members(
            stall=Stall(venue, self.listed(setting, venue, self.instruments)),
            taste=lognormal(draws[:, 1], self.leverage, self.leverage_sigma),
            due=np.where(self._waiting, np.maximum(first, 1), NOBODY).astype(np.int64),
            enter=hazard(setting.dt, DAY / self.entries) if self.entries else 0.0,
            leave=hazard(setting.dt, self.hold),
        )
        return self.wealth_at(setting, venue, lognormal(draws[:, 0], self.wealth, self.wealth_sigma))

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Entries of flat members and exits of the others, at most one order per member and instrument."""
        held = accounts.position[:, self._members.stall.instruments]
        flat = held[:, 0] == 0
        for column in range(1, held.shape[1]):
            flat &= held[:, column] == 0
        enters = np.flatnonzero(flat & self._wishes(flat, outlook.tick, draws[:, ENTER]))
        return Orders.join(
            [self._entries(enters, outlook, accounts, draws), self._exits(held, outlook, accounts, draws)]
        )

    def _wishes(self, flat: B1, tick: int, draws: F8) -> B1:
        """Who would enter: by hazard, or in the warm-up from the due tick until a position is there."""
        wishes: B1 = draws < self._members.enter
        self._waiting &= flat
        if self._waiting.any():
            wishes |= self._waiting & (self._members.due <= tick)
        return wishes

    def _entries(self, rows: I8, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Market orders of ``rows`` in one drawn instrument each."""
        venue, instruments = self._members.stall
        chosen = instruments[(draws[rows, WHICH] * len(instruments)).astype(np.int64)]
        admitted = outlook.leverage[chosen]
        wish = self._members.taste[rows] * (admitted / self.reference_leverage) ** self.elasticity
        value = np.minimum(wish, self.cap * admitted) * accounts.equity[rows, venue]
        lots = whole_lots(value, lot_value(outlook.venues[venue], chosen - outlook.first[venue]))
        side = np.where(draws[rows, SIDE] < self.long_share, 1, -1)
        return Orders.of(rows, chosen, side * lots, 0, MARKET).take(lots > 0)

    def _exits(self, held: I8, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Reduce-only market orders for whole positions."""
        instruments = self._members.stall.instruments
        leaves = (draws[:, LEAVE] < self._members.leave)[:, None]
        if self.take_profit is not None or self.stop is not None:
            view, columns = self._members.stall.look(outlook)
            leaves = leaves | self._settled(held, accounts.entry[:, instruments], view, columns)
        rows, columns = np.nonzero(leaves & (held != 0))
        return Orders.of(rows, instruments[columns], -held[rows, columns], 0, MARKET | REDUCE_ONLY)

    def _settled(self, held: I8, paid: I8, view: MarketView, columns: I8) -> B1:
        """Positions beyond take-profit or stop, (n, m); ``paid`` is their value at entry."""
        now = np.abs(held) * (view.mark[columns] * view.contracts.multiplier[columns])
        then = np.abs(paid)
        gain = np.sign(held) * (np.divide(now, then, out=np.ones_like(now), where=then > 0) - 1)
        beyond: B1 = gain >= (np.inf if self.take_profit is None else self.take_profit)
        beyond |= gain <= (-np.inf if self.stop is None else -self.stop)
        return beyond
