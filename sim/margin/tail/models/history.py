"""Past of models: the last rows, and rows scaled by the volatility of their day."""

import numpy as np

from sim.margin.tail.volatility import update_ewma
from sim.types import F8


class RollingWindow:
    """The last rows of a growing table."""

    def __init__(self, size: int, columns: int) -> None:
        self.size = size
        self._store = np.empty((2 * size, columns))
        self._end = 0

    def push(self, row: F8) -> None:
        """Add one row; the oldest one is dropped if the window is full."""
        if self._end == len(self._store):
            self._store[: self.size] = self._store[self.size :]
            self._end = self.size
        self._store[self._end] = row
        self._end += 1

    def rows(self) -> F8:
        """Return the rows, oldest first, at most ``size`` of them; a view until the next push."""
        return self._store[max(self._end - self.size, 0) : self._end]

    def __len__(self) -> int:
        """Return the number of rows."""
        return min(self._end, self.size)


class ReturnScaler:
    """Scaling of returns by the EWMA volatility of their own day.

    The recursion starts at the mean square of the first ``seed`` rows. It is run over these rows
    once they are complete. Source: Hull and White 1998, J. Risk 1(1).
    """

    def __init__(self, columns: int, decay: float, seed: int) -> None:
        self.decay = decay
        self.variance: F8 | None = None  # (U,) variance of the next row
        self._early: list[F8] = []
        self._seed = seed
        self._none = np.empty((0, columns))

    def learn(self, row: F8) -> F8:
        """Learn one more return, (U,), and return the rows that can be scaled now.

        Returns:
            (n, U), oldest first.
        """
        if self.variance is not None:
            return self._scale(row, self.variance)[None]
        self._early.append(row.copy())
        if len(self._early) < self._seed:
            return self._none
        rows, self._early = self._early, []
        self.variance = np.mean(np.square(rows), axis=0)
        return np.stack([self._scale(each, self.variance) for each in rows])

    def _scale(self, row: F8, variance: F8) -> F8:
        scaled = np.divide(row, np.sqrt(variance), out=np.zeros_like(row), where=variance > 0)
        self.variance = update_ewma(variance, np.square(row), self.decay)
        return scaled


def count_returns_needed(window: float, least: float | None, every: float) -> int:
    """Return the number of returns that a model needs.

    They cover ``least`` seconds, at most its window; none = the whole window.
    """
    return count_rows(window if least is None else min(least, window), every)


def count_rows(seconds: float, every: float) -> int:
    """Return the number of returns in a duration, at least one."""
    return max(1, round(seconds / every))
