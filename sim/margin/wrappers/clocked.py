"""Risk parameters that are updated on a clock and applied with a delay (MAR-3)."""

import copy
from collections import deque
from typing import Literal

from pydantic import Field

from sim.margin.additive import AdditiveRequirement, compute_initial_by_leg, is_additive
from sim.margin.base import AnyRequirement, RequirementWrapper
from sim.margin.breakdown import ItemisedRequirement, break_down_margins
from sim.margin.tail.models.history import count_rows
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins, MarketView


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
        self._turn = 0
        self._pending: deque[tuple[int, Requirement]] = deque()  # first row at which each applies

    def observe(self, market: MarketView) -> None:
        """Update the inner requirement; copy it on the clock, and apply the copies that are due."""
        self.inner.observe(market)
        rows = len(market.returns)
        turn = rows // count_rows(self.every, market.dt)
        if turn > self._turn:
            self._turn = turn
            self._pending.append((rows + round(self.delay / market.dt), copy.deepcopy(self.inner)))
        while self._pending and self._pending[0][0] <= rows:
            self.learning_copy = self._pending.popleft()[1]

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
