"""Zero-intelligence traders: random limit orders about the mark.

They serve in tests of speed and of conservation laws.
"""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, Trader
from agents.compiled.random_orders import choose_order, send_random_orders
from agents.shared.commitment import WalletCommitment
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.types import F8, I8, LIMIT, AccountView, MarketSpec, Observation, Orders


class ZeroIntelligenceTrader(Trader):
    """A zero-intelligence trader (Gode and Sunder 1993)."""


class ZeroIntelligenceColumns(NamedTuple):
    """Read-only columns shared by the orders of all steps."""

    venue: int
    owner: I8  # (n,)
    instrument: I8  # (n,) global numbers
    kind: I8  # (n,)
    slot: I8  # (n,)
    leverage: I8  # (n,) zeros: no leverage is chosen
    highest: I8  # (n,) largest price, ticks


class ZeroIntelligenceCrowd(Population):
    """Members who replace one limit order in each step, with random side, price and size.

    A member trades one instrument, drawn at the start. Prices are uniform within ``ticks`` of the
    mark on either side, and sizes are uniform from 1 to ``lots``.
    """

    agent_class: ClassVar[type[Trader]] = ZeroIntelligenceTrader
    n_trait_draws: ClassVar[int] = 1
    n_decision_draws: ClassVar[int] = 1

    kind: Literal["zero_intelligence"] = "zero_intelligence"
    name: str = Field(
        "zero_intelligence", min_length=1, description="name of the population, unique (text)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        1_000_000.0, gt=0, description="wealth of each member (units of the numeraire)"
    )
    instruments: tuple[str, ...] = Field(
        (), description="instruments they trade; empty = all perpetuals of the venue (names)"
    )
    ticks: int = Field(20, ge=0, description="farthest price from the mark (ticks)")
    lots: int = Field(10, ge=1, description="largest order (lots)")

    _members: ZeroIntelligenceColumns = PrivateAttr()

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw the instrument of each member; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        listed = self.select_instruments(spec, venue, self.instruments)
        own = listed[(draws[:, 0] * len(listed)).astype(np.int64)]
        kind, slot = (
            np.full(self.count, LIMIT, dtype=np.int64),
            np.zeros(self.count, dtype=np.int64),
        )
        highest = spec.contracts.max_price[own]
        self._commitment = WalletCommitment.from_instruments(spec, venue, own[:, None])
        self._members = ZeroIntelligenceColumns(
            venue, np.arange(self.count), own, kind, slot, slot.copy(), highest
        )
        for column in self._members[1:]:
            column.flags.writeable = False
        return self.place_wealth(spec, venue, np.full(self.count, self.wealth))

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return one order per member, independent of its accounts.

        Constant columns are read-only.
        """
        venue, owner, instrument, kind, slot, leverage, highest = self._members
        view = observation.venues[venue]
        limit, quantity = _draw_orders(
            draws,
            view.mark,
            instrument - observation.first_instrument[venue],
            highest,
            self.ticks,
            self.lots,
        )
        return Orders(owner, instrument, quantity, limit, kind, slot, leverage)

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self.count

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        own = self._members
        return bind_kernel(
            send_random_orders,
            step.orders,
            step.counters,
            self.latency,
            members.start,
            step.market.streams.stream_key(f"decide/{self.name}"),
            own.instrument,
            own.highest,
            step.mark,
            self.ticks,
            self.lots,
        )


@kernel
def _draw_orders(
    draws: F8, mark: F8, column: I8, highest: I8, ticks: int, lots: int
) -> tuple[I8, I8]:
    """Return limits and signed lots; see ``agents.compiled.random_orders``."""
    limit, quantity = np.empty_like(column), np.empty_like(column)
    for i in range(column.size):
        limit[i], quantity[i] = choose_order(draws[i, 0], mark[column[i]], highest[i], ticks, lots)
    return limit, quantity
