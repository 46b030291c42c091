"""Liquidators, who bid for what a venue has on offer for accounts in distress, and work it off (AGT-4, LIQ-3)."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import (
    BASIS_POINT,
    Population,
    Trader,
    TradingScope,
    count_whole_lots,
    draw_lognormal,
    get_lot_values,
)
from agents.shared.commitment import WalletCommitment
from agents.shared.unwinding import UnwindPace, unwind_positions
from sim.types import F8, I8, POST_ONLY, AccountView, MarketSpec, Observation, Orders

SIDES = np.array([1, -1])
"""Signs of the orders in slots 0 and 1: bids for lots to be sold, asks for lots to be bought."""


class Liquidator(Trader):
    """A member of a population of liquidators."""


class LiquidatorTraits(NamedTuple):
    """What does not change after the start."""

    scope: TradingScope
    min_discount: F8  # (n, 1) discount that a member demands, share of the mark
    pace: UnwindPace  # of working positions off


class Liquidators(Population):
    """Bids below the mark for lots that the venue has to sell, asks above it for those it has to buy.

    A bid rests in the book like anybody's: who asks the smallest discount is first, among equals who came first, and
    each gets the price it named. It is sized by the lots on offer, by equity and by headroom, so that capital that is
    tied up in earlier purchases bids no more. Where nothing is offered, bids are withdrawn. Inventory is worked off
    at a pace, at no worse than a share of the member's own discount away from the mark: no one sells to another's
    bid what it bought at its own.
    """

    agent_class: ClassVar[type[Trader]] = Liquidator
    n_trait_draws: ClassVar[int] = 2

    kind: Literal["liquidators"] = "liquidators"
    name: str = Field(
        "liquidators",
        min_length=1,
        description="name of the population, unique in the market (text)",
    )
    latency: int = Field(3, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        250_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field(
        (), description="what they bid for; empty = all perpetuals (names)"
    )
    profit: float = Field(
        50.0, gt=0, description="median of the smallest discount they buy at (basis points)"
    )
    profit_sigma: float = Field(0.7, ge=0, description="standard deviation of its log (1)")
    share: float = Field(
        1.0, gt=0, le=1, description="most bid for, share of the lots on offer (share)"
    )
    leverage: float = Field(
        3.0, gt=0, description="largest position, all instruments together (times equity)"
    )
    cap: float = Field(
        0.9, gt=0, le=1, description="most of the headroom that bids may use (share)"
    )
    unwind: float = Field(
        900.0, gt=0, description="time constant of working a position off (seconds)"
    )
    participation: float = Field(
        0.05, gt=0, le=1, description="most sent in a minute, share of the depth within 1% (share)"
    )
    give_up: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="worst price of working off, distance from the mark over own discount (share)",
    )

    _members: LiquidatorTraits = PrivateAttr()

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Draw wealth and the discount each demands; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        profit = draw_lognormal(draws[:, 1:2], self.profit * BASIS_POINT, self.profit_sigma)
        pace = UnwindPace.from_time_constant(setting.dt, self.unwind, self.participation)
        stall = TradingScope(venue, self.select_instruments(setting, venue, self.instruments))
        self._members = LiquidatorTraits(stall, profit, pace)
        self._commitment = WalletCommitment.from_instruments(setting, venue, stall.instruments)
        return self.place_wealth(
            setting, venue, draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        )

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Everybody's bids and asks anew, nil where nothing is offered, and a slice of everybody's inventory."""
        own = self._members
        held = accounts.position[:, own.scope.instruments]
        slices = unwind_positions(
            outlook, own.scope, held, own.pace, self.give_up * np.minimum(own.min_discount, 1.0)
        )
        return Orders.join([self._create_bids(outlook, accounts), slices])

    def _create_bids(self, outlook: Observation, accounts: AccountView) -> Orders:
        """One order per member, instrument and side; each side may use all that an instrument is allotted."""
        own = self._members
        view, columns = own.scope.view(outlook)
        offered = np.stack([view.to_sell[columns], view.to_buy[columns]], axis=1)  # (m, 2)
        lot = get_lot_values(view, columns)[:, None]
        price = view.mark[columns][:, None] * (
            1 - SIDES * own.min_discount[:, :, None]
        )  # (n, m, 2)
        price = SIDES * np.floor(SIDES * price)  # bids round down and asks up
        wanted = np.ceil(self.share * offered)
        value = offered * lot
        part = np.divide(value, value.sum(), out=np.zeros_like(value), where=value.sum() > 0).sum(
            axis=1
        )
        afforded = count_whole_lots(
            self._compute_free_notional(outlook, accounts) * part, lot[:, 0]
        )[:, :, None]
        quotable = (price >= 1) & (price <= view.contracts.max_price[columns][:, None])
        lots = np.where(quotable, np.minimum(wanted, afforded), 0).astype(np.int64)
        limit = np.where(quotable, price, 1).astype(np.int64)
        member, column, slot = (index.reshape(-1) for index in np.indices(lots.shape))
        quantity = (SIDES * lots).reshape(-1)
        return Orders.from_columns(
            member, own.scope.instruments[column], quantity, limit.reshape(-1), POST_ONLY, slot
        )

    def _compute_free_notional(self, outlook: Observation, accounts: AccountView) -> F8:
        """Notional that a member may still take, (n, m), minor units of the numeraire, as if in each alone."""
        own = self._members
        view, columns = own.scope.view(outlook)
        used = np.abs(
            accounts.position[:, own.scope.instruments] * get_lot_values(view, columns)
        ).sum(axis=1)
        room = self.leverage * np.maximum(accounts.equity[:, own.scope.venue], 0.0) - used
        headroom = self.cap * np.maximum(accounts.free_margin[:, own.scope.venue], 0.0)
        admitted = np.minimum(outlook.max_leverage[own.scope.instruments], 1e6)
        capital: F8 = np.minimum(np.maximum(room, 0.0)[:, None], headroom[:, None] * admitted)
        return capital
