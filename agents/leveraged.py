"""What all leveraged traders share: they enter, hold and exit (AGT-1)."""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import (
    DAY,
    Population,
    Trader,
    TradingScope,
    compute_event_probability,
    draw_lognormal,
    get_lot_values,
)
from agents.shared.capital import N_CASH_FLOW_DRAWS, CapitalManager, CapitalPolicy
from agents.shared.commitment import has_separate_wallet
from sim.cash_flows import CashFlows
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_int
from sim.types import (
    B1,
    F8,
    I8,
    IOC,
    LEVERAGE_STEP,
    MARKET,
    MISSING,
    REDUCE_ONLY,
    VENUE_MAX_LEVERAGE,
    AccountView,
    MarginAssessment,
    MarketSpec,
    Observation,
    Orders,
)

ENTRY_COLUMN, INSTRUMENT_COLUMN, SIDE_COLUMN, EXIT_COLUMN = range(4)
"""Columns of a step's draws."""


class LeveragedTrader(Trader):
    """A member of a population of traders."""


class LeveragedTraits(NamedTuple):
    """What does not change after the start."""

    scope: TradingScope
    target_leverage: F8  # (n,) leverage wished where the engine admits the reference leverage, or what a type makes it of
    first_entry: I8  # (n,) tick of the first entry, NOBODY = left to the hazard
    entry_probability: float  # probability per step of a flat member
    exit_probability: float  # probability per step of a member who holds


