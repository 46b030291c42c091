"""Slow traders whose intentions become orders only near the price.

Source: Toth et al. 2011, Physical Review X 1, 021006.
"""

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
from agents.compiled.intentions import send_intentions
from agents.shared.commitment import WalletCommitment
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import B1, F8, I8, LIMIT, MISSING, AccountView, MarketSpec, Observation, Orders

CHANGE_COLUMN, DISTANCE_COLUMN = range(2)
"""Columns of a step's draws."""


class LatentTrader(Trader):
    """A member of a population of slow traders."""


class LatentTraderTraits(NamedTuple):
    """Traits of the members, constant after the start."""

    scope: TradingScope  # one instrument per member
    rows: I8  # (n,) numbers of the members
    drop_probability: float  # probability per step of another intention
    return_probability: float  # probability per step of an intention after a trade


class Intentions(NamedTuple):
    """Intended trades of the members, (n,), which change in place; side 0 = there is none."""

    side: I8  # +1 to buy, -1 to sell, 0 = no intention
    price: F8  # worst acceptable price, ticks
    target: I8  # lots desired after the trade
    is_shown: B1  # True if the order book holds the order
    is_withdrawn: B1  # True if the order must be cancelled


class LatentLiquidity(Population):
    """Members with one intention each, shown as a limit order when the price is near.

    Intentions are deposited uniformly in distance from the mark, bids below it and offers above
    (Smith, Farmer, Gillemot & Krishnamurthy 2003, Quantitative Finance 3, 481-514). They are
    replaced by others at a constant rate. A flat member intends a position of ``size`` times
    equity, on the side where its price was drawn. A member with a position intends to close it.
    After a trade, a member forms another intention after a pause, at another price. So the price
    consumes the intentions it meets and leaves few near it: revealed depth is V-shaped about the
    price. This shape is a result, not an assumption.
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
        (), description="instruments they trade; empty = all perpetuals of the venue (names)"
    )
    size: float = Field(1.0, gt=0, le=1e6, description="position wanted (times equity)")
    price_range: float = Field(
        0.1, gt=0, lt=1, description="farthest intention, distance from the mark (share)"
    )
    reveal_distance: float = Field(
        0.02, gt=0, lt=1, description="distance from the mark within which it is shown (share)"
    )
    lifetime: float = Field(
        86_400.0, gt=0, description="mean time until an intention is dropped (seconds)"
    )
    return_time: float = Field(
        3600.0, gt=0, description="mean time between a trade and the next intention (seconds)"
    )

    _members: LatentTraderTraits = PrivateAttr()
    _intentions: Intentions = PrivateAttr()
    _last_tick: I8 = PrivateAttr()  # (1,) tick of the last update

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw wealth and instrument of each member; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        listed = self.select_instruments(spec, venue, self.instruments)
        own = listed[(draws[:, 1] * len(listed)).astype(np.int64)]
        self._members = LatentTraderTraits(
            scope=TradingScope(venue, own),
            rows=np.arange(self.count),
            drop_probability=compute_event_probability(spec.dt, self.lifetime),
            return_probability=compute_event_probability(spec.dt, self.return_time),
        )
        self._commitment = WalletCommitment.from_instruments(spec, venue, own[:, None])
        self._last_tick = np.full(1, MISSING)
        self._intentions = Intentions(
            *(np.zeros(self.count, dtype=kind) for kind in (int, float, int, bool, bool))
        )
        return self.place_wealth(
            spec, venue, draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        )

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return limit orders of members whose price is near, and cancellations of all others."""
        scope, rows = self._members.scope, self._members.rows
        held = accounts.position[rows, scope.instruments]
        if observation.tick != self._last_tick[0]:
            self._update_intentions(observation, held, accounts.equity[:, scope.venue], draws)
        side, price, goal, shown, withdrawn = self._intentions
        here = np.flatnonzero(shown | withdrawn)
        quantity = np.where(shown, np.maximum((goal - held) * side, 0) * side, 0)[here]
        limit = np.maximum(price, 1).astype(np.int64)[here]
        return Orders.from_columns(here, scope.instruments[here], quantity, limit, LIMIT)

    def _update_intentions(self, observation: Observation, held: I8, equity: F8, draws: F8) -> None:
        """Drop traded intentions, replace those due for a change, and show those near the mark.

        This happens once a tick.
        """
        own, (side, price, goal, before, _) = self._members, self._intentions
        side = np.where((goal - held) * side > 0, side, 0)
        change = draws[:, CHANGE_COLUMN] < np.where(
            side == 0, own.return_probability, own.drop_probability
        )
        change |= self._last_tick[0] == MISSING
        fresh = self._draw_intentions(observation, held, equity, draws[:, DISTANCE_COLUMN])
        side, price, goal = (
            np.where(change, new, old) for new, old in zip(fresh, (side, price, goal), strict=True)
        )
        view, columns = own.scope.view(observation)
        shown = (side != 0) & (side * (price / view.mark[columns] - 1) >= -self.reveal_distance)
        updated = Intentions(side, price, goal, shown, before & ~shown)
        for column, values in zip(self._intentions, updated, strict=True):
            column[:] = values
        self._last_tick[0] = observation.tick

    def _draw_intentions(
        self, observation: Observation, held: I8, equity: F8, place: F8
    ) -> tuple[I8, F8, I8]:
        """Return an intention for each member about the current mark: side, price, target."""
        view, columns = self._members.scope.view(observation)
        away = 2 * place - 1
        side = np.where(held != 0, -np.sign(held), np.where(away < 0, 1, -1))
        price = side * np.floor(
            side * view.mark[columns] * (1 - side * self.price_range * np.abs(away))
        )
        wanted = side * count_whole_lots(self.size * equity, get_lot_values(view, columns))
        return (
            side,
            np.clip(price, 1, view.contracts.max_price[columns]),
            np.where(held == 0, wanted, 0),
        )

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self.count

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        own = self._members
        return bind_kernel(
            send_intentions,
            step.orders,
            step.counters,
            self.latency,
            members.start,
            step.market.streams.stream_key(f"decide/{self.name}"),
            own.scope.instruments,
            step.ledger.position,
            step.equity[own.scope.venue, members],
            step.mark,
            step.lot_value,
            step.market.contracts.max_price,
            own.drop_probability,
            own.return_probability,
            self.size,
            self.price_range,
            self.reveal_distance,
            self._last_tick,
            *self._intentions,
        )
