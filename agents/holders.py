"""Holders of given positions, who do not trade (AGT-9)."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from agents.base import Population, Trader
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8, AccountView, MarketSpec, Observation, Orders

NO_ORDERS = Orders(*(np.empty(0, dtype=np.int64) for _ in Orders._fields))


class Holder(Trader):
    """Owner of positions that only the venue closes."""


class Holders(Population):
    """Members who send no order: their positions change by liquidation and ADL only.

    They hold what a table of accounts gives them (ACC-1), and nothing without one.
    """

    agent_class: ClassVar[type[Trader]] = Holder

    kind: Literal["holders"] = "holders"
    name: str = Field(
        "holders", min_length=1, description="name of the population, unique in the market (text)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0,
        gt=0,
        description="wealth of members without a given account (units of the numeraire)",
    )

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Return the wealth of members; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        return self.place_wealth(spec, venue, np.full(self.count, self.wealth))

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return no orders."""
        return NO_ORDERS

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return 0

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        return bind_kernel(send_nothing, step.counters)


@kernel
def send_nothing(tick: int, counters: I8) -> int:
    """Send no order."""
    return 0
