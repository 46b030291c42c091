"""Slow traders whose intentions become orders only near the price (Toth et al. 2011, Physical Review X 1, 021006)."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import (
    Population,
    Trader,
    TradingScope,
    compute_event_probability,
    count_whole_lots,
    draw_lognormal,
    get_lot_values,
)
from agents.shared.commitment import WalletCommitment
from sim.types import B1, F8, I8, LIMIT, MISSING, AccountView, MarketSpec, Observation, Orders

CHANGE_COLUMN, DISTANCE_COLUMN = range(2)
"""Columns of a step's draws."""


class LatentTrader(Trader):
    """A member of a population of slow traders."""


class LatentTraderTraits(NamedTuple):
    """What does not change after the start."""

    scope: TradingScope  # one instrument per member
    rows: I8  # (n,) numbers of the members
    drop_probability: float  # probability per step of another intention
    return_probability: float  # probability per step of an intention after a trade


class Intentions(NamedTuple):
    """What the members wait for, (n,); a member without an intention has no side."""

    side: I8  # +1 to buy, -1 to sell, 0 = nothing yet
    price: F8  # ticks, the worst they accept
    target: I8  # lots they want to hold afterwards
    is_shown: B1  # whether the book has their order


class LatentLiquidity(Population):
    """Members wait with one intention each, and show it as a limit order when the price comes near.

    Intentions are deposited uniformly in distance from the mark, bids below it and asks above (Smith, Farmer, Gillemot
    & Krishnamurthy 2003, Quantitative Finance 3, 481-514), and dropped for others at a constant rate. Who holds
    nothing wants a position of ``size`` times equity on the side where the price was drawn, who holds one wants to be
    rid of it. What was traded comes back after a pause, somewhere else. So the price eats the intentions that it meets
    and leaves few near it: revealed depth is V-shaped about the price. That shape is not put in anywhere.
    """

    agent_class: ClassVar[type[Trader]] = LatentTrader
    n_trait_draws: ClassVar[int] = 2
    n_decision_draws: ClassVar[int] = 2

    kind: Literal["latent_liquidity"] = "latent_liquidity"
    name: str = Field(
        "latent_liquidity", min_length=1, description="name of the population, unique (text)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field(
        (), description="what they trade; empty = all perpetuals of the venue (names)"
    )
    size: float = Field(1.0, gt=0, le=1e6, description="position wanted (times equity)")
    reach: float = Field(
        0.1, gt=0, lt=1, description="farthest intention, distance from the mark (share)"
    )
    reveal: float = Field(
        0.02, gt=0, lt=1, description="distance from the mark within which it is shown (share)"
    )
    lifetime: float = Field(
        86_400.0, gt=0, description="mean time until an intention is dropped (seconds)"
    )
    pause: float = Field(
        3600.0, gt=0, description="mean time between a trade and the next intention (seconds)"
    )

    _members: LatentTraderTraits = PrivateAttr()
    _intentions: Intentions = PrivateAttr()
    _is_withdrawn: B1 = PrivateAttr()  # (n,) whose order has to leave the book
    _last_tick: int = PrivateAttr(MISSING)  # tick of the last look

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Draw wealth and each member's instrument; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        listed = self.select_instruments(setting, venue, self.instruments)
        own = listed[(draws[:, 1] * len(listed)).astype(np.int64)]
        self._members = LatentTraderTraits(
            scope=TradingScope(venue, own),
            rows=np.arange(self.count),
            drop_probability=compute_event_probability(setting.dt, self.lifetime),
            return_probability=compute_event_probability(setting.dt, self.pause),
        )
        self._commitment = WalletCommitment.from_instruments(setting, venue, own[:, None])
        nothing = np.zeros(self.count, dtype=np.int64)
        self._intentions = Intentions(nothing, np.zeros(self.count), nothing, nothing > 0)
        return self.place_wealth(
            setting, venue, draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        )

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Limit orders of the members whose price is near, and cancellations of those it has left."""
        stall, rows = self._members.scope, self._members.rows
        held = accounts.position[rows, stall.instruments]
        if outlook.tick != self._last_tick:
            self._update_intentions(outlook, held, accounts.equity[:, stall.venue], draws)
        side, price, goal, shown = self._intentions
        here = np.flatnonzero(shown | self._is_withdrawn)
        quantity = np.where(shown, np.maximum((goal - held) * side, 0) * side, 0)[here]
        limit = np.maximum(price, 1).astype(np.int64)[here]
        return Orders.from_columns(here, stall.instruments[here], quantity, limit, LIMIT)

    def _update_intentions(self, outlook: Observation, held: I8, equity: F8, draws: F8) -> None:
        """Once a tick: forget what was traded, draw anew where a change is due, show what is near."""
        own, (side, price, goal, before) = self._members, self._intentions
        side = np.where((goal - held) * side > 0, side, 0)
        change = draws[:, CHANGE_COLUMN] < np.where(
            side == 0, own.return_probability, own.drop_probability
        )
        change |= self._last_tick == MISSING
        fresh = self._draw_intentions(outlook, held, equity, draws[:, DISTANCE_COLUMN])
        side, price, goal = (
            np.where(change, new, old) for new, old in zip(fresh, (side, price, goal), strict=True)
        )
        view, columns = own.scope.view(outlook)
        shown = (side != 0) & (side * (price / view.mark[columns] - 1) >= -self.reveal)
        self._intentions, self._is_withdrawn = Intentions(side, price, goal, shown), before & ~shown
        self._last_tick = outlook.tick

    def _draw_intentions(
        self, outlook: Observation, held: I8, equity: F8, place: F8
    ) -> tuple[I8, F8, I8]:
        """An intention for everybody about today's mark: side, price, goal."""
        view, columns = self._members.scope.view(outlook)
        away = 2 * place - 1
        side = np.where(held != 0, -np.sign(held), np.where(away < 0, 1, -1))
        price = side * np.floor(side * view.mark[columns] * (1 - side * self.reach * np.abs(away)))
        wanted = side * count_whole_lots(self.size * equity, get_lot_values(view, columns))
        return (
            side,
            np.clip(price, 1, view.contracts.max_price[columns]),
            np.where(held == 0, wanted, 0),
        )
