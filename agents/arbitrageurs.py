"""Arbitrageurs who trade perpetuals against spot with limited capital (AGT-3, IDX-2)."""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from agents.base import (
    BASIS_POINT,
    Population,
    Trader,
    TradingScope,
    compute_event_probability,
    compute_limit_prices,
    count_whole_lots,
    draw_lognormal,
    get_lot_values,
)
from agents.compiled.amounts import sum_exposures
from agents.compiled.arbitrage import send_hedges, send_legs
from agents.shared.commitment import WalletCommitment
from agents.shared.hedging import HedgedPairs, pair_with_spot
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.types import B1, F8, I8, IOC, REDUCE_ONLY, AccountView, MarketSpec, Observation, Orders

REACTION_COLUMN = 0
"""Column of a step's draws."""


class Arbitrageur(Trader):
    """A member of a population of arbitrageurs."""


class ArbitrageurTraits(NamedTuple):
    """Traits of the members, constant after the start."""

    pairs: HedgedPairs  # (m,) perpetuals and their spot
    entry_basis: F8  # (n, 1) basis that opens a position, share
    reaction_probability: float  # probability per step that a member acts


class BasisState(NamedTuple):
    """Inputs of the perpetual legs, n members and m pairs."""

    index_ticks: F8  # (m,) the index in ticks of the perpetual
    relative_basis: F8  # (m,) mark over index, less one
    lot: F8  # (m,) value of a lot of the perpetual, minor units of the numeraire
    highest: I8  # (m,) largest price, ticks
    held: I8  # (n, m) lots of the perpetual


