"""Risk parameters on their own clock, and late (MAR-3)."""

import copy
from collections import deque
from typing import Literal

from pydantic import Field

from sim.margin.additive import Additive, adds_up, initial_by_leg
from sim.margin.base import AnyRequirement, Wrapper
from sim.margin.breakdown import Itemised, breakdown
from sim.margin.tail.models.history import rows_of
from sim.protocols import Requirement
from sim.types import F8, Contracts, Exposure, Margins, MarketView


class Clocked(Wrapper):
    """What the inner requirement has learnt is taken over every so often, and applies after a delay.

    Until the first take-over it asks what it would having learnt nothing.
    """

    kind: Literal["clocked"] = Field(default="clocked", description="parameters updated on a clock (name)")
    inner: AnyRequirement = Field(description="the requirement whose parameters these are (component)")
    every: float = Field(default=86_400, gt=0, description="time between updates (s)")
    delay: float = Field(default=0.0, ge=0, description="from an update to its application (s)")

    def look_back(self) -> float:
        """That of the inner requirement, the clock and the delay."""
        return self.inner.look_back() + self.every + self.delay

    def bind(self, contracts: Contracts, unit: int) -> "ClockedMargin":
        """See :class:`RequirementComponent`."""
        return ClockedMargin(self.inner.bind(contracts, unit), self.every, self.delay)


class ClockedMargin(Itemised, Additive):
    """One requirement that learns, and the copies of it that apply."""

    def __init__(self, inner: Requirement, every: float, delay: float) -> None:
        self.inner, self.every, self.delay = inner, every, delay
        self.live = copy.deepcopy(inner)
        self._turn = 0
        self._coming: deque[tuple[int, Requirement]] = deque()  # row from which each applies

    def observe(self, market: MarketView) -> None:
        """The inner requirement learns; on the clock it is copied, and copies apply when due."""
        self.inner.observe(market)
        rows = len(market.returns)
        turn = rows // rows_of(self.every, market.dt)
        if turn > self._turn:
            self._turn = turn
            self._coming.append((rows + round(self.delay / market.dt), copy.deepcopy(self.inner)))
        while self._coming and self._coming[0][0] <= rows:
            self.live = self._coming.popleft()[1]

    def margins(self, book: Exposure) -> Margins:
        """By the parameters that apply, (A,)."""
        return self.live.margins(book)

    @property
    def adds_up(self) -> bool:
        """If the inner requirement does."""
        return adds_up(self.live)

    def initial_by_leg(self, book: Exposure) -> F8:
        """See :class:`Additive`."""
        return initial_by_leg(self.live, book)

    def breakdown(self, book: Exposure) -> dict[str, Margins]:
        """By the parameters that apply."""
        return breakdown(self.live, book)

    def shares(self, book: Exposure) -> F8:
        """By the parameters that apply."""
        return self.live.shares(book)
