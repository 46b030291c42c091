"""Holders of a long position who hedge it by a short one in the same instrument (hedge mode)."""

import math
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import (
    DAY,
    Population,
    Trader,
    TradingScope,
    compute_event_probability,
    compute_limit_prices,
    count_whole_lots,
    draw_lognormal,
)
from agents.shared.commitment import has_separate_wallet
from sim.errors import ConfigError
from sim.types import (
    B1,
    F8,
    I8,
    IOC,
    LEVERAGE_STEP,
    MARKET,
    MISSING,
    REDUCE_ONLY,
    AccountView,
    MarketSpec,
    MarketView,
    Observation,
    Orders,
)

ENTRY_COLUMN, EXIT_COLUMN, HEDGE_COLUMN = range(3)
"""Columns of a step's draws."""

LONG, SHORT = range(2)
"""Sides; rows of members on the second one follow those on the first."""

ENTRY_ATTEMPTS = 4
"""Steps in which a member tries its entry of the warm-up."""


class TwoSidedTrader(Trader):
    """A member of a population that holds both sides of one instrument."""


class TwoSidedPlan(NamedTuple):
    """Instrument and probabilities per step, constant after the start."""

    scope: TradingScope  # of one instrument
    is_separate: bool  # whether wallets are separate from margin accounts
    first_entry: I8  # (n,) tick, MISSING = no entry in the warm-up
    entry_probability: float
    exit_probability: float
    hedge_probability: float
    memory: float  # weight of the past in the slow average


