"""Liquidators who bid for lots of accounts in distress and unwind them (AGT-4, LIQ-3)."""

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
from agents.compiled.amounts import sum_exposures
from agents.compiled.liquidation_bids import MAX_LEVERAGE, send_bids, share_offered_value
from agents.compiled.unwinding import send_slices
from agents.shared.commitment import WalletCommitment
from agents.shared.unwinding import UnwindPace, unwind_positions
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.types import F8, I8, POST_ONLY, AccountView, MarketSpec, Observation, Orders

SIDES = np.array([1, -1])
"""Signs of the orders in slots 0 and 1: bids for lots to be sold, offers for lots to be bought."""


class Liquidator(Trader):
    """A member of a population of liquidators."""


class LiquidatorTraits(NamedTuple):
    """Traits of the members, constant after the start."""

    scope: TradingScope
    min_discount: F8  # (n, 1) smallest discount a member accepts, share of the mark
    pace: UnwindPace  # of unwinding positions


class Liquidators(Population):
    """Members who bid below the mark for lots a venue must sell, and offer above it for purchases.

    A bid rests in the order book like any other. The smallest discount trades first, then the
    earliest order, and each trades at its own price. The lots on offer, equity and headroom limit
    the size, so that capital tied up in earlier purchases does not bid again. Bids are cancelled
    where no lots are on offer. Inventory is unwound over time. Its worst price is a share of the
    member's own discount away from the mark, so that members do not sell to the bids of other
    liquidators at a loss.
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
        (), description="instruments they bid for; empty = all perpetuals (names)"
    )
    min_discount: float = Field(
        50.0, gt=0, description="median of the smallest discount accepted (basis points)"
    )
    min_discount_sigma: float = Field(0.7, ge=0, description="standard deviation of its log (1)")
    share: float = Field(
        1.0, gt=0, le=1, description="largest bid, share of the lots on offer (share)"
    )
    leverage: float = Field(
        3.0, gt=0, description="largest position, all instruments together (times equity)"
    )
    cap: float = Field(
        0.9, gt=0, le=1, description="largest share of the headroom that bids may use (share)"
    )
    unwind_time: float = Field(
        900.0, gt=0, description="time constant of unwinding a position (seconds)"
    )
    participation: float = Field(
        0.05,
        gt=0,
        le=1,
        description="largest slice per minute, share of the depth within 1% (share)",
    )
    max_unwind_discount: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="worst price of unwinding, distance from the mark over own discount (share)",
    )

    _members: LiquidatorTraits = PrivateAttr()

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw wealth and smallest discounts; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        profit = draw_lognormal(
            draws[:, 1:2], self.min_discount * BASIS_POINT, self.min_discount_sigma
        )
        pace = UnwindPace.from_time_constant(spec.dt, self.unwind_time, self.participation)
        scope = TradingScope(venue, self.select_instruments(spec, venue, self.instruments))
        self._members = LiquidatorTraits(scope, profit, pace)
        self._commitment = WalletCommitment.from_instruments(spec, venue, scope.instruments)
        return self.place_wealth(
            spec, venue, draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        )

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return new bids and offers of all members, and slices of their inventory.

        Bids and offers are zero where no lots are on offer, which cancels the last ones.
        """
        own = self._members
        held, slippage = accounts.position[:, own.scope.instruments], self._unwind_slippage()
        slices = unwind_positions(observation, own.scope, held, own.pace, slippage)
        return Orders.join([self._create_bids(observation, accounts), slices])

    def _unwind_slippage(self) -> F8:
        """Return the worst price of unwinding, (n, 1), as a share of the mark away from it."""
        slippage: F8 = self.max_unwind_discount * np.minimum(self._members.min_discount, 1.0)
        return slippage

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self.count * 3 * self._members.scope.instruments.size

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        own, contracts = self._members, step.market.contracts
        venue, instruments = own.scope
        sent = (step.orders, step.counters, self.latency)
        bids = bind_kernel(
            send_bids,
            *sent,
            instruments,
            step.ledger.position,
            members.start,
            step.mark,
            step.lot_value,
            contracts.max_price,
            step.max_leverage_long,
            step.to_sell,
            step.to_buy,
            step.equity[venue, members],
            step.free_margin[venue, members],
            own.min_discount[:, 0],
            self.share,
            self.leverage,
            self.cap,
        )
        slices = bind_kernel(
            send_slices,
            *sent,
            instruments,
            step.ledger.position,
            members.start,
            step.mark,
            step.depth,
            contracts.max_price,
            own.pace.share,
            own.pace.participation,
            self._unwind_slippage()[:, 0],
        )
        return chain_kernels(bids, slices)

    def _create_bids(self, observation: Observation, accounts: AccountView) -> Orders:
        """Return one order per member, instrument and side.

        Each side may use the whole notional allotted to an instrument.
        """
        own = self._members
        view, columns = own.scope.view(observation)
        price = view.mark[columns][:, None] * (1 - SIDES * own.min_discount[:, :, None])
        price = SIDES * np.floor(SIDES * price)  # (n, m, 2); bids round down, offers up
        quotable = (price >= 1) & (price <= view.contracts.max_price[columns][:, None])
        bid = self._compute_bid_lots(observation, accounts)
        lots = np.where(quotable, bid, 0).astype(np.int64)
        limit = np.where(quotable, price, 1).astype(np.int64)
        member, column, slot = (index.reshape(-1) for index in np.indices(lots.shape))
        quantity = (SIDES * lots).reshape(-1)
        return Orders.from_columns(
            member, own.scope.instruments[column], quantity, limit.reshape(-1), POST_ONLY, slot
        )

    def _compute_bid_lots(self, observation: Observation, accounts: AccountView) -> F8:
        """Return the lots to bid for (n, m, 2): a share of the offered, as far as affordable."""
        view, columns = self._members.scope.view(observation)
        offered = np.stack([view.to_sell[columns], view.to_buy[columns]], axis=1)  # (m, 2)
        lot = get_lot_values(view, columns)
        value_share = share_offered_value(view.to_sell[columns], view.to_buy[columns], lot)
        notional: F8 = self._compute_free_notional(observation, accounts) * value_share
        affordable = count_whole_lots(notional, lot)[:, :, None]
        bid: F8 = np.minimum(np.ceil(self.share * offered), affordable)
        return bid

    def _compute_free_notional(self, observation: Observation, accounts: AccountView) -> F8:
        """Return the notional that a member may still buy of each instrument alone.

        Returns:
            (n, m) minor units of the numeraire.
        """
        own = self._members
        view, columns = own.scope.view(observation)
        used = sum_exposures(
            accounts.position[:, own.scope.instruments], get_lot_values(view, columns)
        )
        room = self.leverage * np.maximum(accounts.equity[:, own.scope.venue], 0.0) - used
        headroom = self.cap * np.maximum(accounts.free_margin[:, own.scope.venue], 0.0)
        admitted = np.minimum(observation.max_leverage[own.scope.instruments], MAX_LEVERAGE)
        capital: F8 = np.minimum(np.maximum(room, 0.0)[:, None], headroom[:, None] * admitted)
        return capital
