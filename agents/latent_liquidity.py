"""Slow traders whose intentions become orders only near the price (Toth et al. 2011, Physical Review X 1, 021006)."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Behaviour, Participant, Stall, hazard, lognormal, lot_value, whole_lots
from agents.shared.commitment import Commitment
from sim.types import B1, F8, I8, LIMIT, NOBODY, AccountView, Orders, Outlook, Setting

CHANGE, PLACE = range(2)
"""Columns of a step's draws."""


class LatentTrader(Participant):
    """A member of a population of slow traders."""


class Members(NamedTuple):
    """What does not change after the start."""

    stall: Stall  # one instrument per member
    rows: I8  # (n,) numbers of the members
    drop: float  # probability per step of another intention
    back: float  # probability per step of an intention after a trade


class Intentions(NamedTuple):
    """What the members wait for, (n,); a member without an intention has no side."""

    side: I8  # +1 to buy, -1 to sell, 0 = nothing yet
    price: F8  # ticks, the worst they accept
    goal: I8  # lots they want to hold afterwards
    shown: B1  # whether the book has their order


class LatentLiquidity(Behaviour):
    """Members wait with one intention each, and show it as a limit order when the price comes near.

    Intentions are deposited uniformly in distance from the mark, bids below it and asks above (Smith, Farmer, Gillemot
    & Krishnamurthy 2003, Quantitative Finance 3, 481-514), and dropped for others at a constant rate. Who holds
    nothing wants a position of ``size`` times equity on the side where the price was drawn, who holds one wants to be
    rid of it. What was traded comes back after a pause, somewhere else. So the price eats the intentions that it meets
    and leaves few near it: revealed depth is V-shaped about the price. That shape is not put in anywhere.
    """

    agent: ClassVar[type[Participant]] = LatentTrader
    traits: ClassVar[int] = 2
    width: ClassVar[int] = 2

    kind: Literal["latent_liquidity"] = "latent_liquidity"
    name: str = Field("latent_liquidity", min_length=1, description="name of the population, unique (text)")
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(10_000.0, gt=0, description="median wealth at the start (units of the numeraire)")
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field((), description="what they trade; empty = all perpetuals of the venue (names)")
    size: float = Field(1.0, gt=0, le=1e6, description="position wanted (times equity)")
    reach: float = Field(0.1, gt=0, lt=1, description="farthest intention, distance from the mark (share)")
    reveal: float = Field(0.02, gt=0, lt=1, description="distance from the mark within which it is shown (share)")
    lifetime: float = Field(86_400.0, gt=0, description="mean time until an intention is dropped (seconds)")
    pause: float = Field(3600.0, gt=0, description="mean time between a trade and the next intention (seconds)")

    _members: Members = PrivateAttr()
    _intentions: Intentions = PrivateAttr()
    _withdrawn: B1 = PrivateAttr()  # (n,) whose order has to leave the book
    _moved: int = PrivateAttr(NOBODY)  # tick of the last look

    def start(self, setting: Setting, draws: F8) -> I8:
        """Draw wealth and each member's instrument; see ``sim.protocols.Population``."""
        venue = self.venue_in(setting, self.venue)
        listed = self.listed(setting, venue, self.instruments)
        own = listed[(draws[:, 1] * len(listed)).astype(np.int64)]
        self._members = Members(
            stall=Stall(venue, own),
            rows=np.arange(self.count),
            drop=hazard(setting.dt, self.lifetime),
            back=hazard(setting.dt, self.pause),
        )
        self._commitment = Commitment.of(setting, venue, own[:, None])
        nothing = np.zeros(self.count, dtype=np.int64)
        self._intentions = Intentions(nothing, np.zeros(self.count), nothing, nothing > 0)
        return self.wealth_at(setting, venue, lognormal(draws[:, 0], self.wealth, self.wealth_sigma))

    def decide(self, outlook: Outlook, accounts: AccountView, draws: F8) -> Orders:
        """Limit orders of the members whose price is near, and cancellations of those it has left."""
        stall, rows = self._members.stall, self._members.rows
        held = accounts.position[rows, stall.instruments]
        if outlook.tick != self._moved:
            self._look(outlook, held, accounts.equity[:, stall.venue], draws)
        side, price, goal, shown = self._intentions
        here = np.flatnonzero(shown | self._withdrawn)
        quantity = np.where(shown, np.maximum((goal - held) * side, 0) * side, 0)[here]
        limit = np.maximum(price, 1).astype(np.int64)[here]
        return Orders.of(here, stall.instruments[here], quantity, limit, LIMIT)

    def _look(self, outlook: Outlook, held: I8, equity: F8, draws: F8) -> None:
        """Once a tick: forget what was traded, draw anew where a change is due, show what is near."""
        own, (side, price, goal, before) = self._members, self._intentions
        side = np.where((goal - held) * side > 0, side, 0)
        change = draws[:, CHANGE] < np.where(side == 0, own.back, own.drop)
        change |= self._moved == NOBODY
        fresh = self._fresh(outlook, held, equity, draws[:, PLACE])
        side, price, goal = (np.where(change, new, old) for new, old in zip(fresh, (side, price, goal), strict=True))
        view, columns = own.stall.look(outlook)
        shown = (side != 0) & (side * (price / view.mark[columns] - 1) >= -self.reveal)
        self._intentions, self._withdrawn = Intentions(side, price, goal, shown), before & ~shown
        self._moved = outlook.tick

    def _fresh(self, outlook: Outlook, held: I8, equity: F8, place: F8) -> tuple[I8, F8, I8]:
        """An intention for everybody about today's mark: side, price, goal."""
        view, columns = self._members.stall.look(outlook)
        away = 2 * place - 1
        side = np.where(held != 0, -np.sign(held), np.where(away < 0, 1, -1))
        price = side * np.floor(side * view.mark[columns] * (1 - side * self.reach * np.abs(away)))
        wanted = side * whole_lots(self.size * equity, lot_value(view, columns))
        return side, np.clip(price, 1, view.contracts.max_price[columns]), np.where(held == 0, wanted, 0)
