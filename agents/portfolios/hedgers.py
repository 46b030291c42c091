"""Hedgers: owners of spot who sell a perpetual against a share of it (AGT-10)."""

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
)
from agents.compiled.portfolios.spot_hedges import adjust_hedges, draw_members
from agents.shared.commitment import WalletCommitment
from agents.shared.hedging import HedgedPairs, pair_with_spot
from agents.shared.order_table import OrderTable
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.types import F8, I8, AccountView, MarketSpec, Observation, Orders

WEALTH, PAIR, RATIO = range(3)
"""Columns of the trait draws."""


class Hedger(Trader):
    """A member of a population of hedgers."""


class HedgerTraits(NamedTuple):
    """Traits of the members, constant after the start."""

    pairs: HedgedPairs
    endowment: F8  # (n,) value of the spot that each owns at the start, minor units
    pair: I8  # (n,) the pair whose spot it is
    hedge_ratio: F8  # (n,) share that each hedges
    probability: float  # of acting in a step


class Hedgers(Population):
    """Owners of coins, such as miners and treasuries, who insure a share of their value.

    Each starts with spot of one instrument, which it keeps, and cash for margin. It sells the
    perpetual of the same underlying until the short is ``hedge_ratio`` times the spot, and trades
    again when the short is away from that by more than ``band``: after a fill in part, a
    close-out, ADL, or a change of its spot. It has no view of the price. Where wallets and margin
    accounts are separate, members commit their wallets to the perpetual's account (ISO-1).
    """

    agent_class: ClassVar[type[Trader]] = Hedger
    n_trait_draws: ClassVar[int] = 3
    n_decision_draws: ClassVar[int] = 1

    kind: Literal["hedgers"] = "hedgers"
    name: str = Field(
        "hedgers", min_length=1, description="name of the population, unique in the market (text)"
    )
    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    spot_venue: str = Field(
        min_length=1, description="venue that lists spot, may be the same (name)"
    )
    instruments: tuple[str, ...] = Field(
        (), description="perpetuals they sell; empty = all of the venue (names)"
    )
    wealth: float = Field(
        100_000.0,
        gt=0,
        description="median wealth at the start, spot and cash (units of the numeraire)",
    )
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    spot_share: float = Field(
        0.75,
        gt=0,
        lt=1,
        description="share of wealth that is spot; the rest is cash for margin (share)",
    )
    hedge_ratio: float = Field(
        0.5, gt=0, le=1, description="mean share of the spot that is hedged (share)"
    )
    hedge_ratio_range: float = Field(
        0.3,
        ge=0,
        le=1,
        description="largest distance of a member's share from the mean, within 0 and 1 (share)",
    )
    band: float = Field(
        0.1, ge=0, description="distance from the hedge that is tolerated (share of it)"
    )
    reaction: float = Field(
        1800.0, gt=0, description="mean time until a member beyond the band acts (seconds)"
    )
    slippage: float = Field(
        0.005, ge=0, le=1, description="worst price accepted, distance from the mark (share)"
    )

    _members: HedgerTraits = PrivateAttr()

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Pair the instruments and draw traits; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        perp = TradingScope(venue, self.select_instruments(spec, venue, self.instruments))
        pairs = pair_with_spot(self, spec, perp, self.spot_venue)
        ratio = self.hedge_ratio + self.hedge_ratio_range * (2 * draws[:, RATIO] - 1)
        wealth = draw_lognormal(draws[:, WEALTH], self.wealth, self.wealth_sigma)
        self._members = HedgerTraits(
            pairs=pairs,
            endowment=self.spot_share * wealth * spec.minor_units,
            pair=(draws[:, PAIR] * perp.instruments.size).astype(np.int64),
            hedge_ratio=np.clip(ratio, 0.0, 1.0),
            probability=compute_event_probability(spec.dt, self.reaction),
        )
        # each commits to the account in which it sells
        own = perp.instruments[self._members.pair][:, np.newaxis]
        self._commitment = WalletCommitment.from_instruments(spec, venue, own)
        return self.place_wealth(spec, venue, (1 - self.spot_share) * wealth)

    def endow_spot(self, lot_value: F8) -> I8:
        """Return the spot owned at the start; see ``sim.protocols.PopulationProtocol``."""
        pairs, endowment, pair, *_ = self._members
        spot = pairs.spot.instruments[pair]
        lots = np.zeros((self.count, lot_value.size), dtype=np.int64)
        lots[np.arange(self.count), spot] = count_whole_lots(endowment, lot_value[spot])
        return lots

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return the orders of members whose hedge is beyond the band and who act."""
        views = observation.venues
        table = OrderTable.allocate(self.count_orders())
        adjust_hedges(
            observation.tick,
            table.rows,
            table.counters,
            self.latency,
            0,
            *self._list_pairs(),
            np.ascontiguousarray(accounts.position.T),
            np.concatenate([view.mark for view in views]),
            np.concatenate([view.contracts.max_price for view in views]),
            self._members.hedge_ratio,
            float(self.band),
            self._members.probability,
            float(self.slippage),
            np.array(draws),
        )
        return table.read()

    def _list_pairs(self) -> tuple[I8, I8, F8]:
        perp, spot, ratio = self._members.pairs
        return perp.instruments, spot.instruments, ratio

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self.count * self._members.pairs.perp.instruments.size

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        draws = np.zeros((self.count, 1))
        key = step.market.streams.stream_key(f"decide/{self.name}")
        adjust = bind_kernel(
            adjust_hedges,
            step.orders,
            step.counters,
            self.latency,
            members.start,
            *self._list_pairs(),
            step.ledger.position,
            step.mark,
            step.market.contracts.max_price,
            self._members.hedge_ratio,
            float(self.band),
            self._members.probability,
            float(self.slippage),
            draws,
        )
        return chain_kernels(bind_kernel(draw_members, key, draws), adjust)
