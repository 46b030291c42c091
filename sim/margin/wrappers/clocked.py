"""Risk parameters that are updated on a clock and applied with a delay (MAR-3)."""

import copy
from collections import deque
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.breakdown import ItemisedRequirement, break_down_margins
from sim.margin.compiled import (
    LearningArrays,
    LearningStep,
    MarginArrays,
    bind_leg_shares,
    is_compiled,
)
from sim.margin.past import PastView, learn_past
from sim.margin.tail.models.history import count_rows
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.numerics.jit import kernel
from sim.protocols import Requirement
from sim.types import F8, I8, Contracts, Exposure, Margins, MarketView

NEVER = np.iinfo(np.int64).max
"""Row at which a copy applies that does not exist."""


class ParameterClock(RequirementWrapper):
    """Copy of the inner requirement, renewed at intervals and applied after a delay.

    Until the first update applies, margins are those of a requirement that has learned nothing.
    """

    kind: Literal["clocked"] = Field(
        default="clocked", description="parameters updated on a clock (name)"
    )
    inner: AnyRequirement = Field(
        description="requirement whose parameters are updated (component)"
    )
    every: float = Field(default=86_400, gt=0, description="time between updates (s)")
    delay: float = Field(
        default=0.0, ge=0, description="time from an update to its application (s)"
    )

    def look_back(self) -> float:
        """Return the look-back of the inner requirement plus the clock and the delay (s)."""
        return self.inner.look_back() + self.every + self.delay

    def bind(self, contracts: Contracts, unit: int) -> "ParameterClockMargin":
        """See :class:`RequirementComponent`."""
        return ParameterClockMargin(self.inner.bind(contracts, unit), self.every, self.delay)


class ParameterClockMargin(ItemisedRequirement, AdditiveRequirement):
    """Requirement that learns, and the copies of it that apply."""

    def __init__(self, inner: Requirement, every: float, delay: float) -> None:
        self.inner, self.every, self.delay = inner, every, delay
        self.learning_copy = copy.deepcopy(inner)
        self._turn = np.zeros(1, dtype=np.int64)
        self._has_applied = np.zeros(1, dtype=np.bool_)
        self._next = np.full(1, NEVER)  # first row at which a copy that waits applies
        self._pending: deque[tuple[int, Requirement]] = deque()  # first row at which each applies

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement; copy it on the clock, and apply the copies that are due."""
        self.inner.observe(market)
        self._renew_copy(market)

    def learn_past(self, past: PastView) -> None:
        """Update the inner requirement and its copies before the start."""
        stride = count_rows(self.every, past.opening.dt)
        for part in past.split(stride):
            learn_past(self.inner, part)
            self._apply_copies(-part.before, past.opening.dt, is_turn=part.ends_on(stride))

    def _renew_copy(self, market: MarketView) -> None:
        """Copy the inner requirement on the clock, and apply the copies that are due."""
        rows = len(market.returns)
        turn = rows // count_rows(self.every, market.dt)
        is_turn = bool(turn > self._turn[0])
        if is_turn:
            self._turn[0] = turn
        self._apply_copies(rows, market.dt, is_turn=is_turn)

    def _apply_copies(self, rows: int, dt: float, *, is_turn: bool) -> None:
        """Make a copy at a turn of the clock, and apply the copies that are due."""
        if is_turn:
            self._pending.append((rows + round(self.delay / dt), copy.deepcopy(self.inner)))
        while self._pending and self._pending[0][0] <= rows:
            copy_state(self._pending.popleft()[1], self.learning_copy)
            self._has_applied[0] = True
        self._next[0] = self._pending[0][0] if self._pending else NEVER

    def describe_opening(self) -> str:
        """See :class:`sim.margin.past.HasOpeningValue`."""
        return "" if self._has_applied[0] else "clocked has applied no update yet"

    def bind_margins(self, arrays: MarginArrays) -> tuple[BoundKernel, ...] | None:
        """Return the kernels of the copy that applies, whose arrays stay when it is renewed."""
        applied = self.learning_copy
        return applied.bind_margins(arrays) if is_compiled(applied) else None

    def bind_leg_shares(self, arrays: MarginArrays, shares: F8) -> tuple[BoundKernel, ...] | None:
        """Return the kernels of the shares of the copy that applies."""
        return bind_leg_shares(self.learning_copy, arrays, shares)

    def bind_learning(self, arrays: LearningArrays) -> tuple[LearningStep, ...] | None:
        """Return the inner steps, and one that leaves a copy that is due to the plain method."""
        inner, stride = self.inner, count_rows(self.every, arrays.market.dt)
        steps = inner.bind_learning(arrays) if is_compiled(inner) else None
        due = bind_kernel(is_copy_due, stride, self._turn, self._next)
        return None if steps is None else (*steps, LearningStep(due, self._renew_copy))

    def compute_margins(self, accounts: Exposure) -> Margins:
        """Return the margins under the parameters that apply, (A,)."""
        return self.learning_copy.compute_margins(accounts)

    @property
    def is_additive(self) -> bool:
        """True if the requirement that applies is additive."""
        return is_additive(self.learning_copy)

    def initial_by_leg(self, accounts: Exposure) -> F8:
        """See :class:`AdditiveRequirement`."""
        return compute_initial_by_leg(self.learning_copy, accounts)

    def breakdown(self, accounts: Exposure) -> dict[str, Margins]:
        """Return the breakdown under the parameters that apply."""
        return break_down_margins(self.learning_copy, accounts)

    def compute_leg_shares(self, accounts: Exposure) -> F8:
        """Return the shares under the parameters that apply."""
        return self.learning_copy.compute_leg_shares(accounts)


def copy_state(source: object, target: object) -> None:
    """Give one requirement the state of another, built alike, that is not used after.

    Arrays of the target stay in place, so that kernels may be bound to them.
    """
    for name, value in vars(source).items():
        vars(target)[name] = _take_over(value, vars(target).get(name))


def _take_over(value: Any, old: Any) -> Any:
    """Return what stands for a value of the source: the old one in place, or the value."""
    if isinstance(value, np.ndarray) and isinstance(old, np.ndarray) and value.shape == old.shape:
        old[:] = value
        return old
    if isinstance(value, list | tuple) and type(value) is type(old) and len(value) == len(old):
        taken = [_take_over(*pair) for pair in zip(value, old, strict=True)]
        return type(value)(taken) if type(value) in (list, tuple) else value
    if (
        type(value) is type(old)
        and type(value).__module__.startswith("sim.margin.")
        and (not isinstance(value, Component | tuple))
    ):
        copy_state(value, old)
        return old
    return value


@kernel
def is_copy_due(rows: int, stride: int, turn: I8, due: I8) -> int:
    """Return one if a copy has to be made, or one that waits applies, else zero."""
    return int(rows // stride > turn[0] or due[0] <= rows)
