"""Base of traders who enter, hold and leave a book of several positions (AGT-10)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, PrivateAttr

from agents.base import Trader, compute_event_probability
from agents.compiled.leveraged import NO_CHOICE, DecisionArrays
from agents.compiled.portfolios import book_changes as changes
from agents.compiled.portfolios import books as kernels
from agents.leveraged import LeveragedTrader, LognormalLeverage
from agents.shared.book_binding import BookBinding, BookRule
from agents.shared.leveraged_binding import ExitRule, LeveragedBinding
from agents.shared.order_table import OrderTable
from sim.compiled.arrays import StepArrays
from sim.compiled.margin_previews import PreviewArrays
from sim.numerics.bound_kernels import BoundKernel, chain_kernels
from sim.types import B1, F8, I8, MISSING, AccountView, MarketSpec, Observation, Orders


class BookTrader(LeveragedTrader):
    """A member of a population whose members hold books."""


class BookState(NamedTuple):
    """State of members' books, in place; n members, m instruments."""

    last_tick: I8  # (1,) tick of the last update
    weights: F8  # (n, m) signed shares of the legs, of the present or the last book
    is_leaving: B1  # (n,) members who close what is left of their book

    @classmethod
    def allocate(cls, members: int, instruments: int) -> Self:
        """Return the state of members without books."""
        return cls(
            np.full(1, MISSING), np.zeros((members, instruments)), np.zeros(members, dtype=np.bool_)
        )


class BookColumns(NamedTuple):
    """Market and accounts that a plain decision reads, over all instruments (K,)."""

    position: I8  # (K, n) lots
    max_leverage: F8
    lot_value: F8  # minor units of the numeraire
    mark: F8  # ticks
    max_price: I8  # ticks
    equity: F8  # (n,) at the venue, minor units of the numeraire

    @classmethod
    def read(cls, observation: Observation, accounts: AccountView, venue: int) -> Self:
        """Return what an observation and the members' accounts show."""
        views = observation.venues
        return cls(
            np.ascontiguousarray(accounts.position.T),
            observation.max_leverage.copy(),
            np.concatenate([view.lot_value() for view in views]),
            np.concatenate([view.mark for view in views]),
            np.concatenate([view.contracts.max_price for view in views]),
            np.ascontiguousarray(accounts.equity[:, venue]),
        )


