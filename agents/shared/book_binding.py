"""Binding of the kernels of traders with books to the arrays of a market (AGT-10)."""

from typing import NamedTuple, Protocol, Self

import numpy as np

from agents.compiled.exits import send_reactions
from agents.compiled.portfolios import book_changes as changes
from agents.compiled.portfolios import books as kernels
from agents.shared.capital_binding import KeptOrders
from agents.shared.leveraged_binding import EntryState, ExitRule, LeveragedBinding
from sim.compiled.margin_previews import PreviewArrays, bind_previews
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import B1, F8, I8


class BookRule(NamedTuple):
    """Numbers of entries and of changes of books; see ``agents.compiled.portfolios.books``."""

    # reference leverage, elasticity, cap, slippage, choice of leverage, 1 = whole books only
    entry: tuple[float, float, float, float, int, int]
    # slippage, band, probability, share of exits, 1 = the gross value is kept
    change: tuple[float, float, float, float, int]


class Books(Protocol):
    """State of members' books; see ``agents.portfolios.books.BookState``."""

    @property
    def last_tick(self) -> I8:
        """Tick of the last update, (1,)."""
        ...

    @property
    def weights(self) -> F8:
        """Signed shares of the legs, (n, m)."""
        ...

    @property
    def is_leaving(self) -> B1:
        """Members who close what is left of their book, (n,)."""
        ...


class BookBinding(NamedTuple):
    """Arrays of a market and of one population with books in it."""

    common: LeveragedBinding
    books: Books
    draws: F8  # (n, w) uniform draws of the step
    previews: PreviewArrays
    is_busy: B1  # (n,) members who react to short headroom now

    @classmethod
    def begin(cls, common: LeveragedBinding, books: Books, width: int) -> Self:
        """Return the binding with arrays of its own, for some draws per member."""
        members, instruments = books.weights.shape[0], common.scope.instruments
        return cls(
            common,
            books,
            np.zeros((members, width)),
            PreviewArrays.allocate(members, instruments),
            np.zeros(members, dtype=np.bool_),
        )

    @property
    def _entrants(self) -> tuple[I8, I8, F8]:
        arrays = self.common.arrays
        return arrays.n_entries, arrays.rows, arrays.signal

    def draw_members(self, name: str, state: EntryState, exits: ExitRule) -> list[BoundKernel]:
        """Return the kernels that draw entries and exits by time, for a population by name."""
        common, arrays = self.common, self.common.arrays
        key = common.step.market.streams.stream_key(f"decide/{name}")
        draw = bind_kernel(kernels.fill_draws, key, arrays.hazard, state.is_waiting, self.draws)
        opened = bind_kernel(
            kernels.open_books,
            common.first_owner,
            common.step.ledger.position,
            common.scope.instruments,
            self.draws,
            arrays.hazard,
            exits.probability,
            self.books.last_tick,
            *state,
            self.books.is_leaving,
            arrays.n_entries,
            arrays.rows,
            arrays.columns,
            arrays.draw,
            arrays.flat,
            arrays.leaves,
        )
        return [draw, opened]

    def weigh_views(self, mixed_share: float, long_share: float, shares: F8) -> BoundKernel:
        """Return the kernel that weighs legs by drawn views."""
        return bind_kernel(
            kernels.weigh_views,
            mixed_share,
            long_share,
            shares,
            self.draws,
            *self._entrants,
            self.books.weights,
        )

    def intend(self) -> BoundKernel:
        """Return the kernel that sets the books at the desired leverage."""
        step = self.common.step
        return bind_kernel(
            kernels.intend_lots,
            self.common.first_owner,
            self.common.scope.instruments,
            step.lot_value,
            step.equity[self.common.scope.venue],
            *self._entrants,
            self.books.weights,
            self.previews.n_used,
            self.previews.lots,
        )

    def bind_previews(self) -> BoundKernel | None:
        """Return the kernel of the margin of intended books, None if the engine has none."""
        return bind_previews(self.common.step, self.common.scope.venue, self.previews)

    def send_entries(self, rule: BookRule, state: EntryState) -> BoundKernel:
        """Return the kernel that sends entries."""
        common, step = self.common, self.common.step
        return bind_kernel(
            kernels.send_books,
            step.orders,
            step.counters,
            common.first_owner,
            common.latency,
            common.scope.instruments,
            step.max_leverage_long,
            step.lot_value,
            step.mark,
            step.market.contracts.max_price,
            step.equity[common.scope.venue],
            *rule.entry,
            state.scale,
            state.has_tried,
            *self._entrants,
            self.books.weights,
            self.previews.lots,
            self.previews.required,
        )

    def send_changes(self, rule: BookRule, kept: KeptOrders | None) -> list[BoundKernel]:
        """Return the kernels of exits, of restored weights and of reactions that were kept."""
        common, step, arrays = self.common, self.common.step, self.common.arrays
        sent = (step.orders, step.counters, common.first_owner, common.latency)
        change = bind_kernel(
            changes.change_books,
            *sent,
            common.scope.instruments,
            step.ledger.position,
            step.lot_value,
            step.mark,
            step.market.contracts.max_price,
            *rule.change,
            self.draws,
            self.books.weights,
            arrays.flat,
            self.is_busy,
            self.books.is_leaving,
            arrays.leaves,
        )
        if kept is None:
            return [change]
        react = bind_kernel(
            send_reactions,
            *sent,
            *kept,
            step.mark,
            step.market.contracts.max_price,
            0.0,
            arrays.leaves,
        )
        return [bind_kernel(changes.find_busy, *kept, self.is_busy), change, react]
