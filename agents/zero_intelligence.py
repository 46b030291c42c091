"""A crowd without intelligence: random limit orders about the mark, for gates of speed and laws of conservation."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, Trader
from agents.shared.commitment import WalletCommitment
from sim.numerics.jit import kernel
from sim.types import F8, I8, LIMIT, AccountView, MarketSpec, Observation, Orders


class ZeroIntelligenceTrader(Trader):
    """A member of a crowd without intelligence (Gode and Sunder 1993)."""


class ZeroIntelligenceColumns(NamedTuple):
    """Columns that every step's orders share, read-only."""

    venue: int
    owner: I8  # (n,)
    instrument: I8  # (n,) global numbers
    kind: I8  # (n,)
    slot: I8  # (n,)
    leverage: I8  # (n,) none is chosen
    highest: I8  # (n,) largest price, ticks


class ZeroIntelligenceCrowd(Population):
    """Every member replaces its one limit order each step: random side, price about the mark, and size.

    A member keeps to one instrument, drawn at the start. Prices are uniform on ``ticks`` either side of the mark,
    sizes uniform on 1 to ``lots``.
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
        (), description="what they trade; empty = all perpetuals of the venue (names)"
    )
    ticks: int = Field(20, ge=0, description="farthest price from the mark (ticks)")
    lots: int = Field(10, ge=1, description="largest order (lots)")

    _members: ZeroIntelligenceColumns = PrivateAttr()

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Draw each member's instrument; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        listed = self.select_instruments(setting, venue, self.instruments)
        own = listed[(draws[:, 0] * len(listed)).astype(np.int64)]
        kind, slot = (
            np.full(self.count, LIMIT, dtype=np.int64),
            np.zeros(self.count, dtype=np.int64),
        )
        highest = setting.contracts.max_price[own]
        self._commitment = WalletCommitment.from_instruments(setting, venue, own[:, None])
        self._members = ZeroIntelligenceColumns(
            venue, np.arange(self.count), own, kind, slot, slot.copy(), highest
        )
        for column in self._members[1:]:
            column.flags.writeable = False
        return self.place_wealth(setting, venue, np.full(self.count, self.wealth))

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """One order per member; accounts are not looked at. Constant columns are read-only."""
        venue, owner, instrument, kind, slot, leverage, highest = self._members
        view = outlook.venues[venue]
        limit, quantity = _draw_orders(
            draws,
            view.mark,
            instrument - outlook.first_instrument[venue],
            highest,
            self.ticks,
            self.lots,
        )
        return Orders(owner, instrument, quantity, limit, kind, slot, leverage)


@kernel
def _draw_orders(
    draws: F8, mark: F8, column: I8, highest: I8, ticks: int, lots: int
) -> tuple[I8, I8]:
    """Limits and signed lots, of one draw each: its first bit is the side, the next few the price, then the size."""
    limit, quantity = np.empty_like(column), np.empty_like(column)
    for i in range(column.size):
        side = 2 * draws[i, 0]
        away = (side if side < 1 else side - 1) * (2 * ticks + 1)
        size = int((away - int(away)) * lots) + 1
        limit[i] = min(max(int(mark[column[i]]) + int(away) - ticks, 1), highest[i])
        quantity[i] = size if side < 1 else -size
    return limit, quantity
