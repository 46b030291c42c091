"""Contributions of events to the excess of accounts, in arrays that grow (LIQ-6).

A stage is one kind of event between two assessments: its effect on every account with negative
excess then. Stages are numbered over the run. Those that no account needs any more are dropped from
the front. The plain step and the compiled one share the arrays of :class:`CauseArrays`.
"""

from typing import NamedTuple

import numpy as np

from sim.numerics.jit import kernel
from sim.types import F8, I8, MISSING

(HAS_PRICES, HAD_DEFICITS, FIRST, BASE, END, N_ROWS, N_AMOUNTS) = range(7)
"""Counters: whether an assessment was recorded, and whether an account had negative excess at the
last one; the numbers of the first stage that is needed, of the first that is kept, and of the next;
rows and amounts in use."""

(KIND, STEP, ROUND, INSTRUMENT, FIRST_ROW, FIRST_AMOUNT, COUNT) = range(7)
"""Columns of a stage."""

(ACTION, CAUSE_KIND, CAUSE_STEP, CAUSE_ROUND, CAUSE_INSTRUMENT) = range(5)
"""Columns of collected causes; the first is the place of the account in a request."""

MIN_ACCOUNTS, MAX_ACCOUNTS = 64, 1024
"""Bounds of the room of an empty log, stages."""


class CauseArrays(NamedTuple):
    """Log of one pool: the last assessment of its N accounts, and the stages since."""

    excess: F8  # (N,) at the last assessment, minor units of the numeraire
    since: I8  # (N,) first stage since the excess was last >= 0, MISSING = it is
    mark: F8  # (K,) at the last assessment, ticks
    price: F8  # (C,) at the last assessment
    counters: I8  # (7,)
    stages: I8  # (S, 7)
    rows: I8  # accounts of the stages, ascending in each
    amounts: F8  # change in excess of each of them, minor units of the numeraire

    @classmethod
    def allocate(cls, owners: int, instruments: int) -> "CauseArrays":
        """Return the arrays of an empty log; prices of assets are added with the first of them.

        They have room for the events of a few liquidation rounds, so that few runs enlarge them.
        """
        accounts = min(max(owners, MIN_ACCOUNTS), MAX_ACCOUNTS)
        return cls(
            excess=np.zeros(owners),
            since=np.full(owners, MISSING),
            mark=np.zeros(instruments),
            price=np.zeros(0),
            counters=np.zeros(7, dtype=np.int64),
            stages=np.zeros((accounts, 7), dtype=np.int64),
            rows=np.zeros(4 * accounts, dtype=np.int64),
            amounts=np.zeros(16 * accounts),
        )


@kernel
def make_stage_room(
    counters: I8, stages: I8, rows: I8, amounts: F8, more_stages: int, accounts: int
) -> bool:
    """Return whether stages of so many accounts have room, after dropped ones are removed."""
    for attempt in range(2):
        if (
            counters[END] - counters[BASE] + more_stages <= len(stages)
            and counters[N_ROWS] + accounts <= len(rows)
            and counters[N_AMOUNTS] + more_stages * accounts <= len(amounts)
        ):
            return True
        if attempt == 0:
            _remove_dropped(counters, stages, rows, amounts)
    return False


@kernel
def _remove_dropped(counters: I8, stages: I8, rows: I8, amounts: F8) -> None:
    """Move the stages that are needed to the start of the arrays."""
    skipped, count = counters[FIRST] - counters[BASE], counters[END] - counters[FIRST]
    first_row = first_amount = 0
    if count:
        first_row, first_amount = stages[skipped, FIRST_ROW], stages[skipped, FIRST_AMOUNT]
    else:
        first_row, first_amount = counters[N_ROWS], counters[N_AMOUNTS]
    for stage in range(count):
        stages[stage] = stages[skipped + stage]
        stages[stage, FIRST_ROW] -= first_row
        stages[stage, FIRST_AMOUNT] -= first_amount
    for place in range(first_row, counters[N_ROWS]):
        rows[place - first_row] = rows[place]
    for place in range(first_amount, counters[N_AMOUNTS]):
        amounts[place - first_amount] = amounts[place]
    counters[N_ROWS] -= first_row
    counters[N_AMOUNTS] -= first_amount
    counters[BASE] = counters[FIRST]


@kernel
def append_rows(counters: I8, rows: I8, added: I8) -> int:
    """Append the accounts of the next stages, and return the place of the first of them."""
    first = counters[N_ROWS]
    rows[first : first + added.size] = added
    counters[N_ROWS] = first + added.size
    return first


@kernel
def append_stage(
    counters: I8,
    stages: I8,
    amounts: F8,
    kind: int,
    step: int,
    round_number: int,
    instrument: int,
    first_row: int,
    change: F8,
) -> None:
    """Append a stage with the changes in excess of the accounts from one place on."""
    stage = stages[counters[END] - counters[BASE]]
    first = counters[N_AMOUNTS]
    stage[KIND], stage[STEP], stage[ROUND], stage[INSTRUMENT] = kind, step, round_number, instrument
    stage[FIRST_ROW], stage[FIRST_AMOUNT], stage[COUNT] = first_row, first, change.size
    amounts[first : first + change.size] = change
    counters[N_AMOUNTS] = first + change.size
    counters[END] += 1


@kernel
def drop_stages(counters: I8, since: I8, under: I8) -> None:
    """Drop the stages before the first that one of the accounts ``under`` needs."""
    first = counters[END]
    for row in under:
        if since[row] != MISSING:
            first = min(first, since[row])
    counters[FIRST] = first


@kernel
def collect_amounts(
    counters: I8,
    since: I8,
    stages: I8,
    rows: I8,
    amounts: F8,
    wanted: I8,
    causes: I8,
    values: F8,
) -> int:
    """Collect the contributions to the excess of some accounts since it was last >= 0.

    Args:
        counters, since, stages, rows, amounts: the log.
        wanted: accounts, ascending.
        causes: (n, 5) out; contributions for which there is no room are counted only.
        values: (n,) out, minor units of the numeraire.

    Returns:
        The number of contributions, ordered by stage and account.
    """
    count = 0
    for number in range(counters[FIRST], counters[END]):
        stage = stages[number - counters[BASE]]
        low, stop = stage[FIRST_ROW], stage[FIRST_ROW] + stage[COUNT]
        offset = stage[FIRST_AMOUNT] - stage[FIRST_ROW]
        for place in range(wanted.size):
            row = wanted[place]
            if since[row] > number:
                continue
            low = _find_row(rows, low, stop, row)
            if low < stop and rows[low] == row:
                if count < len(causes):
                    causes[count, ACTION], values[count] = place, amounts[offset + low]
                    causes[count, 1:] = stage[KIND : INSTRUMENT + 1]
                count += 1
    return count


@kernel
def _find_row(rows: I8, low: int, stop: int, row: int) -> int:
    """Return the first place from ``low`` on with an account not below ``row``."""
    high = stop
    while low < high:
        middle = (low + high) >> 1
        if rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low
