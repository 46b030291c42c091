"""Ladders of market makers about oracle and basis, which shrink when capital is short (AGT-2)."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, Trader, TradingScope, draw_lognormal, get_lot_values
from agents.shared.commitment import WalletCommitment
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_int
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import (
    F8,
    I8,
    LIMIT,
    MISSING,
    POST_ONLY,
    AccountView,
    MarketSpec,
    Observation,
    Orders,
)


class MarketMaker(Trader):
    """A member of a population of market makers."""


class Ladder(NamedTuple):
    """Shape of all ladders, from the inside out, and the columns that identify their orders."""

    distance: F8  # (levels,) from the fair price, in innermost distances
    share: F8  # (levels + 1,) cumulative share of the depth, from zero
    owner: I8  # (n, m * 2 * levels), as the next three, by instrument, side and level
    instrument: I8
    kind: I8
    slot: I8


class MakerTraits(NamedTuple):
    """Traits of the members, constant after the start."""

    scope: TradingScope
    price_bias: F8  # (n,) private price view, innermost distances above the fair price
    spread_factor: F8  # (n,) factor of the spread
    depth_factor: F8  # (n,) factor of the depth
    wealth: F8  # (n,) minor units of the numeraire, at the start
    period: I8  # (n,) steps between ladders
    phase: I8  # (n,) steps
    sqrt_years: F8  # (m,) square root of the time between ladders in years
    seconds_per_year: F8  # (m,) seconds of the run's clock in a year
    basis_update_weight: float  # weight of the newest basis in its moving average
    ladder: Ladder


class QuoteContext(NamedTuple):
    """Inputs of the quotes, r members and m instruments."""

    inventory: F8  # (r, m) share of the largest position ``inventory``, -1 to 1
    vol: F8  # (m,) annualised volatility of the oracle
    sqrt_years: F8  # (m,) square root of the time between ladders in years
    spread_factor: F8  # (r, 1) factor of the spread
    seconds_per_year: F8 | float = YEAR_SECONDS  # (m,) seconds of the run's clock in a year


class LadderQuotes(NamedTuple):
    """Ladders of some members, r members and m instruments."""

    rows: I8  # (r,) members
    fair: F8  # (r, m) ticks
    half: F8  # (r, m) innermost distance, share of the fair price
    depth: F8  # (r, m, 2) lots of each side, all levels


class LadderMakers(Population):
    """Base of makers who quote ladders whose cumulative depth grows as distance ** ``growth``.

    The levels of a ladder have geometric spacing. The fair price is oracle * (1 + weighted moving
    average of the basis). A subclass defines in ``compute_quote_offsets`` how far inventory
    shifts the fair price and how far from it the innermost quotes stand. A ladder shrinks with
    volatility and with the depth share of the observation. With ``withdraw`` it also shrinks with
    the headroom left, so that a shortage of capital reduces liquidity. The side that reduces
    inventory keeps quoting up to the inventory. Without ``withdraw``, ladder and inventory are
    measured against the wealth at the start, whatever the losses since.
    """

    agent_class: ClassVar[type[Trader]] = MarketMaker
    n_trait_draws: ClassVar[int] = 6
    n_decision_draws: ClassVar[int] = 0

    latency: int = Field(4, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        1_000_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(0.5, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field(
        (), description="instruments they quote; empty = all perpetuals of the venue (names)"
    )
    levels: int = Field(10, ge=1, le=64, description="prices quoted on each side (levels)")
    price_range: float = Field(100.0, ge=1, description="outermost distance over innermost (times)")
    depth_exponent: float = Field(
        0.67, gt=0, le=2, description="cumulative depth grows as distance to this power (exponent)"
    )
    depth: float = Field(
        1.0, gt=0, description="notional of one side over all instruments (times equity)"
    )
    calm_volatility: float = Field(
        0.6, gt=0, description="volatility up to which a ladder is whole (annualised, share)"
    )
    volatility_exponent: float = Field(
        1.0, ge=0, description="depth falls as (calm / volatility) to this power (exponent)"
    )
    max_inventory: float = Field(
        2.0, gt=0, description="position at which a side stops adding (times equity)"
    )
    is_capital_limited: bool = Field(
        True, description="whether ladders shrink when capital is short (yes or no)"
    )
    target_free_margin: float = Field(
        0.3, gt=0, le=1, description="headroom below which ladders shrink (share of equity)"
    )
    basis_half_life: float = Field(
        1800.0, gt=0, description="half-life of the basis' moving average (seconds)"
    )
    basis_weight: float = Field(
        0.8, ge=0, le=1, description="share of that average in the fair price (share)"
    )
    refresh_time: float = Field(
        0.0, ge=0, description="mean time between ladders, 0 = every step (seconds)"
    )
    heterogeneity: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="spread of members' price view, spread, depth and pace about 1 (share)",
    )
    post_only: bool = Field(
        True, description="whether quotes refuse to trade on arrival (yes or no)"
    )

    _members: MakerTraits = PrivateAttr()
    _basis_average: F8 = PrivateAttr()  # (m,) share
    _basis_tick: int = PrivateAttr(MISSING)  # tick of its last update

    @abstractmethod
    def compute_quote_offsets(self, context: QuoteContext) -> tuple[F8, F8]:
        """Return the shift of the fair price and the innermost distance from it.

        Both are (r, m) shares of the price.
        """

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw wealth and traits; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        listed = self.select_instruments(spec, venue, self.instruments)
        drawn = draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        wealth = self.place_wealth(spec, venue, drawn)
        scope = TradingScope(venue, listed)
        self._members = self._draw_traits(
            spec, scope, wealth[:, venue].astype(np.float64), draws[:, 1:6]
        )
        self._basis_average = np.zeros(len(listed))
        self._commitment = WalletCommitment.from_instruments(spec, venue, listed)
        return wealth

    def _draw_traits(
        self, spec: MarketSpec, scope: TradingScope, wealth: F8, draws: F8
    ) -> MakerTraits:
        """Return the traits of members, from five uniform draws of each."""
        varied = 1 + self.heterogeneity * (2 * draws[:, :4] - 1)
        period = to_exact_int(np.maximum(np.rint(self.refresh_time / spec.dt * varied[:, 3]), 1))
        year = spec.find_seconds_per_year(scope.instruments)
        return MakerTraits(
            scope=scope,
            price_bias=varied[:, 0] - 1,
            spread_factor=varied[:, 1],
            depth_factor=varied[:, 2],
            wealth=wealth,
            period=period,
            phase=(draws[:, 4] * period).astype(np.int64),
            sqrt_years=np.sqrt(max(spec.dt, self.refresh_time) / year),
            seconds_per_year=year,
            basis_update_weight=float(1 - 0.5 ** (spec.dt / self.basis_half_life)),
            ladder=self._build_ladder(scope.instruments),
        )

    def _build_ladder(self, instruments: I8) -> Ladder:
        """Return the shape of the ladders and the columns of all members' orders."""
        distance = np.geomspace(1.0, self.price_range, self.levels)
        share = np.concatenate([[0.0], (distance / distance[-1]) ** self.depth_exponent])
        slots = np.arange(2 * self.levels)
        columns = (
            np.arange(self.count)[:, None],
            np.repeat(instruments, len(slots)),
            np.tile(slots, len(instruments)),
        )
        owner, instrument, slot = np.broadcast_arrays(*columns)
        kind = np.full_like(slot, POST_ONLY if self.post_only else LIMIT)
        return Ladder(distance, share, owner, instrument, kind, slot)

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return whole ladders of the members due to quote.

        Slots are fixed, so that a ladder replaces the member's last one.
        """
        own = self._members
        view, columns = own.scope.view(observation)
        oracle = view.oracle[view.contracts.underlying[columns]] / view.contracts.tick[columns]
        basis = view.mark[columns] / oracle - 1
        average = self._update_basis_average(observation.tick, basis)
        fair = oracle * (1 + self.basis_weight * average)
        rows = np.flatnonzero((observation.tick + own.phase) % own.period == 0)
        quotes = self._quote_ladders(rows, fair, observation, accounts)
        return _build_orders(quotes, own.ladder, view.contracts.max_price[columns])

    def _update_basis_average(self, tick: int, basis: F8) -> F8:
        """Return the moving average of the basis, updated once a tick where the basis is finite."""
        average = self._basis_average
        if tick != self._basis_tick:
            average = average + self._members.basis_update_weight * np.where(
                np.isfinite(basis), basis - average, 0.0
            )
            self._basis_average, self._basis_tick = average, tick
        return average

    def _quote_ladders(
        self, rows: I8, fair: F8, observation: Observation, accounts: AccountView
    ) -> LadderQuotes:
        """Return shifted fair prices, half-spreads and depths of the members ``rows``."""
        own = self._members
        view, columns = own.scope.view(observation)
        lot, vol = get_lot_values(view, columns), view.vol[columns]
        equity = self._select_capital(accounts)[rows, None]
        held = accounts.position[rows[:, None], own.scope.instruments]
        filled = self._compute_inventory_share(held, lot, equity)
        context = QuoteContext(
            inventory=filled,
            vol=vol,
            sqrt_years=own.sqrt_years,
            spread_factor=own.spread_factor[rows][:, None],
            seconds_per_year=own.seconds_per_year,
        )
        shift, half = self.compute_quote_offsets(context)
        shifted = fair * (1 + (own.price_bias[rows][:, None] * half + shift))
        full = self._compute_full_depth(equity * own.depth_factor[rows][:, None], lot, vol)
        headroom = accounts.free_margin[rows, own.scope.venue][:, None]
        capital = self._compute_capital_share(headroom, equity)
        depth = _compute_side_lots(full * observation.depth_share, capital, filled, held)
        return LadderQuotes(rows, shifted, half, depth)

    def _select_capital(self, accounts: AccountView) -> F8:
        """Return the capital (n,) that ladders are measured against, minor units."""
        own = self._members
        return np.maximum(
            accounts.equity[:, own.scope.venue] if self.is_capital_limited else own.wealth, 0.0
        )

    def _compute_inventory_share(self, held: I8, lot: F8, equity: F8) -> F8:
        """Return the inventory as a share of the largest position, (r, m), -1 to 1."""
        most = self.max_inventory * equity
        filled = np.divide(held * lot, most, out=np.sign(held).astype(np.float64), where=most > 0)
        return np.minimum(np.maximum(filled, -1.0), 1.0)

    def _compute_full_depth(self, equity: F8, lot: F8, vol: F8) -> F8:
        """Return the lots of one side when neither capital nor inventory binds, (r, m)."""
        notional = self.depth / len(lot) * equity
        lots: F8 = np.divide(notional, lot, out=np.zeros((len(equity), len(lot))), where=lot > 0)
        return (
            lots
            * (self.calm_volatility / np.fmax(vol, self.calm_volatility))
            ** self.volatility_exponent
        )

    def _compute_capital_share(self, headroom: F8, equity: F8) -> F8:
        """Return the share of a ladder that capital allows, 1 if makers never withdraw."""
        if not self.is_capital_limited:
            return np.ones_like(equity)
        target = self.target_free_margin * equity
        allowed = np.divide(headroom, target, out=np.zeros_like(equity), where=target > 0)
        return np.minimum(np.maximum(allowed, 0.0), 1.0)


@kernel
def _compute_side_lots(whole: F8, capital: F8, filled: F8, held: I8) -> F8:
    """Return the lots bid and offered at inventory ``held``, (r, m, 2).

    Room and capital limit the side that adds to inventory. The side that reduces it is quoted
    whatever the capital.
    """
    members, instruments = held.shape
    lots = np.empty((members, instruments, 2))
    for r in range(members):
        for m in range(instruments):
            for side in range(2):
                turn = 1 - 2 * side
                adding = whole[r, m] * capital[r, 0] * (1 - np.maximum(turn * filled[r, m], 0.0))
                reducing = np.minimum(whole[r, m], max(-turn * held[r, m], 0))
                lots[r, m, side] = np.maximum(adding, reducing)
    return lots


def _build_orders(quotes: LadderQuotes, ladder: Ladder, highest: I8) -> Orders:
    """Return one order per member, instrument, side and level; zero lots cancel the slot."""
    quantity, limit = _compute_levels(
        quotes.fair, quotes.half, quotes.depth, ladder.distance, ladder.share, highest
    )
    owner, instrument, kind, slot = (column[quotes.rows].reshape(-1) for column in ladder[2:])
    return Orders(
        owner, instrument, quantity.reshape(-1), limit.reshape(-1), kind, slot
    ).fill_leverage()


@kernel
def _compute_levels(
    fair: F8, half: F8, depth: F8, distance: F8, share: F8, highest: I8
) -> tuple[I8, I8]:
    """Return signed lots and limits, (r, m, 2, levels).

    Bids round down and offers round up. Prices outside the admissible range are not quoted.
    """
    members, instruments, sides = depth.shape
    quantity = np.zeros((members, instruments, sides, distance.size), dtype=np.int64)
    limit = np.ones_like(quantity)
    for r in range(members):
        for m in range(instruments):
            for side in range(sides):
                turn, before = 1.0 - 2.0 * side, np.floor(depth[r, m, side] * share[0])
                for level in range(distance.size):
                    price = turn * np.floor(
                        turn * (fair[r, m] * (1 - turn * (half[r, m] * distance[level])))
                    )
                    filled = np.floor(depth[r, m, side] * share[level + 1])
                    lots, before = filled - before, filled
                    if 1 <= price <= highest[m] and np.isfinite(lots):
                        quantity[r, m, side, level] = np.int64(turn * lots)
                        limit[r, m, side, level] = np.int64(price)
    return quantity, limit