class TwoSidedTraders(Population):
    """Members who hold a long for weeks, and open a short beside it while the price falls.

    In hedge mode the short is a position of its own: the long keeps its entry, its leverage and
    its margin, and the venue margins both. The hedge is opened when the mark is ``hedge_below``
    under its slow average, and bought back when it is above that average, or when the long is
    gone. A member uses ``long_share`` of its equity for the long, and the rest backs the hedge.
    """

    agent_class: ClassVar[type[Trader]] = TwoSidedTrader
    n_trait_draws: ClassVar[int] = 2
    n_decision_draws: ClassVar[int] = 3
    n_sides: ClassVar[int] = 2

    kind: Literal["two_sided"] = "two_sided"
    name: str = Field(
        "two_sided", min_length=1, description="name of the population, unique in the market (text)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instrument: str = Field(
        "", description="instrument traded; empty = the venue's first perpetual (name)"
    )
    leverage: float = Field(
        3.0, ge=1, le=1000, description="leverage of the long, and chosen for its margin (times)"
    )
    long_share: float = Field(
        0.6, gt=0, lt=1, description="equity that the long uses; the rest backs the hedge (share)"
    )
    hedge_ratio: float = Field(1.0, gt=0, le=1, description="size of the hedge (share of the long)")
    hedge_leverage: float = Field(
        10.0, ge=1, le=1000, description="leverage chosen for the hedge's margin (times)"
    )
    hedge_below: float = Field(
        0.01, gt=0, lt=1, description="fall below the slow average that opens the hedge (share)"
    )
    average_half_life: float = Field(
        4 * 3600.0, gt=0, description="half-life of the slow average of the mark (seconds)"
    )
    reaction: float = Field(
        1800.0, gt=0, description="mean time until a hedge is opened or closed (seconds)"
    )
    entries_per_day: float = Field(1.0, ge=0, description="hazard of entering while flat (per day)")
    holding_time: float = Field(21 * DAY, gt=0, description="mean time a long is held (seconds)")
    slippage: float = Field(
        0.005, ge=0, le=1, description="worst entry accepted, distance from the mark (share)"
    )
    initial_entry_share: float = Field(
        0.0, ge=0, le=1, description="share of members who enter during the warm-up (share)"
    )
    warm_up: float = Field(3600.0, gt=0, description="time over which they enter (seconds)")

    _plan: TwoSidedPlan = PrivateAttr()
    _average: float = PrivateAttr(math.nan)  # slow average of the mark, ticks
    _last_tick: int = PrivateAttr(MISSING)

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw wealth and first entries; see ``sim.protocols.PopulationProtocol``.

        Raises:
            ConfigError: the venue does not let members hold both sides.
        """
        venue = self.find_venue(spec, self.venue)
        if spec.has_hedge_mode is None or not spec.has_hedge_mode[venue]:
            raise ConfigError(
                [
                    f"{self.name}.venue: {self.venue!r} is one_way, members of two_sided hold both "
                    "sides of an instrument: set its position_mode to hedge, or use traders"
                ]
            )
        named = (self.instrument,) if self.instrument else ()
        entered = draws[:, 1] / max(self.initial_entry_share, 1e-9)
        first = np.ceil(np.minimum(entered, 1.0) * max(self.warm_up / spec.dt, 1.0))
        entries = DAY / self.entries_per_day if self.entries_per_day else math.inf
        self._plan = TwoSidedPlan(
            scope=TradingScope(venue, self.select_instruments(spec, venue, named)[:1]),
            is_separate=has_separate_wallet(spec, venue),
            first_entry=np.where(entered < 1, first, MISSING).astype(np.int64),
            entry_probability=compute_event_probability(spec.dt, entries),
            exit_probability=compute_event_probability(spec.dt, self.holding_time),
            hedge_probability=compute_event_probability(spec.dt, self.reaction),
            memory=0.5 ** (spec.dt / self.average_half_life),
        )
        wealth = draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        return self.place_wealth(spec, venue, wealth)

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return entries and exits of longs, and of the shorts that hedge them.

        Members are rows 0 to n - 1; the short side of member i is row n + i.
        """
        view, columns = self._plan.scope.view(observation)
        mark = float(view.mark[columns[0]])
        self._observe_mark(observation.tick, mark)
        k = self._plan.scope.instruments[0]
        long, short = accounts.position[: self.count, k], -accounts.position[self.count :, k]
        buys, sells = self._limit(view, columns).tolist()
        lots = np.where((long == 0) & (short == 0), self._size_entries(observation, accounts), 0)
        opens = [
            self._send(self._enter(observation.tick, draws), lots, buys, LONG),
            self._send(
                self._hedge(mark, long, short, draws), self._size_hedges(long), sells, SHORT
            ),
        ]
        closes = [
            self._send(draws[:, EXIT_COLUMN] < self._plan.exit_probability, -long, 1, LONG),
            self._send(self._unwind(mark, long, draws), short, 1, SHORT),
        ]
        return Orders.join([*opens, *closes])

    def _limit(self, view: MarketView, columns: I8) -> I8:
        """Return the limit of purchases and of sales that open, ticks."""
        slip = np.array([self.slippage, -self.slippage])
        mark = view.mark[columns].repeat(2)
        return compute_limit_prices(mark, slip, view.contracts.max_price[columns])

    def _enter(self, tick: int, draws: F8) -> B1:
        """Return the members who enter if they are flat, (n,)."""
        plan = self._plan
        enters = draws[:, ENTRY_COLUMN] < plan.entry_probability
        is_first = (plan.first_entry != MISSING) & (tick >= plan.first_entry)
        entering: B1 = enters | (is_first & (tick < plan.first_entry + ENTRY_ATTEMPTS))
        return entering

    def _hedge(self, mark: float, long: I8, short: I8, draws: F8) -> B1:
        """Return the members who open a short beside their long, (n,)."""
        has_fallen = mark < (1 - self.hedge_below) * self._average
        acts: B1 = draws[:, HEDGE_COLUMN] < self._plan.hedge_probability
        return acts & (long > 0) & (short == 0) & has_fallen

    def _unwind(self, mark: float, long: I8, draws: F8) -> B1:
        """Return the members who close a short if they hold one, (n,)."""
        acts: B1 = draws[:, HEDGE_COLUMN] < self._plan.hedge_probability
        return (acts & (mark > self._average)) | (long == 0)

    def _size_hedges(self, long: I8) -> I8:
        """Return the lots that hedge each long, - for a sale."""
        return -np.ceil(self.hedge_ratio * long).astype(np.int64)

    def _observe_mark(self, tick: int, mark: float) -> None:
        """Update the slow average once in a step."""
        if tick != self._last_tick:
            self._last_tick = tick
            known = self._average if math.isfinite(self._average) else mark
            self._average = self._plan.memory * known + (1 - self._plan.memory) * mark

    def _size_entries(self, observation: Observation, accounts: AccountView) -> I8:
        """Return the lots of a long of each member, (n,)."""
        venue = self._plan.scope.venue
        view, columns = self._plan.scope.view(observation)
        equity = accounts.equity[: self.count, venue]
        if not self._plan.is_separate:
            equity = equity + accounts.equity[self.count :, venue]
        value = self.leverage * self.long_share * np.maximum(equity, 0.0)
        return count_whole_lots(value, view.lot_value()[columns])

    def _send(self, chosen: B1, lots: I8, limit: int, side: int) -> Orders:
        """Return the orders of chosen members for one side, which they open or reduce."""
        rows = np.flatnonzero(chosen & (lots != 0))
        opens = (lots[rows] > 0) == (side == LONG)
        leverage = self.leverage if side == LONG else self.hedge_leverage
        hundredths = round(leverage / LEVERAGE_STEP) if self._plan.is_separate else 0
        return Orders.from_columns(
            rows + side * self.count,
            int(self._plan.scope.instruments[0]),
            lots[rows],
            limit,
            np.where(opens, IOC, MARKET | REDUCE_ONLY),
            leverage=np.where(opens, hundredths, 0),
        )
