"""Past of models: the last rows, and rows scaled by the volatility of their day."""

import numpy as np

from sim.margin.tail.volatility import update_ewma
from sim.numerics.jit import kernel
from sim.types import B1, F8, I8


class RollingWindow:
    """The last rows of a growing table."""

    def __init__(self, size: int, columns: int) -> None:
        self.size = size
        self._store = np.empty((2 * size, columns))
        self._end = np.zeros(1, dtype=np.int64)

    def push(self, row: F8) -> None:
        """Add one row; the oldest one is dropped if the window is full."""
        push_row(self._store, self._end, row)

    def rows(self) -> F8:
        """Return the rows, oldest first, at most ``size`` of them; a view until the next push."""
        return self._store[max(self._end[0] - self.size, 0) : self._end[0]]

    def __len__(self) -> int:
        """Return the number of rows."""
        return min(int(self._end[0]), self.size)

    @property
    def state(self) -> tuple[F8, I8]:
        """Rows of the window and older ones, (2 size, U), and their number, (1,); in place."""
        return self._store, self._end


@kernel
def push_row(store: F8, end: I8, row: F8) -> None:
    """Add a row to the state of a window; half of a full store is dropped."""
    size = len(store) // 2
    if end[0] == len(store):
        store[:size] = store[size:]
        end[0] = size
    store[end[0]] = row
    end[0] += 1


class ReturnScaler:
    """Scaling of returns by the EWMA volatility of their own day.

    The recursion starts at the mean square of the first ``seed`` rows. It is run over these rows
    once they are complete. Source: Hull and White 1998, J. Risk 1(1).
    """

    def __init__(self, columns: int, decay: float, seed: int) -> None:
        self.decay = decay
        self._variance = np.zeros(columns)
        self._is_seeded = np.zeros(1, dtype=np.bool_)
        self._early: list[F8] = []
        self._seed = seed
        self._none = np.empty((0, columns))

    @property
    def variance(self) -> F8 | None:
        """Variance of the next row, (U,); None before the recursion starts."""
        return self._variance.copy() if self._is_seeded[0] else None

    @property
    def state(self) -> tuple[F8, B1]:
        """Variance of the next row, (U,), and whether the recursion has started, (1,); in place."""
        return self._variance, self._is_seeded

    def learn(self, row: F8) -> F8:
        """Learn one more return, (U,), and return the rows that can be scaled now.

        Returns:
            (n, U), oldest first.
        """
        if self._is_seeded[0]:
            return scale_row(row, self._variance, self.decay)[None]
        self._early.append(row.copy())
        if len(self._early) < self._seed:
            return self._none
        rows, self._early = self._early, []
        self._variance[:], self._is_seeded[0] = np.mean(np.square(rows), axis=0), True
        return np.stack([scale_row(each, self._variance, self.decay) for each in rows])


_update_variance = kernel(update_ewma)


@kernel
def scale_row(row: F8, variance: F8, decay: float) -> F8:
    """Return a row divided by its volatility, zero where it has none, and update the variance."""
    scaled = np.zeros(row.size)
    for u in range(row.size):
        if variance[u] > 0:
            scaled[u] = row[u] / np.sqrt(variance[u])
        variance[u] = _update_variance(variance[u], row[u] * row[u], decay)
    return scaled


def count_returns_needed(window: float, least: float | None, every: float) -> int:
    """Return the number of returns that a model needs.

    They cover ``least`` seconds, at most its window; none = the whole window.
    """
    return count_rows(window if least is None else min(least, window), every)


def count_rows(seconds: float, every: float) -> int:
    """Return the number of returns in a duration, at least one."""
    return max(1, round(seconds / every))
