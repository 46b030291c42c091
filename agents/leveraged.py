"""Base of leveraged traders: entries, holding times and exits (AGT-1)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import (
    DAY,
    Trader,
    TradingScope,
    compute_event_probability,
    draw_lognormal,
    get_lot_values,
)
from agents.compiled.capital import N_CASH_FLOW_DRAWS
from agents.compiled.leveraged import (
    HIGHEST,
    NO_CHOICE,
    WISHED,
    list_position_leverages,
    list_responses,
)
from agents.shared.capital import CapitalManager
from agents.shared.commitment import has_separate_wallet
from agents.shared.entry_exit import find_level_exits, measure_stake_gains, order_sizes
from agents.shared.leveraged_binding import (
    EntryRule,
    EntryState,
    ExitRule,
    LeveragedBinding,
    LeveragedTraits,
)
from agents.shared.leveraged_settings import LeveragedSettings
from agents.shared.participation import Participation
from sim.cash_flows import CashFlows
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, chain_kernels
from sim.types import (
    B1,
    F8,
    I8,
    IOC,
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
    """A member of a population of leveraged traders."""


class LeveragedPopulation(LeveragedSettings):
    """Members who enter one instrument, hold it for an exponential time and close it in full.

    A subclass supplies the signals. A position has the value leverage times equity at the venue.
    The leverage is l_i * (L / L_ref) ** elasticity, with the member's desired leverage l_i and
    the highest leverage L that the engine admits. So elasticity 0 ignores the engine, and
    elasticity 1 uses every compression in full (AGT-1). Entries are IOC orders with a slippage
    limit. They leave equity for the cost of that limit beside the margin (MAR-1). An entry
    without a fill is repeated at half the size. Exits are protected market orders. Hazards of
    entry and exit respond to the margin of a small position (``agents.shared.participation``).

    Where wallets and margin accounts are separate, an entry also chooses the leverage of the
    position (ISO-1). ``wished`` is the size over ``cap`` times the equity that slippage leaves,
    at least one and at most what the engine admits. It sets about the whole wallet aside for the
    position, as under cross margin. ``highest`` is what the engine admits. It sets as little as
    possible aside, so that the position is soon closed out.
    """

    agent_class: ClassVar[type[Trader]] = LeveragedTrader
    n_trait_draws: ClassVar[int] = 3
    n_decision_draws: ClassVar[int] = 4
    is_hedged: ClassVar[bool] = False
    """True if the type hedges its positions by its own rule."""

    _members: LeveragedTraits = PrivateAttr()
    _entries: EntryState = PrivateAttr()
    _participation: Participation = PrivateAttr()
    _last_tick: int = PrivateAttr(MISSING)  # tick of the last decision
    _capital_manager: CapitalManager | None = PrivateAttr(None)
    _has_separate_wallet: bool = PrivateAttr(False)  # from margin accounts

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw wealth, leverage and first entry; see ``sim.protocols.PopulationProtocol``."""
        venue = self.find_venue(spec, self.venue)
        self._has_separate_wallet = has_separate_wallet(spec, venue)
        self._members = LeveragedTraits(
            scope=TradingScope(venue, self.select_instruments(spec, venue, self.instruments)),
            target_leverage=self._target_leverages(draws[:, 1]),
            entry_probability=compute_event_probability(spec.dt, DAY / self.entries_per_day)
            if self.entries_per_day
            else 0.0,
            exit_probability=compute_event_probability(spec.dt, self.holding_time),
        )
        instruments = self._members.scope.instruments
        self._participation = Participation.begin(self, spec.dt, instruments, draws[:, 2])
        self._entries = self._participation.start_entries()
        placed = self._place_wealth(
            spec, draw_lognormal(draws[:, 0], self.wealth, self.wealth_sigma)
        )
        if self.capital is not None:
            self._capital_manager = self.capital.bind(
                spec, self._members.scope, placed, hedged=self.is_hedged
            )
        return placed

    def adopt_wealth(self, members: B1, wealth: I8) -> None:
        """Take over given wealth; see ``sim.protocols.PopulationProtocol``."""
        if self._capital_manager is not None:
            self._capital_manager.adopt_wealth(members, wealth)

    def _place_wealth(self, spec: MarketSpec, wealth: F8) -> I8:
        """Return the wealth (n,), units of the numeraire, by venue: (n, V) minor units."""
        return self.place_wealth(spec, self._members.scope.venue, wealth)

    @abstractmethod
    def _target_leverages(self, draws: F8) -> F8:
        """Return ``LeveragedTraits.target_leverage`` from one uniform draw of each member."""

    @abstractmethod
    def _signals(self, rows: I8, columns: I8, observation: Observation, draws: F8) -> F8:
        """Return the leverage desired at the reference leverage, + long; zero = no entry.

        Args:
            rows: (r,) members who may enter.
            columns: (r,) index in ``LeveragedTraits.scope`` of the instrument each may enter.
            observation: market data that agents see.
            draws: (r,) uniform.
        """

    def _observe_prices(self, observation: Observation) -> None:
        """Update indicators from prices, once a tick."""

    def _entry_probabilities(self, observation: Observation) -> F8:
        """Return the probability per step that a flat member enters each instrument, (m,)."""
        return np.full(len(self._members.scope.instruments), self._members.entry_probability)

    def _affordable_leverage(
        self, rows: I8, chosen: I8, observation: Observation, accounts: AccountView
    ) -> F8:
        """Return the highest leverage (r,) that margin and the cost of slippage leave."""
        return 1 / (1 / (self.cap * observation.max_leverage[chosen]) + self.slippage)

    def _early_exits(self, held: I8, observation: Observation, accounts: AccountView) -> B1 | None:
        """Return the members (n,) who exit by a rule of the type; ``held`` is (n, m) lots.

        None means that the type has no such rule.
        """
        return None

    @property
    def n_cash_flow_draws(self) -> int:
        """Number of uniform draws per member and step for payments; zero without ``capital``."""
        return 0 if self.capital is None else N_CASH_FLOW_DRAWS

    def request_cash_flows(
        self,
        observation: Observation,
        accounts: AccountView,
        assessment: MarginAssessment,
        draws: F8,
    ) -> CashFlows:
        """Return the payments of members' capital management; see ``agents.shared.capital``."""
        manager = self._capital_manager
        if manager is None:
            return CashFlows.join([])
        requested = manager.request_cash_flows(observation.tick, accounts, assessment, draws)
        if manager.take_back is None:
            return requested
        taken_back = manager.take_back.request(observation, accounts, assessment, draws)
        return CashFlows.join([requested, taken_back])

    def bind_cash_flows(self, step: StepArrays, members: slice) -> BoundKernel | None:
        """See :class:`sim.compiled.components.CompiledCashFlows`."""
        manager = self._capital_manager
        return None if manager is None else manager.bind_cash_flows(step, members, self.name)

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return entries of flat members, and exits and reductions of the others.

        There is at most one order per member and instrument.
        """
        held = accounts.position[:, self._members.scope.instruments]
        flat = held[:, 0] == 0
        for column in range(1, held.shape[1]):
            flat &= held[:, column] == 0
        if observation.tick != self._last_tick:
            self._last_tick = observation.tick
            self._participation.plan(self._entries, observation)
            self._halve_failed_entries(flat)
            self._observe_prices(observation)
        entries = self._create_entries(flat, observation, accounts, draws)
        return Orders.join([entries, self._create_exits(flat, observation, accounts, draws)])

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        manager, traded = self._capital_manager, self._members.scope.instruments
        if manager is not None and manager.offsets is not None:
            traded = manager.offsets.closing_instruments
        return self.count * (1 + traded.size)

    def _bind_members(
        self,
        binding: LeveragedBinding,
        *,
        prices: Sequence[BoundKernel] = (),
        signals: Sequence[BoundKernel],
        exits: Sequence[BoundKernel] = (),
    ) -> BoundKernel:
        """Return the kernel of one step's decisions, in the order of ``decide``.

        Args:
            binding: arrays of the market and of the population.
            prices: kernels that do what ``_observe_prices`` and ``_entry_probabilities`` do.
            signals: kernels that do what ``_signals`` and ``_affordable_leverage`` do.
            exits: kernels that do what ``_early_exits`` does.
        """
        entry = EntryRule(
            self.reference_leverage,
            self.elasticity,
            self.cap,
            self.slippage,
            self._position_choice() if self._has_separate_wallet else NO_CHOICE,
        )
        leave = ExitRule(
            self._members.exit_probability, self.take_profit, self.stop_loss, self.equity_stop_loss
        )
        return chain_kernels(
            *prices,
            *self._participation.bind_draws(binding, self.name, self._entries, leave),
            *signals,
            binding.send_entries(entry, self._entries),
            *exits,
            *binding.find_exits(leave),
            *binding.send_exits(self._capital_manager),
        )

    def _halve_failed_entries(self, flat: B1) -> None:
        """Halve the order size of members whose last entry did not fill."""
        _, _, scale, has_tried = self._entries
        scale[:] = np.where(flat, scale * np.where(has_tried, 0.5, 1.0), 1.0)
        has_tried[:] = False

    def _create_entries(
        self, flat: B1, observation: Observation, accounts: AccountView, draws: F8
    ) -> Orders:
        """Return IOC orders of flat members who enter, in one drawn instrument each."""
        entries = self._draw_entries(flat, observation, draws)
        if entries is None:
            return Orders.join([])
        rows, chosen, signal = entries
        self._entries.has_tried[rows] = True
        admitted = observation.max_leverage[chosen]
        response = list_responses(admitted, self.reference_leverage, self.elasticity)
        desired = np.abs(signal) * response
        affordable = self._affordable_leverage(rows, chosen, observation, accounts)
        leverage = np.minimum(desired, affordable) * self._entries.scale[rows]
        venue = self._members.scope.venue
        view, columns = observation.venues[venue], chosen - observation.first_instrument[venue]
        lots, limit = order_sizes(
            signal,
            leverage * accounts.equity[rows, venue],
            get_lot_values(view, columns),
            view.mark[columns],
            view.contracts.max_price[columns],
            self.slippage,
        )
        chosen_leverage: I8 | int = 0
        if self._has_separate_wallet:
            chosen_leverage = self._choose_leverage(leverage, admitted)
        orders = Orders.from_columns(rows, chosen, lots, limit, IOC, leverage=chosen_leverage)
        return orders.take(lots != 0)

    def _draw_entries(
        self, flat: B1, observation: Observation, draws: F8
    ) -> tuple[I8, I8, F8] | None:
        """Return members who enter, by hazard or in the warm-up, with instruments and signals.

        None if the draws of no member lead to an entry.
        """
        instruments = self._members.scope.instruments
        hazards = self._participation.respond(self._entry_probabilities(observation), observation)
        due = self._find_overdue_entries(flat, observation.tick)
        rows = np.flatnonzero(flat & ((draws[:, ENTRY_COLUMN] < hazards.max()) | due))
        if not rows.size:
            return None
        columns = (draws[rows, INSTRUMENT_COLUMN] * len(instruments)).astype(np.int64)
        enters = due[rows] | (draws[rows, ENTRY_COLUMN] < hazards[columns])
        signal = self._signals(rows, columns, observation, draws[rows, SIDE_COLUMN])
        enters &= signal != 0
        return rows[enters], instruments[columns[enters]], signal[enters]

    def _choose_leverage(self, leverage: F8, highest: F8) -> I8:
        """Return the leverage chosen for positions (ISO-1).

        Args:
            leverage: (r,) values of the positions, times equity.
            highest: (r,) highest leverage that the engine admits.

        Returns:
            (r,) hundredths.
        """
        if self._position_choice() == HIGHEST:
            return np.full(leverage.size, VENUE_MAX_LEVERAGE)
        return list_position_leverages(leverage, highest, self.cap, self.slippage)

    def _position_choice(self) -> int:
        """Return which leverage an entry chooses where wallets are separate."""
        return HIGHEST if self.position_leverage == "highest" else WISHED

    def _find_overdue_entries(self, flat: B1, tick: int) -> B1:
        """Return the members due to enter in the warm-up who have held no position since."""
        first_entry, is_waiting = self._entries[:2]
        is_waiting &= flat
        due: B1 = is_waiting & (first_entry <= tick)
        return due

    def _create_exits(
        self, flat: B1, observation: Observation, accounts: AccountView, draws: F8
    ) -> Orders:
        """Return reduce-only market orders for whole positions, reductions and hedges."""
        leaves = self._find_exits(observation, accounts, draws)
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
        if self._capital_manager is None:
            return exits
        reactions = self._capital_manager.reaction_orders(observation)
        if not reactions.owner.size:
            return exits
        return Orders.join([exits, reactions.take(~leaves[reactions.owner])])

    def _find_exits(self, observation: Observation, accounts: AccountView, draws: F8) -> B1:
        """Return the members who exit now (n,): by time, rule of the type, take-profit or stop."""
        held = accounts.position[:, self._members.scope.instruments]
        limit = self._members.exit_probability
        limits = self._participation.limit_exits(limit, held, observation)
        leaves: B1 = draws[:, EXIT_COLUMN] < limits
        early = self._early_exits(held, observation, accounts)
        if early is not None:
            leaves |= early
        if self.equity_stop_loss is not None:
            leaves |= self._gain_over_stake(held, observation, accounts) <= -self.equity_stop_loss
        if self.take_profit is not None or self.stop_loss is not None:
            view, columns = self._members.scope.view(observation)
            lot = view.mark[columns] * view.contracts.multiplier[columns]
            paid = accounts.entry[:, self._members.scope.instruments]
            leaves |= find_level_exits(held, lot, paid, self.take_profit, self.stop_loss)
        return leaves

    def _gain_over_stake(self, held: I8, observation: Observation, accounts: AccountView) -> F8:
        """Return the gain of positions (n,) as a share of the equity without that gain."""
        view, columns = self._members.scope.view(observation)
        paid = (
            accounts.entry[:, self._members.scope.instruments]
            * view.price[view.contracts.settle[columns]]
        )
        gains = held * get_lot_values(view, columns) - paid
        return measure_stake_gains(gains, accounts.equity[:, self._members.scope.venue])


class LognormalLeverage(LeveragedPopulation):
    """Base of traders whose desired leverage is lognormal over the members."""

    leverage: float = Field(
        5.0, gt=0, description="median desired leverage at the reference leverage (times equity)"
    )
    leverage_sigma: float = Field(0.6, ge=0, description="standard deviation of log leverage (1)")

    def _target_leverages(self, draws: F8) -> F8:
        return draw_lognormal(draws, self.leverage, self.leverage_sigma)
