"""Ladders of market makers about oracle and basis, which shrink when capital is short (AGT-2)."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Population, Trader, TradingScope, draw_lognormal, get_lot_values
from agents.compiled import ladders as compiled
from agents.compiled.ladders import QuoteArrays
from agents.compiled.leveraged import list_responses
from agents.shared.commitment import WalletCommitment
from agents.shared.ladder_orders import (
    Ladder,
    LadderQuotes,
    build_orders,
    compute_side_depths,
    thin_by_volatility,
)
from agents.shared.maker_book import BookCorrelations, MakerBook
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, chain_kernels
from sim.numerics.rounding import to_exact_int
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import (
    B1,
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

    inventory: F8  # (r, m) that shifts prices, share of the largest position; see ``book``
    vol: F8  # (m,) annualised volatility of the oracle
    sqrt_years: F8  # (m,) square root of the time between ladders in years
    spread_factor: F8  # (r, 1) factor of the spread
    seconds_per_year: F8 | float = YEAR_SECONDS  # (m,) seconds of the run's clock in a year


class LadderMakers(Population):
    """Base of makers who quote ladders whose cumulative depth grows as distance ** ``growth``.

    The levels of a ladder have geometric spacing. The fair price is oracle * (1 + weighted moving
    average of the basis). A subclass defines in ``compute_quote_offsets`` how far inventory
    shifts the fair price and how far from it the innermost quotes stand. A ladder shrinks with
    volatility and with the depth share of the observation. With ``withdraw`` it also shrinks with
    the headroom left, so that a shortage of capital reduces liquidity. The side that reduces
    inventory keeps quoting up to the inventory. Without ``withdraw``, ladder and inventory are
    measured against the wealth at the start, whatever the losses since.

    All instruments of a venue are quoted from one capital: equity and headroom there are those of
    the member, and a loss in one instrument thins the ladders of all. With ``book`` inventory
    links them, too. Each ladder grows with the leverage that the engine admits for its
    instrument, to the power of ``depth_elasticity``, because the same capital carries more quotes.
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
    book: MakerBook | None = Field(
        None, description="how inventory links the instruments, none = it does not (AGT-2)"
    )
    reference_leverage: float = Field(
        20.0, gt=0, description="engine's highest leverage at which depth applies (times)"
    )
    depth_elasticity: float = Field(
        0.0, ge=0, le=4, description="response of depth to the engine's leverage (exponent)"
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
    _basis_tick: I8 = PrivateAttr()  # (1,) tick of its last update
    _correlations: BookCorrelations | None = PrivateAttr(None)

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
        self._basis_average, self._basis_tick = np.zeros(len(listed)), np.full(1, MISSING)
        self._commitment = WalletCommitment.from_instruments(spec, venue, listed)
        self._correlations = None if self.book is None else self.book.start(spec, scope)
        return wealth

    def adopt_wealth(self, members: B1, wealth: I8) -> None:
        """Take over given wealth; see ``sim.protocols.PopulationProtocol``."""
        self._members.wealth[members] = wealth[members, self._members.scope.venue]

    def _draw_traits(
        self, spec: MarketSpec, scope: TradingScope, wealth: F8, draws: F8
    ) -> MakerTraits:
        """Return the traits of members, from five uniform draws of each."""
        varied = (1 + self.heterogeneity * (2 * draws[:, :4] - 1)).T.copy()
        bias, spread, depth, pace = varied
        period = to_exact_int(np.maximum(np.rint(self.refresh_time / spec.dt * pace), 1))
        year = spec.find_seconds_per_year(scope.instruments)
        return MakerTraits(
            scope=scope,
            price_bias=bias - 1,
            spread_factor=spread,
            depth_factor=depth,
            wealth=np.ascontiguousarray(wealth),
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
        return build_orders(quotes, own.ladder, view.contracts.max_price[columns])

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return self._members.ladder.owner.size

    def allocate_quotes(self) -> QuoteArrays:
        """Return arrays of quotes for the kernels of the members."""
        instruments = self._members.scope.instruments.size
        return QuoteArrays.allocate(self.count, instruments, is_linked=self.book is not None)

    def bind_ladders(
        self, step: StepArrays, members: slice, quotes: QuoteArrays, offsets: BoundKernel
    ) -> BoundKernel:
        """Return the kernel of ``decide``, for a subclass's kernel of its offsets.

        Args:
            step: arrays of the market.
            members: owners of the population.
            quotes: arrays that the kernels share, from ``allocate_quotes``.
            offsets: kernel that writes the offsets of ``compute_quote_offsets``.
        """
        own = self._members
        capital = step.equity[own.scope.venue, members] if self.is_capital_limited else own.wealth
        prepare = self._bind_preparation(step, members.start, capital, quotes)
        links = []
        if self.book is not None and self._correlations is not None:
            links = self.book.bind_links(self._correlations, step, own.scope, quotes)
        send = self._bind_sending(step, members, capital, quotes)
        return chain_kernels(prepare, *links, offsets, send)

    def _bind_preparation(
        self, step: StepArrays, first: int, capital: F8, quotes: QuoteArrays
    ) -> BoundKernel:
        """Return the kernel that finds the members due to quote and their inventories."""
        own, contracts = self._members, step.market.contracts
        return bind_kernel(
            compiled.prepare_quotes,
            own.period,
            own.phase,
            own.scope.instruments,
            step.mark,
            step.oracle[own.scope.venue],
            contracts.underlying,
            contracts.tick,
            step.volatility,
            step.lot_value,
            self._basis_tick,
            own.basis_update_weight,
            self._basis_average,
            self.basis_weight,
            step.ledger.position,
            first,
            capital,
            self.max_inventory,
            *quotes[:5],
        )

    def _bind_sending(
        self, step: StepArrays, members: slice, capital: F8, quotes: QuoteArrays
    ) -> BoundKernel:
        """Return the kernel that sends the ladders of the members due to quote."""
        own, contracts = self._members, step.market.contracts
        return bind_kernel(
            compiled.send_ladders,
            step.orders,
            step.counters,
            POST_ONLY if self.post_only else LIMIT,
            self.latency,
            own.scope.instruments,
            contracts.max_price,
            step.lot_value,
            step.ledger.position,
            members.start,
            capital,
            step.free_margin[own.scope.venue, members],
            self.target_free_margin if self.is_capital_limited else np.inf,
            own.price_bias,
            own.depth_factor,
            step.market.exogenous_path.depth_share,
            self.depth / len(own.scope.instruments),
            self.calm_volatility,
            self.volatility_exponent,
            own.ladder.distance,
            own.ladder.share,
            step.max_leverage_long,
            self.reference_leverage,
            self.depth_elasticity,
            *quotes,
            *np.zeros((2, self.levels), dtype=np.int64),
        )

    def _update_basis_average(self, tick: int, basis: F8) -> F8:
        """Return the moving average of the basis, updated once a tick where the basis is finite."""
        weight = self._members.basis_update_weight
        compiled.track_basis(tick, self._basis_tick, basis, weight, self._basis_average)
        return self._basis_average

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
        lean, elsewhere = self._link_inventories(observation, vol, filled)
        context = QuoteContext(
            inventory=lean,
            vol=vol,
            sqrt_years=own.sqrt_years,
            spread_factor=own.spread_factor[rows][:, None],
            seconds_per_year=own.seconds_per_year,
        )
        shift, half = self.compute_quote_offsets(context)
        shifted = fair * (1 + (own.price_bias[rows][:, None] * half + shift))
        headroom = accounts.free_margin[rows, own.scope.venue][:, None]
        capital = self._compute_capital_share(headroom, equity)
        whole = self._compute_full_depth(rows, equity, observation)
        depth = compute_side_depths(whole, capital, filled, elsewhere, held)
        return LadderQuotes(rows, shifted, half, depth)

    def _link_inventories(self, observation: Observation, vol: F8, filled: F8) -> tuple[F8, F8]:
        """Return inventories that shift prices, and inventories elsewhere that use up the limit.

        Both are (r, m) shares of the largest position, as ``filled`` is.
        """
        if self.book is None or self._correlations is None:
            return filled, np.zeros_like(filled)
        self.book.observe(self._correlations, self._members.scope, observation)
        return self.book.link(self._correlations, vol, filled)

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

    def _compute_full_depth(self, rows: I8, equity: F8, observation: Observation) -> F8:
        """Return the lots of one side when neither capital nor inventory binds, (r, m)."""
        own = self._members
        view, columns = own.scope.view(observation)
        lot, vol = get_lot_values(view, columns), view.vol[columns]
        notional = self.depth / len(lot) * (equity * own.depth_factor[rows][:, None])
        whole = thin_by_volatility(
            notional, lot, vol, self.calm_volatility, self.volatility_exponent
        )
        admitted = observation.max_leverage[own.scope.instruments]
        response = list_responses(admitted, self.reference_leverage, self.depth_elasticity)
        return whole * observation.depth_share * response

    def _compute_capital_share(self, headroom: F8, equity: F8) -> F8:
        """Return the share of a ladder that capital allows, 1 if makers never withdraw."""
        if not self.is_capital_limited:
            return np.ones_like(equity)
        target = self.target_free_margin * equity
        allowed = np.divide(headroom, target, out=np.zeros_like(equity), where=target > 0)
        return np.minimum(np.maximum(allowed, 0.0), 1.0)
