"""Arbitrageurs who trade a perpetual against spot with limited capital, and so move spot (AGT-3, IDX-2)."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import BASIS_POINT, Behaviour, Participant, Stall, hazard, lognormal, lot_value, whole_lots, worst
from agents.commitment import Commitment
from agents.hedging import Pairs, paired
from sim.types import B1, F8, I8, IOC, REDUCE_ONLY, AccountView, Orders, Outlook, Setting

ACT = 0
"""Column of a step's draws."""


class Arbitrageur(Participant):
    """A member of a population of arbitrageurs."""


class Members(NamedTuple):
    """What does not change after the start."""

    pairs: Pairs  # (m,) perpetuals and their spot
    enter: F8  # (n, 1) basis that opens, share
    act: float  # probability per step that a member looks


class Basis(NamedTuple):
    """What the members' first legs look at, n members and m pairs."""

    fair: F8  # (m,) the index in ticks of the perpetual
    over: F8  # (m,) mark over fair, less one
    lot: F8  # (m,) worth of a lot of the perpetual, minor units of the numeraire
    highest: I8  # (m,) largest price, ticks
    held: I8  # (n, m) lots of the perpetual


class Arbitrageurs(Behaviour):
    """Sell the perpetual above spot and buy it below, hedge with spot what was filled, unwind as the basis closes.

    The perpetual's leg is an IOC order that protects the exit basis; the spot leg is an IOC order near the index
    towards -(perpetual's position), so that whatever the first leg became, also through ADL or liquidation, is
    hedged in the next step (LED-3). Each leg is bounded by a leverage cap and the headroom of both venues.
    """

    agent: ClassVar[type[Participant]] = Arbitrageur
    traits: ClassVar[int] = 2
    width: ClassVar[int] = 1

    kind: Literal["arbitrageurs"] = "arbitrageurs"
    name: str = Field("arbitrageurs", min_length=1, description="name of the population, unique in the market (text)")
    latency: int = Field(6, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    spot_venue: str = Field(min_length=1, description="venue that lists spot, may be the same (name)")
    wealth: float = Field(500_000.0, gt=0, description="median wealth at the start (units of the numeraire)")
    wealth_sigma: float = Field(0.5, ge=0, description="standard deviation of log wealth (1)")
    spot_share: float = Field(0.5, gt=0, lt=1, description="share of wealth kept at the spot venue if another (share)")
    instruments: tuple[str, ...] = Field((), description="perpetuals they trade; empty = all of the venue (names)")
    enter: float = Field(15.0, gt=0, description="mean basis that opens a position (basis points)")
    exit: float = Field(3.0, ge=0, description="basis down to which they trade and at which they unwind (basis points)")
    variety: float = Field(0.3, ge=0, lt=1, description="spread of members' opening basis about the mean (share)")
    leverage: float = Field(3.0, gt=0, description="largest leg, all pairs together (times equity at its venue)")
    cap: float = Field(0.9, gt=0, le=1, description="most of the leverage that both venues admit (share)")
    slice: float = Field(0.1, gt=0, le=1, description="most traded in a step, share of the largest leg (share)")
    slippage: float = Field(20.0, ge=0, description="worst hedge accepted, distance from the index (basis points)")
    reaction: float = Field(60.0, gt=0, description="mean time between looks at the basis (seconds)")

    _members: Members = PrivateAttr()

    @model_validator(mode="after")
    def _ordered(self) -> "Arbitrageurs":
        """An exit above some member's entry would open and close at once."""
        if self.exit >= self.enter * (1 - self.variety):
            least = self.enter * (1 - self.variety)
            told = f"exit: {self.exit:.15g} must be below enter * (1 - variety) = {least:.15g}"
            raise ValueError(f"{told}, lower it or variety, or raise enter")
        return self

    def start(self, setting: Setting, draws: F8) -> I8:
        """Pair the instruments, draw wealth and patience; see ``sim.protocols.Population``."""
        venue = self.venue_in(setting, self.venue)
        pairs = paired(self, setting, Stall(venue, self.listed(setting, venue, self.instruments)), self.spot_venue)
        enter = self.enter * BASIS_POINT * (1 + self.variety * (2 * draws[:, 1:2] - 1))
        act = hazard(setting.dt, self.reaction)
        self._members = Members(pairs, enter, act)
        if pairs.spot.venue != venue:  # else the wallet has to pay for hedges
            self._commitment = Commitment.of(setting, venue, pairs.perp.instruments)
        wealth = lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        return pairs.placed(self, setting, wealth, self.spot_share)

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """First legs of the members who look, and everybody's hedges."""
        looks = draws[:, ACT : ACT + 1] < self._members.act
        basis = self._basis(outlook, accounts)
        pairs = self._members.pairs
        hedges = pairs.hedges(pairs.missing(accounts), outlook, self.slippage)
        return Orders.join([self._first_legs(basis, looks, outlook, accounts), hedges])

    def _basis(self, outlook: Outlook, accounts: AccountView) -> Basis:
        """The basis of each pair and what the members made of it."""
        perp = self._members.pairs.perp
        fair, (view, columns) = perp.fair(outlook), perp.look(outlook)
        held = accounts.position[:, perp.instruments]
        over = view.mark[columns] / fair - 1
        return Basis(fair, over, lot_value(view, columns), view.contracts.max_price[columns], held)

    def _first_legs(self, basis: Basis, looks: B1, outlook: Outlook, accounts: AccountView) -> Orders:
        """IOC orders: against a wide basis, or towards nil where the basis that a position earned has closed."""
        against, holds = -np.sign(basis.over), np.sign(basis.held)
        opens = looks & (np.abs(basis.over) > self._members.enter) & (holds * against >= 0)
        closes = looks & (holds != 0) & (holds * against * np.abs(basis.over) < self.exit * BASIS_POINT)
        rows, pairs = np.nonzero(opens | closes)
        if not len(rows):
            return Orders.join([])
        step, room = self._capital(basis, outlook, accounts)
        more = whole_lots(np.minimum(step, room), basis.lot)
        less = np.minimum(np.abs(basis.held), np.maximum(whole_lots(step, basis.lot), 1))
        quantity = np.where(opens, more * against, -holds * less)
        premium = np.where(opens, -against, -holds)  # which side of the index the basis to protect lies on
        limit = worst(basis.fair, premium * self.exit * BASIS_POINT, basis.highest)[rows, pairs]
        kind = np.where(opens, IOC, IOC | REDUCE_ONLY)[rows, pairs]
        lots = quantity[rows, pairs].astype(np.int64)
        legs = Orders.of(rows, self._members.pairs.perp.instruments[pairs], lots, limit, kind)
        return legs.take(legs.quantity != 0)

    def _capital(self, basis: Basis, outlook: Outlook, accounts: AccountView) -> tuple[F8, F8]:
        """Most a member trades in a step and may still add, both (n, m), minor units of the numeraire.

        Nothing is added while more than a step's trade lacks its hedge: spot that cannot be had ends the trade.
        """
        perp, spot, ratio = self._members.pairs
        capital = np.minimum(accounts.equity[:, perp.venue], accounts.equity[:, spot.venue])
        headroom = np.minimum(accounts.headroom[:, perp.venue], accounts.headroom[:, spot.venue])
        admitted = np.fmin(outlook.leverage[perp.instruments], outlook.leverage[spot.instruments])
        leverage = np.fmin(self.leverage, self.cap * admitted)
        most = leverage * np.maximum(capital, 0.0)[:, None]
        used = np.abs(basis.held * basis.lot).sum(axis=1, keepdims=True)
        naked = self._members.pairs.naked(accounts) * basis.lot
        step = self.slice * most
        room: F8 = np.minimum(most - used, headroom[:, None] * leverage) - naked
        return step, np.where(naked <= step + basis.lot / ratio, room, 0.0)
