"""Tables of close-outs and of causes of deficits, which grow during a run."""

from typing import TypeVar

import numpy as np

from sim.attribution import Causes
from sim.records import ExecutedLiquidations, LiquidationRound
from sim.types import F8, I8

WHOLE_COLUMNS, REAL_COLUMNS = ExecutedLiquidations._fields[:10], ExecutedLiquidations._fields[10:]
"""Columns of a close-out that are whole numbers, and those that are not."""

(
    NUMBER,
    ACTION,
    ACCOUNT,
    POOL,
    INSTRUMENT,
    PLANNED,
    FILLED,
    LIMIT,
    ROUTE,
    NOTIONAL,
    STEP,
    ROUND,
    ORDER,
    VENUE,
) = range(14)
"""Columns of whole numbers of a close-out: its own, and where it happened."""

(MARK_BEFORE, MARK_AFTER, MID_BEFORE, MID_AFTER, EQUITY, MAINTENANCE) = range(6)
"""Columns of real numbers of a close-out."""

(LOSS_STEP, LOSS_POOL, LOSS_LAYER, LOSS_OWNER, LOSS_SHORTFALL, LOSS_ABSORBED, FIRST_LEG) = range(7)
"""Columns of the events of losses; lots and notional of the pool's instruments follow."""

(N_CLOSE_OUTS, N_CAUSES, N_LOSSES) = range(3)
"""Places of the counts of rows in use."""

MIN_ACTIONS, MAX_ACTIONS, CAUSES_PER_ACTION = 64, 1024, 4
"""Rows of the first tables: close-outs, one for each owner within bounds, and causes of each."""

AnyArray = TypeVar("AnyArray", F8, I8)


class EventTables:
    """Tables of a run; their arrays move when they grow.

    Args:
        instruments: most instruments of a pool.
        owners: number of owners in the market. A run of few close-outs never grows the tables.

    Attributes:
        counts: (3,) rows in use, of close-outs, of causes and of losses.
        close_outs: (n, 14) whole numbers.
        close_out_values: (n, 6) ticks, and minor units.
        causes: (m, 5) action, kind, step, round and instrument.
        amounts: (m,) minor units of the numeraire.
        losses: (l, .) events of losses of compiled steps that the recorder has not taken yet.
    """

    def __init__(self, instruments: int, owners: int) -> None:
        actions = min(max(owners, MIN_ACTIONS), MAX_ACTIONS)
        causes = CAUSES_PER_ACTION * actions
        self.counts = np.zeros(3, dtype=np.int64)
        self.close_outs = np.zeros((actions, 14), dtype=np.int64)
        self.close_out_values = np.zeros((actions, 6))
        self.causes, self.amounts = np.zeros((causes, 5), dtype=np.int64), np.zeros(causes)
        self.losses: I8 = np.zeros((actions, FIRST_LEG + 2 * instruments), dtype=np.int64)

    def reserve(self, close_outs: int, causes: int) -> None:
        """Make room for more rows."""
        needed = self.counts[N_CLOSE_OUTS] + close_outs
        if needed > len(self.close_outs):
            self.close_outs = _resize(self.close_outs, 2 * needed)
            self.close_out_values = _resize(self.close_out_values, 2 * needed)
        needed = self.counts[N_CAUSES] + causes
        if needed > len(self.causes):
            self.causes = _resize(self.causes, 2 * needed)
            self.amounts = _resize(self.amounts, 2 * needed)

    def reserve_losses(self, rows: int) -> None:
        """Make room for more events of losses."""
        needed = self.counts[N_LOSSES] + rows
        if needed > len(self.losses):
            self.losses = _resize(self.losses, 2 * needed)

    def take_losses(self) -> list[I8]:
        """Return the events of losses of each step and pool, in order, and forget them."""
        rows = self.losses[: self.counts[N_LOSSES]].copy()
        self.counts[N_LOSSES] = 0
        starts = np.flatnonzero(np.any(np.diff(rows[:, :LOSS_LAYER], axis=0) != 0, axis=1)) + 1
        return np.split(rows, starts) if len(rows) else []

    def append_round(self, step: int, done: LiquidationRound) -> None:
        """Append the close-outs of one round at one venue, and the causes of its deficits."""
        executed, size = done.executed, done.executed.number.size
        self.reserve(size, sum(action.size for action, _ in done.causes))
        first = int(self.counts[N_CLOSE_OUTS])
        rows = self.close_outs[first : first + size]
        for place, name in enumerate(WHOLE_COLUMNS):
            rows[:, place] = getattr(executed, name)
        rows[:, STEP], rows[:, ROUND] = step, done.number
        rows[:, ORDER], rows[:, VENUE] = np.arange(size), done.venue
        for place, name in enumerate(REAL_COLUMNS):
            self.close_out_values[first : first + size, place] = getattr(executed, name)
        self.counts[N_CLOSE_OUTS] = first + size
        for action, causes in done.causes:
            self._append_causes(action, causes)

    def _append_causes(self, action: I8, causes: Causes) -> None:
        first = int(self.counts[N_CAUSES])
        here = slice(first, first + action.size)
        columns = (action, causes.kind, causes.step, causes.round, causes.instrument)
        for place, column in enumerate(columns):
            self.causes[here, place] = column
        self.amounts[here] = causes.amount
        self.counts[N_CAUSES] = here.stop

    def executed_columns(self) -> dict[str, I8 | F8]:
        """Return the columns of all close-outs by name."""
        count = int(self.counts[N_CLOSE_OUTS])
        whole = {name: self.close_outs[:count, at].copy() for at, name in enumerate(WHOLE_COLUMNS)}
        return whole | {
            name: self.close_out_values[:count, at].copy() for at, name in enumerate(REAL_COLUMNS)
        }

    def place_column(self, column: int) -> I8:
        """Return one column of where close-outs happened: STEP, ROUND, ORDER or VENUE."""
        return self.close_outs[: self.counts[N_CLOSE_OUTS], column].copy()


def _resize(array: AnyArray, length: int) -> AnyArray:
    grown = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
