"""Binding of leveraged traders' kernels to the arrays of a market (AGT-1)."""

from typing import NamedTuple, Self

import numpy as np

from agents.base import TradingScope
from agents.compiled import exits as leaving
from agents.compiled import leveraged as kernels
from agents.compiled.leveraged import DecisionArrays
from agents.shared.capital import CapitalManager
from sim.compiled.arrays import StepArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.types import B1, F8, I8


class LeveragedTraits(NamedTuple):
    """Traits of the members, constant after the start."""

    scope: TradingScope
    target_leverage: F8  # (n,) desired at the reference leverage; a subclass may redefine it
    entry_probability: float  # probability per step of a flat member
    exit_probability: float  # probability per step of a member with a position


class EntryState(NamedTuple):
    """State of members' entries, in place."""

    first_entry: I8  # (n,) tick of the first entry, MISSING = set by the hazard alone
    is_waiting: B1  # (n,) for the first entry
    scale: F8  # (n,) share of the desired size that is sent
    has_tried: B1  # (n,) sent an entry since the scale was updated


class EntryRule(NamedTuple):
    """Numbers that determine the size of an entry; see the fields of the population."""

    reference_leverage: float
    elasticity: float
    cap: float
    slippage: float
    choice: int  # leverage chosen for the position, see ``agents.compiled.leveraged``


class ExitRule(NamedTuple):
    """Numbers that determine exits; see the fields of the population."""

    probability: float  # per step
    take_profit: float | None
    stop_loss: float | None
    equity_stop_loss: float | None


class LeveragedBinding(NamedTuple):
    """Arrays of a market and of one population in it."""

    step: StepArrays
    scope: TradingScope
    first_owner: int
    latency: int
    arrays: DecisionArrays

    @classmethod
    def begin(cls, step: StepArrays, members: slice, scope: TradingScope, latency: int) -> Self:
        """Return the binding of a population with arrays of its own."""
        arrays = DecisionArrays.allocate(members.stop - members.start, scope.instruments.size)
        return cls(step, scope, members.start, latency, arrays)

    @property
    def _orders(self) -> tuple[I8, I8, int, int]:
        return self.step.orders, self.step.counters, self.first_owner, self.latency

    @property
    def _entrants(self) -> tuple[I8, I8]:
        return self.arrays.n_entries, self.arrays.rows

    @property
    def _equity(self) -> F8:
        equity: F8 = self.step.equity[self.scope.venue]
        return equity

    def draw_entries(self, name: str, state: EntryState, exits: ExitRule) -> BoundKernel:
        """Return the kernel that draws entries and exits by time, for a population by name."""
        arrays = self.arrays
        return bind_kernel(
            kernels.draw_entries,
            self.step.market.streams.stream_key(f"decide/{name}"),
            self.first_owner,
            self.step.ledger.position,
            self.scope.instruments,
            arrays.hazard,
            exits.probability,
            *state,
            *self._entrants,
            arrays.columns,
            arrays.draw,
            arrays.flat,
            arrays.leaves,
        )

    def draw_sides(self, long_share: float, target: F8) -> BoundKernel:
        """Return the kernel that draws the side of each entry."""
        arrays = self.arrays
        return bind_kernel(
            kernels.draw_sides, long_share, target, *self._entrants, arrays.draw, arrays.signal
        )

    def follow_sides(self, target: F8) -> BoundKernel:
        """Return the kernel that takes the side of the instrument."""
        arrays = self.arrays
        columns = (arrays.columns, arrays.signal)
        return bind_kernel(kernels.follow_sides, arrays.side, target, *self._entrants, *columns)

    def send_entries(self, rule: EntryRule, state: EntryState) -> BoundKernel:
        """Return the kernel that sends entries."""
        step, arrays = self.step, self.arrays
        return bind_kernel(
            kernels.send_entries,
            *self._orders,
            self.scope.instruments,
            step.max_leverage_long,
            step.lot_value,
            step.mark,
            step.market.contracts.max_price,
            self._equity,
            *map(float, rule[:-1]),
            rule.choice,
            state.scale,
            state.has_tried,
            *self._entrants,
            arrays.columns,
            arrays.signal,
            arrays.most,
        )

    def find_exits(self, rule: ExitRule) -> list[BoundKernel]:
        """Return the kernels of stops and take-profits."""
        step, arrays, found = self.step, self.arrays, []
        accounts = (self.first_owner, step.ledger.position, step.ledger.entry)
        instruments = self.scope.instruments
        if rule.equity_stop_loss is not None:
            found.append(
                bind_kernel(
                    leaving.stop_losses_of_equity,
                    float(rule.equity_stop_loss),
                    *accounts,
                    instruments,
                    step.lot_value,
                    step.quote_price,
                    self._equity,
                    arrays.leaves,
                )
            )
        if rule.take_profit is not None or rule.stop_loss is not None:
            levels = [np.inf if x is None else float(x) for x in (rule.take_profit, rule.stop_loss)]
            found.append(
                bind_kernel(
                    leaving.exit_at_levels,
                    *levels,
                    *accounts,
                    instruments,
                    step.mark,
                    step.market.contracts.multiplier,
                    arrays.leaves,
                )
            )
        return found

    def send_exits(self, manager: CapitalManager | None) -> list[BoundKernel]:
        """Return the kernels that send exits, and reactions of capital management."""
        arrays, offsets = self.arrays, None if manager is None else manager.offsets
        closing = self.scope.instruments if offsets is None else offsets.closing_instruments
        exits = bind_kernel(
            leaving.send_exits,
            *self._orders,
            self.step.ledger.position,
            closing,
            int(offsets is not None),
            arrays.flat,
            arrays.leaves,
        )
        if manager is None:
            return [exits]
        reactions = bind_kernel(
            leaving.send_reactions,
            *self._orders,
            *manager.kept_orders,
            self.step.mark,
            self.step.market.contracts.max_price,
            0.0 if offsets is None else float(offsets.slippage),
            arrays.leaves,
        )
        return [exits, reactions]