class BookPopulation(LognormalLeverage):
    """Members who enter all legs of a book at once, hold it, and close it in full.

    A subclass supplies one or several books, with hazards and sides, and the weights of their
    legs. The gross value of a book is leverage times equity at the venue. Leverage is l_i * (L /
    L_ref) ** elasticity, where L is gross value over the initial margin that the engine requires
    of the intended book as a whole (AGT-10). So an engine that nets admits more of a hedged book.
    Under isolated margin that is the sum over the positions, and each position chooses the
    leverage of the book.

    No member re-targets its book in every step. Members whose legs are away from their weights by
    more than ``band`` restore them after an exponential time, or leave. Reasons are a leg that was
    not filled, closed out or deleveraged, or prices that moved. Once a member leaves, it sends
    exits until all legs are closed.
    """

    agent_class: ClassVar[type[Trader]] = BookTrader
    is_hedged: ClassVar[bool] = True
    is_whole: ClassVar[bool] = False
    """True if a book is entered with all of its legs or not at all."""
    keeps_gross: ClassVar[bool] = True
    """True if restored weights keep the gross value; False if other legs follow the largest."""

    rebalance_band: float = Field(
        0.25,
        ge=0,
        description="distance from the weights beyond which members act (share of gross value)",
    )
    rebalance_time: float = Field(86_400.0, gt=0, description="mean time until they act (seconds)")

    _books: BookState = PrivateAttr()
    _rebalance_probability: float = PrivateAttr()

    def start(self, spec: MarketSpec, draws: F8) -> I8:
        """Draw traits; see ``sim.protocols.PopulationProtocol``."""
        placed = super().start(spec, draws)
        self._books = BookState.allocate(self.count, self._members.scope.instruments.size)
        self._rebalance_probability = compute_event_probability(spec.dt, self.rebalance_time)
        return placed

    @property
    def n_books(self) -> int:
        """Number of books among which an entry is drawn."""
        return 1

    @property
    def _exit_share(self) -> float:
        """Probability that a member beyond the band leaves."""
        return 0.0

    @abstractmethod
    def _weigh_books(self, arrays: DecisionArrays, draws: F8) -> None:
        """Write the weights of members who enter."""

    def _entry_probabilities(self, observation: Observation) -> F8:
        """Return the probability per step that a flat member enters each book, (b,)."""
        return np.full(self.n_books, self._members.entry_probability)

    def decide(self, observation: Observation, accounts: AccountView, draws: F8) -> Orders:
        """Return entries, exits and trades that restore weights; reactions of the short of margin.

        There is at most one order per member and instrument.
        """
        if observation.tick != self._last_tick:
            self._last_tick = observation.tick
            self._participation.plan(self._entries, observation)
            self._observe_prices(observation)
        market = BookColumns.read(observation, accounts, self._members.scope.venue)
        own, table = np.array(draws), OrderTable.allocate(self.count_orders())
        arrays = self._draw_members(observation, market, own)
        arrays.leaves[:] |= self._find_exits(observation, accounts, draws)
        self._choose_books(observation, arrays, own)
        self._send_entries(observation, market, arrays, table)
        self._send_changes(observation, market, arrays, (own, *table))
        orders = table.read()
        if self._capital_manager is None:
            return orders
        reactions = self._capital_manager.reaction_orders(observation)
        return Orders.join([orders, reactions.take(~arrays.leaves[reactions.owner])])

    def _choose_books(self, observation: Observation, arrays: DecisionArrays, draws: F8) -> None:
        """Set signals and weights of members who enter."""
        entrants = slice(0, int(arrays.n_entries[0]))
        rows, columns = arrays.rows[entrants], arrays.columns[entrants]
        arrays.signal[entrants] = self._signals(rows, columns, observation, arrays.draw[entrants])
        self._weigh_books(arrays, draws)

    def _draw_members(
        self, observation: Observation, market: BookColumns, draws: F8
    ) -> DecisionArrays:
        """Return the members who enter; those who exit by time are found with other exits."""
        arrays = DecisionArrays.allocate(self.count, self.n_books)
        hazards = self._entry_probabilities(observation)
        arrays.hazard[:] = self._participation.respond_for_books(hazards, observation)
        kernels.open_books(
            observation.tick,
            0,
            market.position,
            self._members.scope.instruments,
            draws,
            arrays.hazard,
            0.0,
            self._books.last_tick,
            *self._entries,
            self._books.is_leaving,
            arrays.n_entries,
            arrays.rows,
            arrays.columns,
            arrays.draw,
            arrays.flat,
            arrays.leaves,
        )
        return arrays

    def _send_entries(
        self,
        observation: Observation,
        market: BookColumns,
        arrays: DecisionArrays,
        sent: OrderTable,
    ) -> None:
        """Append the entries to a table of orders."""
        scope, rule = self._members.scope, self._book_rule()
        previews = PreviewArrays.allocate(self.count, scope.instruments)
        entrants = (arrays.n_entries, arrays.rows, arrays.signal, self._books.weights)
        kernels.intend_lots(
            observation.tick,
            0,
            scope.instruments,
            market.lot_value,
            market.equity,
            *entrants,
            previews.n_used,
            previews.lots,
        )
        n = int(arrays.n_entries[0])
        previews.required[:n] = self._preview_margin(observation, previews.lots[:n], market)
        _, _, scale, has_tried = self._entries
        terms: tuple[Any, ...] = (
            *sent,
            0,
            self.latency,
            scope.instruments,
            *market[1:],
            *rule.entry,
            scale,
            has_tried,
            *entrants,
            previews.lots,
            previews.required,
        )
        kernels.send_books(observation.tick, *terms)

    def _preview_margin(self, observation: Observation, lots: I8, market: BookColumns) -> F8:
        """Return the initial margin (r,) of intended books, (r, m) lots.

        It is the sum over the legs where no venue's calculator is at hand.
        """
        scope = self._members.scope
        if observation.preview_margin is None:
            legs = market.lot_value[scope.instruments] / market.max_leverage[scope.instruments]
            total: F8 = np.abs(lots) @ legs
            return total
        view, columns = scope.view(observation)
        whole = np.zeros((len(lots), view.mark.size), dtype=np.int64)
        whole[:, columns] = lots
        return observation.preview_margin(scope.venue, whole)

    def _send_changes(
        self,
        observation: Observation,
        market: BookColumns,
        arrays: DecisionArrays,
        sent: tuple[F8, I8, I8],
    ) -> None:
        """Append exits and trades that restore weights; ``sent`` is draws, table and counters."""
        is_busy = np.zeros(self.count, dtype=np.bool_)
        if self._capital_manager is not None:
            changes.find_busy(observation.tick, *self._capital_manager.kept_orders, is_busy)
        draws, table, counters = sent
        changes.change_books(
            observation.tick,
            table,
            counters,
            0,
            self.latency,
            self._members.scope.instruments,
            market.position,
            market.lot_value,
            market.mark,
            market.max_price,
            *self._book_rule().change,
            draws,
            self._books.weights,
            arrays.flat,
            is_busy,
            self._books.is_leaving,
            arrays.leaves,
        )

    def _book_rule(self) -> BookRule:
        """Return the numbers of entries and changes."""
        choice = self._position_choice() if self._has_separate_wallet else NO_CHOICE
        return BookRule(
            entry=(
                float(self.reference_leverage),
                float(self.elasticity),
                float(self.cap),
                float(self.slippage),
                choice,
                int(self.is_whole),
            ),
            change=(
                float(self.slippage),
                float(self.rebalance_band),
                self._rebalance_probability,
                float(self._exit_share),
                int(self.keeps_gross),
            ),
        )

    def count_orders(self) -> int:
        """Return the most orders of one step; see ``sim.compiled.components``."""
        return 2 * self.count * self._members.scope.instruments.size

    def _begin_binding(self, step: StepArrays, members: slice) -> BookBinding:
        """Return the arrays of a market and of the population in it."""
        scope = self._members.scope
        arrays = DecisionArrays.allocate(self.count, self.n_books)
        common = LeveragedBinding(step, scope, members.start, self.latency, arrays)
        return BookBinding.begin(common, self._books, self.n_decision_draws)

    def _bind_books(
        self,
        binding: BookBinding,
        *,
        prices: Sequence[BoundKernel] = (),
        signals: Sequence[BoundKernel],
        exits: Sequence[BoundKernel] = (),
    ) -> BoundKernel | None:
        """Return the kernel of one step's decisions, in the order of ``decide``.

        None if the venue's engine has no kernels.

        Args:
            binding: arrays of the market and of the population.
            prices: kernels that do what ``_observe_prices`` and ``_entry_probabilities`` do.
            signals: kernels that do what ``_signals`` and ``_weigh_books`` do.
            exits: kernels that do what ``_early_exits`` does.
        """
        previews, manager = binding.bind_previews(), self._capital_manager
        if previews is None:
            return None
        rule, leave = self._book_rule(), self._exit_rule()
        kept = None if manager is None else manager.kept_orders
        return chain_kernels(
            *prices,
            *self._participation.bind_book_draws(binding, self.name, self._entries, leave),
            *exits,
            *binding.common.find_exits(leave),
            *signals,
            binding.intend(),
            previews,
            binding.send_entries(rule, self._entries),
            *binding.send_changes(rule, kept),
        )

    def _exit_rule(self) -> ExitRule:
        """Return the numbers of exits."""
        return ExitRule(
            self._members.exit_probability, self.take_profit, self.stop_loss, self.equity_stop_loss
        )
