"""Learning from the returns before a run (IDX-5): the interface, and what engines share."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from sim.prices.past import PastReturns
from sim.protocols import Requirement
from sim.types import F8, I8, MarketView


class PastView(NamedTuple):
    """Returns before the start of a run that a pool's engine learns from at once, oldest first."""

    returns: F8  # (n, U) log returns
    level: F8  # (n, U) log price at the end of each, zero at the start of the run
    steps: int  # steps that each return covers
    before: int  # steps from the end of the last to the start
    opening: MarketView  # before the first step: no order book, marks at the oracle

    @property
    def seconds(self) -> float:
        """Seconds that each return covers."""
        return self.steps * self.opening.dt

    @property
    def market(self) -> MarketView:
        """View after the last return: the oracle is that of the time, all else is the opening's."""
        return self.opening._replace(oracle=self.opening.oracle * np.exp(self.level[-1]))

    def list_steps_before(self) -> I8:
        """Return the steps from the end of each return to the start, (n,)."""
        return self.before + self.steps * np.arange(len(self.returns) - 1, -1, -1)

    def ends_on(self, stride: int) -> bool:
        """Return whether the last return ends on a clock that has a turn at the start."""
        return self.before % stride == 0

    def split(self, stride: int) -> Iterator["PastView"]:
        """Yield the parts that end on turns of a clock, and the rest."""
        ends = np.flatnonzero(self.list_steps_before() % stride == 0) + 1
        first = 0
        for end in dict.fromkeys([*ends.tolist(), len(self.returns)]):
            part = slice(first, end)
            before = self.before + self.steps * (len(self.returns) - end)
            yield self._replace(returns=self.returns[part], level=self.level[part], before=before)
            first = end


@runtime_checkable
class LearnsPast(Protocol):
    """Requirement that learns from the returns before a run."""

    def learn_past(self, past: PastView) -> None:
        """Learn from returns that follow those of the last call.

        Afterwards, the requirement stands as if these returns had been those of steps, with the
        marks of the opening and without an order book.
        """
        ...


@runtime_checkable
class HasOpeningValue(Protocol):
    """Requirement whose margin has an opening value until it has learned enough."""

    def describe_opening(self) -> str:
        """Return what still has its opening value and why; empty once it has left it."""
        ...


def learn_past(requirement: Requirement, past: PastView) -> None:
    """Let a requirement learn, or its parts where it does not learn itself."""
    if isinstance(requirement, LearnsPast):
        requirement.learn_past(past)
        return
    for part in list_parts(requirement):
        learn_past(part, past)


def list_opening_values(requirement: Requirement) -> list[str]:
    """Return a line for each part of a requirement that still has its opening value."""
    own = [requirement.describe_opening()] if isinstance(requirement, HasOpeningValue) else []
    inner = [line for part in list_parts(requirement) for line in list_opening_values(part)]
    return [line for line in [*own, *inner] if line]


def list_parts(requirement: Requirement) -> list[Requirement]:
    """Return the requirements within a wrapper, a sum or a pair, in order."""
    state: dict[str, Any] = vars(requirement)
    parts = [each[0] if isinstance(each, tuple) else each for each in state.get("parts", ())]
    return [*([state["inner"]] if "inner" in state else []), *parts]


def iterate_views(past: PastReturns, opening: MarketView) -> Iterator[PastView]:
    """Yield the far and the near past as a pool's engine sees them."""
    for segment in past.iterate_segments():
        later = past.near.sum(axis=0) if segment.before else np.zeros(past.near.shape[1])
        # from the end backwards, so that the level is exactly zero at the start
        following = np.cumsum(segment.returns[:0:-1], axis=0)[::-1]
        level = -np.concatenate([following, np.zeros((1, later.size))]) - later
        yield PastView(segment.returns, level, segment.steps, segment.before, opening)


class PastSums:
    """Sums of past returns over an interval, of some columns.

    The clock of the interval has a turn at the start of the run. An interval that is not covered
    whole is left out: the first one, and all where a return is longer.

    Args:
        columns: (k,) columns that are summed.
        stride: steps of the interval.
    """

    def __init__(self, columns: I8, stride: int) -> None:
        self.columns, self.stride = columns, stride
        self._total, self._covered = np.zeros(columns.size), 0

    def add(self, past: PastView) -> F8:
        """Return the sums of the intervals that became complete, (m, k), oldest first."""
        rows = past.returns[:, self.columns]
        if self.stride == past.steps and not self._covered and past.ends_on(self.stride):
            return np.ascontiguousarray(rows)
        complete = []
        for row, before in zip(rows, past.list_steps_before(), strict=True):
            self._total += row
            self._covered += past.steps
            if before % self.stride == 0:
                if self._covered == self.stride:
                    complete.append(self._total.copy())
                self._total[:], self._covered = 0.0, 0
        return np.array(complete).reshape(-1, self.columns.size)