class LeveragedPopulation(Population):
    """Flat members enter one instrument, hold for an exponential time, and leave it whole; a subclass has opinions.

    A position is worth leverage times equity at the venue, with leverage l_i * (L / L_ref) ** elasticity: l_i is
    the member's wish and L the highest leverage the engine admits, so that elasticity 0 ignores the engine and
    elasticity 1 uses every compression in full (AGT-1). Entries are IOC orders with a slippage limit, and leave equity
    for what that limit may cost beside the margin (MAR-1); one that came to nothing is tried again at half the
    size. Exits are protected market orders.

    Where wallets lie apart from margin accounts, an entry also chooses the position's leverage (ISO-1). ``wished``:
    the size over ``cap`` times the equity that slippage leaves, so that about the whole wallet is set aside for the
    position, as it would back it under cross margin; at least one, at most what the engine admits. ``highest``: what
    the engine admits, so that as little as possible is set aside, and the position is soon closed out.
    """

    agent_class: ClassVar[type[Trader]] = LeveragedTrader
    n_trait_draws: ClassVar[int] = 3
    n_decision_draws: ClassVar[int] = 4
    is_hedged: ClassVar[bool] = False
    """Whether a type's positions have their hedges anyway."""

    latency: int = Field(8, ge=0, le=15, description="latency class, lower arrives first (0 to 15)")
    wealth: float = Field(
        10_000.0, gt=0, description="median wealth at the start (units of the numeraire)"
    )
    wealth_sigma: float = Field(1.0, ge=0, description="standard deviation of log wealth (1)")
    instruments: tuple[str, ...] = Field(
        (), description="what they trade; empty = all perpetuals of the venue (names)"
    )
    reference_leverage: float = Field(
        20.0, gt=0, description="engine's highest leverage at that wish (times)"
    )
    elasticity: float = Field(
        0.5, ge=0, le=1, description="response of the wish to the engine's leverage (exponent)"
    )
    cap: float = Field(
        0.9, gt=0, le=1, description="most leverage used, share of the engine's highest (share)"
    )
    position_leverage: Literal["wished", "highest"] = Field(
        "wished",
        description="leverage chosen for an isolated position: of the wish, or the engine's highest (name)",
    )
    slippage: float = Field(
        0.005, ge=0, le=1, description="worst entry accepted, distance from the mark (share)"
    )
    entries: float = Field(1.0, ge=0, description="hazard of entering while flat (per day)")
    hold: float = Field(DAY, gt=0, description="mean time a position is held (seconds)")
    take_profit: float | None = Field(
        None, gt=0, description="gain that closes, share of the entry price (share)"
    )
    stop: float | None = Field(
        None, gt=0, description="loss that closes, share of the entry price (share)"
    )
    stake_stop: float | None = Field(
        None, gt=0, description="loss that closes, share of the equity at entry (share)"
    )
    initially_in: float = Field(
        0.0, ge=0, le=1, description="share of members who enter during the warm-up (share)"
    )
    warm_up: float = Field(3600.0, gt=0, description="time over which they enter (seconds)")
    capital: CapitalPolicy | None = Field(
        None, description="how members manage capital; none = they do not (AGT-7)"
    )

    _members: LeveragedTraits = PrivateAttr()
    _is_waiting: B1 = PrivateAttr()
    _entry_scale: F8 = PrivateAttr()  # (n,) share of the wish that is tried
    _has_tried_entry: B1 = (
        PrivateAttr()
    )  # (n,) whether an entry was sent since the ambition was last looked at
    _last_tick: int = PrivateAttr(MISSING)  # last tick looked at
    _capital_manager: CapitalManager | None = PrivateAttr(None)
    _has_separate_wallet: bool = PrivateAttr(
        False
    )  # whether wallets lie apart from margin accounts

    def start(self, setting: MarketSpec, draws: F8) -> I8:
        """Draw wealth, taste and the time of a first entry; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(setting, self.venue)
        entered = np.minimum(
            draws[:, 2] / max(self.initially_in, 1e-9), 1.0
        )  # 1 for all who do not wait
        first = np.ceil(entered * max(self.warm_up / setting.dt, 1.0))
        self._is_waiting = draws[:, 2] < self.initially_in
        self._has_separate_wallet = has_separate_wallet(setting, venue)
        self._entry_scale, self._has_tried_entry = (
            np.ones(self.count),
            np.zeros(self.count, dtype=np.bool_),
        )
        self._members = LeveragedTraits(
            scope=TradingScope(venue, self.select_instruments(setting, venue, self.instruments)),
            target_leverage=self._target_leverages(draws[:, 1]),
            first_entry=to_exact_int(np.where(self._is_waiting, np.maximum(first, 1), MISSING)),
            entry_probability=compute_event_probability(setting.dt, DAY / self.entries)
            if self.entries
            else 0.0,
            exit_probability=compute_event_probability(setting.dt, self.hold),
        )
        placed = self._place_wealth(
            setting, draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        )
        if self.capital is not None:
            self._capital_manager = self.capital.bind(
                setting, self._members.scope, placed, hedged=self.is_hedged
            )
        return placed

    def _place_wealth(self, setting: MarketSpec, wealth: F8) -> I8:
        """Wealth (n,) in units of the numeraire, at venues: (n, V) minor units."""
        return self.place_wealth(setting, self._members.scope.venue, wealth)

    @abstractmethod
    def _target_leverages(self, draws: F8) -> F8:
        """What ``Members.target_leverage`` holds, from one uniform draw each."""

    @abstractmethod
    def _signals(self, rows: I8, columns: I8, outlook: Observation, draws: F8) -> F8:
        """Leverage that members wish at the reference leverage, + long; nil = they stay out.

        Args:
            rows: (r,) members who may enter.
            columns: (r,) place of the instrument that each may enter in ``Members.scope``.
            outlook: what they see.
            draws: (r,) uniform.
        """

    def _observe_prices(self, outlook: Observation) -> None:
        """Look at prices, once a tick."""

    def _entry_probabilities(self, outlook: Observation) -> F8:
        """Probability that a flat member enters in a step, by instrument it would enter, (m,)."""
        return np.full(len(self._members.scope.instruments), self._members.entry_probability)

    def _affordable_leverage(
        self, rows: I8, chosen: I8, outlook: Observation, accounts: AccountView
    ) -> F8:
        """Highest leverage (r,) that margin and the cost of slippage leave."""
        return 1 / (1 / (self.cap * outlook.max_leverage[chosen]) + self.slippage)

    def _early_exits(self, held: I8, outlook: Observation, accounts: AccountView) -> B1 | None:
        """Who leaves (n,) for a reason of the type's own; ``held`` is (n, m) lots. None = nobody."""
        return None

    @property
    def n_cash_flow_draws(self) -> int:
        """Uniform draws per member and step for payments; nil if nobody manages capital."""
        return 0 if self.capital is None else N_CASH_FLOW_DRAWS

    def request_cash_flows(
        self, outlook: Observation, accounts: AccountView, standing: MarginAssessment, draws: F8
    ) -> CashFlows:
        """What members' capital does; see ``agents.shared.capital``."""
        return (
            CashFlows.join([])
            if self._capital_manager is None
            else self._capital_manager.request_cash_flows(outlook.tick, accounts, standing, draws)
        )

    def decide(self, outlook: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Entries of flat members, exits and trims of the others, at most one order per member and instrument."""
        held = accounts.position[:, self._members.scope.instruments]
        flat = held[:, 0] == 0
        for column in range(1, held.shape[1]):
            flat &= held[:, column] == 0
        if outlook.tick != self._last_tick:
            self._last_tick = outlook.tick
            self._halve_failed_entries(flat)
            self._observe_prices(outlook)
        entries = self._create_entries(flat, outlook, accounts, draws)
        return Orders.join([entries, self._create_exits(flat, outlook, accounts, draws)])

    def _halve_failed_entries(self, flat: B1) -> None:
        """Whoever tried and is still flat tries half as much."""
        less = np.where(self._has_tried_entry, 0.5, 1.0)
        self._entry_scale = np.where(flat, self._entry_scale * less, 1.0)
        self._has_tried_entry = np.zeros(self.count, dtype=np.bool_)

    def _create_entries(
        self, flat: B1, outlook: Observation, accounts: AccountView, draws: F8
    ) -> Orders:
        """IOC orders of flat members in one drawn instrument each: by hazard, or due in the warm-up."""
        venue, instruments = self._members.scope
        hazards = self._entry_probabilities(outlook)
        due = self._find_overdue_entries(flat, outlook.tick)
        rows = np.flatnonzero(flat & ((draws[:, ENTRY_COLUMN] < hazards.max()) | due))
        if not rows.size:
            return Orders.join([])
        columns = (draws[rows, INSTRUMENT_COLUMN] * len(instruments)).astype(np.int64)
        keen = due[rows] | (draws[rows, ENTRY_COLUMN] < hazards[columns])
        opinion = self._signals(rows, columns, outlook, draws[rows, SIDE_COLUMN])
        keen &= opinion != 0
        rows, chosen, opinion = rows[keen], instruments[columns[keen]], opinion[keen]
        self._has_tried_entry[rows] = True
        wish = (
            np.abs(opinion)
            * (outlook.max_leverage[chosen] / self.reference_leverage) ** self.elasticity
        )
        view, columns = outlook.venues[venue], chosen - outlook.first_instrument[venue]
        leverage = (
            np.minimum(wish, self._affordable_leverage(rows, chosen, outlook, accounts))
            * self._entry_scale[rows]
        )
        value, highest = leverage * accounts.equity[rows, venue], view.contracts.max_price[columns]
        lots, limit = order_sizes(
            opinion,
            value,
            get_lot_values(view, columns),
            view.mark[columns],
            highest,
            self.slippage,
        )
        margin = (
            self._choose_leverage(leverage, outlook.max_leverage[chosen])
            if self._has_separate_wallet
            else 0
        )
        return Orders.from_columns(rows, chosen, lots, limit, IOC, leverage=margin).take(lots != 0)

    def _choose_leverage(self, leverage: F8, highest: F8) -> I8:
        """Leverage chosen for positions that are worth so many times equity (r,), hundredths (ISO-1)."""
        if self.position_leverage == "highest":
            return np.full(leverage.size, VENUE_MAX_LEVERAGE)
        with np.errstate(
            divide="ignore", invalid="ignore", over="ignore"
        ):  # a wish may be halved down to zero
            wanted = np.maximum(1 / (self.cap * (1 / leverage - self.slippage)), 1.0)
            lower = (leverage > 0) & (1 / leverage > self.slippage) & (wanted < highest)
        hundredths = np.ceil(np.where(lower, wanted, 1.0) / LEVERAGE_STEP)
        return np.where(
            lower, np.minimum(hundredths, VENUE_MAX_LEVERAGE), VENUE_MAX_LEVERAGE
        ).astype(np.int64)

    def _find_overdue_entries(self, flat: B1, tick: int) -> B1:
        """Who was to enter in the warm-up and has not held a position since."""
        self._is_waiting &= flat
        if not self._is_waiting.any():
            return self._is_waiting
        due: B1 = self._is_waiting & (self._members.first_entry <= tick)
        return due

    def _create_exits(
        self, flat: B1, outlook: Observation, accounts: AccountView, draws: F8
    ) -> Orders:
        """Reduce-only market orders for whole positions, what members trim, and what they hedge with."""
        leaves = self._find_exits(outlook, accounts, draws)
        instruments = self._members.scope.instruments
        if self._capital_manager is not None and self._capital_manager.offsets is not None:
            instruments = self._capital_manager.offsets.closing_instruments
            leaves |= flat
        rows = np.flatnonzero(leaves)
        held = accounts.position[rows[:, None], instruments]
        places, columns = np.nonzero(held)
        rows = rows[places]
        exits = Orders.from_columns(
            rows, instruments[columns], -held[places, columns], 0, MARKET | REDUCE_ONLY
        )
        cares = (
            Orders.join([])
            if self._capital_manager is None
            else self._capital_manager.reaction_orders(outlook)
        )
        return Orders.join([exits, cares.take(~leaves[cares.owner])]) if cares.owner.size else exits

    def _find_exits(self, outlook: Observation, accounts: AccountView, draws: F8) -> B1:
        """Who leaves now (n,): by time, for a reason of the type's own, at take-profit or stop."""
        held = accounts.position[:, self._members.scope.instruments]
        leaves: B1 = draws[:, EXIT_COLUMN] < self._members.exit_probability
        regrets = self._early_exits(held, outlook, accounts)
        if regrets is not None:
            leaves |= regrets
        if self.stake_stop is not None:
            leaves |= self._gain_over_stake(held, outlook, accounts) <= -self.stake_stop
        if self.take_profit is not None or self.stop is not None:
            view, columns = self._members.scope.view(outlook)
            lot = view.mark[columns] * view.contracts.multiplier[columns]
            for column, instrument in enumerate(self._members.scope.instruments):
                leaves |= self._has_hit_exit_level(
                    held[:, column], accounts.entry[:, instrument], float(lot[column])
                )
        return leaves

    def _gain_over_stake(self, held: I8, outlook: Observation, accounts: AccountView) -> F8:
        """What positions have gained (n,), share of the equity without that gain; minus infinity if there is none."""
        view, columns = self._members.scope.view(outlook)
        paid = (
            accounts.entry[:, self._members.scope.instruments]
            * view.price[view.contracts.settle[columns]]
        )
        gain: F8 = (held * get_lot_values(view, columns) - paid).sum(axis=1)
        stake = accounts.equity[:, self._members.scope.venue] - gain
        return np.divide(gain, stake, out=np.where(gain < 0, -np.inf, 0.0), where=stake > 0)

    def _has_hit_exit_level(self, held: I8, paid: I8, lot: float) -> B1:
        """Whose position of an instrument is beyond take-profit or stop; ``paid`` is its value at entry."""
        then = paid.astype(np.float64)
        gain = np.divide(held * lot, then, out=np.ones_like(then), where=then != 0) - 1
        gain *= np.sign(held)
        beyond: B1 = gain >= (np.inf if self.take_profit is None else self.take_profit)
        beyond |= gain <= (-np.inf if self.stop is None else -self.stop)
        return beyond


@kernel
def order_sizes(
    opinion: F8, value: F8, lot: F8, mark: F8, highest: I8, slippage: float
) -> tuple[I8, I8]:
    """Signed whole lots that values buy (``whole_lots``), and the worst prices accepted, (r,)."""
    lots, limit = np.zeros(value.size, dtype=np.int64), np.empty(value.size, dtype=np.int64)
    for i in range(value.size):
        side = np.sign(opinion[i])
        if np.isfinite(value[i]) and value[i] > 0 and lot[i] > 0:
            lots[i] = np.int64(side) * np.int64(min(value[i] / lot[i], 2.0**53))
        limit[i] = np.int64(min(max(np.rint(mark[i] * (1 + side * slippage)), 1), highest[i]))
    return lots, limit


class LognormalLeverage(LeveragedPopulation):
    """Traders who wish a leverage of their own, lognormal over the members."""

    leverage: float = Field(
        5.0, gt=0, description="median leverage wished at the reference leverage (times equity)"
    )
    leverage_sigma: float = Field(0.6, ge=0, description="standard deviation of log leverage (1)")

    def _target_leverages(self, draws: F8) -> F8:
        return draw_lognormal(draws, self.leverage, self.leverage_sigma)
