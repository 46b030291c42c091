"""Metaorders: large orders executed in equal parts over time, to measure price impact."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, Trader, TradingScope, compute_limit_prices
from agents.compiled.schedules import send_parts
from agents.shared.commitment import WalletCommitment
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import F8, I8, IOC, AccountView, MarketSpec, Observation, Orders


class MetaorderTrader(Trader):
    """A member of a population whose members execute one order each."""


class MetaorderSchedule(NamedTuple):
    """Execution schedule, constant after the start."""

    scope: TradingScope  # of one instrument
    first_tick: int  # tick of the first part
    n_parts: int


class Metaorder(Population):
    """Members who buy or sell ``quantity`` of one instrument in equal parts, one per step.

    A part is the difference between the schedule and the position, so that unfilled lots are
    retried until the end. Each part is an IOC order with a slippage limit. With ``quantity`` 0
    the members do not trade. This makes the control run of a paired comparison, with the same
    owners and therefore the same draws.
    """

    agent_class: ClassVar[type[Trader]] = MetaorderTrader

    kind: Literal["metaorder"] = "metaorder"
    name: str = Field(
        "metaorder", min_length=1, description="name of the population, unique in the market (text)"
    )
    count: int = Field(
        1, ge=1, description="number of members, each with an order of its own (agents)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        1_000_000_000.0, gt=0, description="wealth of each member (units of the numeraire)"
    )
    instrument: str = Field(
        "", description="instrument traded; empty = the venue's first perpetual (name)"
    )
    quantity: int = Field(description="whole order, + buys, - sells, 0 = no trade (lots)")
    at: float = Field(0.0, ge=0, description="time at which execution begins (seconds)")
    duration: float = Field(
        3600.0, gt=0, description="time over which the order is executed (seconds)"
    )
    slippage: float = Field(
        0.05, ge=0, le=1, description="worst price accepted, distance from the mark (share)"
    )

    _schedule: MetaorderSchedule = PrivateAttr()

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Prepare the schedule; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        listed = self.select_instruments(
            spec, venue, (self.instrument,) if self.instrument else ()
        )[:1]
        first, parts = (round(seconds / spec.dt) for seconds in (self.at, self.duration))
        self._schedule = MetaorderSchedule(TradingScope(venue, listed), first + 1, max(parts, 1))
        self._commitment = WalletCommitment.from_instruments(spec, venue, listed)
        return self.place_wealth(spec, venue, np.full(self.count, self.wealth))

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return one part per member while the order is being executed."""
        scope, first, parts = self._schedule
        number = observation.tick - first + 1
        if not 1 <= number <= parts:
            return Orders.join([])
        view, columns = scope.view(observation)
        missing = self._find_target(number) - accounts.position[:, scope.instruments[0]]
        rows = np.flatnonzero(missing * self.quantity > 0)
        slip = float(np.sign(self.quantity)) * self.slippage
        limit = compute_limit_prices(view.mark[columns], slip, view.contracts.max_price[columns])
        return Orders.from_columns(
            rows, int(scope.instruments[0]), missing[rows], int(limit[0]), IOC
        )

    def _find_target(self, number: int) -> int:
        """Return the lots that are to be held after a number of parts."""
        return round(self.quantity * number / self._schedule.n_parts)

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self.count

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        scope, first, parts = self._schedule
        # a run may end before the order does
        lasting = min(parts, step.market.steps_planned)
        side = int(np.sign(self.quantity))
        return bind_kernel(
            send_parts,
            step.orders,
            step.counters,
            self.latency,
            self.count,
            members.start,
            int(scope.instruments[0]),
            side,
            first,
            np.array([self._find_target(number + 1) for number in range(lasting)]),
            step.ledger.position,
            step.mark,
            step.market.contracts.max_price,
            side * self.slippage,
        )