class Arbitrageurs(Population):
    """Members who sell the perpetual above spot or buy it below, and hedge with spot.

    They unwind as the basis closes. The perpetual leg is an IOC order whose limit protects the
    exit basis. The spot leg is an IOC order near the index towards -(perpetual's position). So
    the position that results from the first leg, also after ADL or liquidation, is hedged in the
    next step (LED-3). The members' spot orders move the spot price. A leverage cap and the
    headroom of both venues limit each leg.
    """

    agent_class: ClassVar[type[Trader]] = Arbitrageur
    n_trait_draws: ClassVar[int] = 2
    n_decision_draws: ClassVar[int] = 1

    kind: Literal["arbitrageurs"] = "arbitrageurs"
    name: str = Field(
        "arbitrageurs",
        min_length=1,
        description="name of the population, unique in the market (text)",
    )
    latency: int = Field(6, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    spot_venue: str = Field(
        min_length=1, description="venue that lists spot, may be the same (name)"
    )
    wealth: float = Field(
        500_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(0.5, ge=0, description="standard deviation of log wealth (1)")
    spot_share: float = Field(
        0.5, gt=0, lt=1, description="share of wealth kept at the spot venue if another (share)"
    )
    instruments: tuple[str, ...] = Field(
        (), description="perpetuals they trade; empty = all of the venue (names)"
    )
    entry_threshold: float = Field(
        15.0, gt=0, description="mean basis that opens a position (basis points)"
    )
    exit_threshold: float = Field(
        3.0,
        ge=0,
        description="basis that limits entries and closes positions (basis points)",
    )
    heterogeneity: float = Field(
        0.3, ge=0, lt=1, description="spread of members' opening basis about the mean (share)"
    )
    leverage: float = Field(
        3.0, gt=0, description="largest leg, all pairs together (times equity at its venue)"
    )
    cap: float = Field(
        0.9, gt=0, le=1, description="largest share of the leverage that both venues admit (share)"
    )
    max_step_share: float = Field(
        0.1, gt=0, le=1, description="largest trade in a step, share of the largest leg (share)"
    )
    slippage: float = Field(
        20.0, ge=0, description="worst hedge accepted, distance from the index (basis points)"
    )
    reaction: float = Field(
        60.0, gt=0, description="mean time between reactions to the basis (seconds)"
    )

    _members: ArbitrageurTraits = PrivateAttr()

    @model_validator(mode="after")
    def _check_exit_below_entry(self) -> "Arbitrageurs":
        """Require the exit below every entry; otherwise a member opens and closes at once."""
        least = self.entry_threshold * (1 - self.heterogeneity)
        if self.exit_threshold >= least:
            message = (
                f"exit_threshold: {self.exit_threshold:.15g} must be below "
                f"entry_threshold * (1 - heterogeneity) = {least:.15g}"
            )
            raise ValueError(f"{message}, lower it or heterogeneity, or raise entry_threshold")
        return self

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Pair the instruments and draw traits; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        pairs = pair_with_spot(
            self,
            spec,
            TradingScope(venue, self.select_instruments(spec, venue, self.instruments)),
            self.spot_venue,
        )
        entry_basis = (
            self.entry_threshold * BASIS_POINT * (1 + self.heterogeneity * (2 * draws[:, 1:2] - 1))
        )
        reaction = compute_event_probability(spec.dt, self.reaction)
        self._members = ArbitrageurTraits(pairs, entry_basis, reaction)
        if pairs.spot.venue != venue:  # else the wallet must pay for hedges
            self._commitment = WalletCommitment.from_instruments(
                spec, venue, pairs.perp.instruments
            )
        wealth = draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        return pairs.place_wealth(self, spec, wealth, self.spot_share)

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return perpetual legs of the members who react, and hedges of all members."""
        draw = draws[:, REACTION_COLUMN : REACTION_COLUMN + 1]
        reacts = draw < self._members.reaction_probability
        basis = self._read_basis(observation, accounts)
        pairs = self._members.pairs
        missing = pairs.missing_hedges(accounts)
        hedges = pairs.create_hedge_orders(missing, observation, self.slippage)
        legs = self._create_perpetual_orders(basis, reacts, observation, accounts)
        return Orders.join([legs, hedges])

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self.count * 2 * self._members.pairs.perp.instruments.size

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        """Return the kernel of ``decide``; see ``sim.compiled.components``."""
        perp, spot, ratio = self._members.pairs
        contracts = step.market.contracts
        pairs = (
            perp.instruments,
            spot.instruments,
            ratio,
            step.ledger.position,
            step.index,
            contracts.underlying,
            contracts.tick,
            contracts.max_price,
        )
        sent = (step.orders, step.counters, self.latency)
        legs = bind_kernel(
            send_legs,
            *sent,
            members.start,
            step.market.streams.stream_key(f"decide/{self.name}"),
            self._members.reaction_probability,
            self._members.entry_basis[:, 0],
            self.exit_threshold,
            *pairs,
            step.mark,
            step.lot_value,
            step.max_leverage_long,
            *(step.equity[scope.venue, members] for scope in (perp, spot)),
            *(step.free_margin[scope.venue, members] for scope in (perp, spot)),
            self.leverage,
            self.cap,
            self.max_step_share,
        )
        hedges = bind_kernel(send_hedges, *sent, self.count, members.start, *pairs, self.slippage)
        return chain_kernels(legs, hedges)

    def _read_basis(self, observation: Observation, accounts: AccountView) -> BasisState:
        """Return the basis of each pair and the members' positions."""
        perp = self._members.pairs.perp
        index, (view, columns) = perp.index_ticks(observation), perp.view(observation)
        held = accounts.position[:, perp.instruments]
        relative_basis = view.mark[columns] / index - 1
        return BasisState(
            index_ticks=index,
            relative_basis=relative_basis,
            lot=get_lot_values(view, columns),
            highest=view.contracts.max_price[columns],
            held=held,
        )

    def _create_perpetual_orders(
        self, basis: BasisState, reacts: B1, observation: Observation, accounts: AccountView
    ) -> Orders:
        """Return IOC orders that trade against a wide basis or close positions after it narrows."""
        opens, closes = self._find_opening_and_closing(basis, reacts)
        rows, pairs = np.nonzero(opens | closes)
        if not len(rows):
            return Orders.join([])
        limits = self._compute_trade_limits(basis, observation, accounts)
        against, held_side = -np.sign(basis.relative_basis), np.sign(basis.held)
        added, removed = _count_lots(basis, *limits)
        quantity = np.where(opens, added * against, -held_side * removed)
        # side of the index on which the protected basis lies
        premium = np.where(opens, -against, -held_side)
        slip = premium * self.exit_threshold * BASIS_POINT
        limit = compute_limit_prices(basis.index_ticks, slip, basis.highest)
        kind = np.where(opens, IOC, IOC | REDUCE_ONLY)
        legs = Orders.from_columns(
            rows,
            self._members.pairs.perp.instruments[pairs],
            quantity[rows, pairs].astype(np.int64),
            limit[rows, pairs],
            kind[rows, pairs],
        )
        return legs.take(legs.quantity != 0)

    def _find_opening_and_closing(self, basis: BasisState, reacts: B1) -> tuple[B1, B1]:
        """Return the members and pairs (n, m) that open or add, and those that close."""
        against, held_side = -np.sign(basis.relative_basis), np.sign(basis.held)
        size = np.abs(basis.relative_basis)
        opens: B1 = reacts & (size > self._members.entry_basis) & (held_side * against >= 0)
        earned = held_side * against * size
        closes: B1 = reacts & (held_side != 0) & (earned < self.exit_threshold * BASIS_POINT)
        return opens, closes

    def _compute_trade_limits(
        self, basis: BasisState, observation: Observation, accounts: AccountView
    ) -> tuple[F8, F8]:
        """Return the largest trade of a step and the room for additions.

        No position is added while more than one step's trade lacks its hedge, because spot was
        not available.

        Returns:
            Two arrays (n, m), minor units of the numeraire.
        """
        perp, spot, ratio = self._members.pairs
        capital = np.minimum(accounts.equity[:, perp.venue], accounts.equity[:, spot.venue])
        headroom = np.minimum(
            accounts.free_margin[:, perp.venue], accounts.free_margin[:, spot.venue]
        )
        admitted = np.fmin(
            observation.max_leverage[perp.instruments], observation.max_leverage[spot.instruments]
        )
        leverage = np.fmin(self.leverage, self.cap * admitted)
        most = leverage * np.maximum(capital, 0.0)[:, None]
        used = sum_exposures(basis.held, basis.lot)[:, None]
        unhedged = self._members.pairs.unhedged_lots(accounts) * basis.lot
        step = self.max_step_share * most
        room: F8 = np.minimum(most - used, headroom[:, None] * leverage) - unhedged
        return step, np.where(unhedged <= step + basis.lot / ratio, room, 0.0)


def _count_lots(basis: BasisState, step: F8, room: F8) -> tuple[I8, I8]:
    """Return the unsigned lots that a step may add to positions and remove from them, (n, m)."""
    added = count_whole_lots(np.minimum(step, room), basis.lot)
    slices = np.maximum(count_whole_lots(step, basis.lot), 1)
    return added, np.minimum(np.abs(basis.held), slices)
