"""Kernels that undo and make again the events between two assessments (LIQ-6)."""

import numpy as np

from sim.attribution import (
    CARRY,
    CAUSE_KINDS,
    CLOSE_OUT,
    COLLATERAL,
    FUNDING,
    INDEX,
    LOSS,
    OWN_CLOSE_OUT,
    REQUIREMENT,
    VOLUNTARY,
)
from sim.compiled.arrays import (
    AMOUNT,
    ASSET,
    CONCERNED,
    EVENT,
    N_FILLS,
    N_MOVES,
    SOURCE,
    SOURCE_POOL,
    TARGET,
    TARGET_POOL,
)
from sim.exchange.matching import LOTS, MAKER, TAKER, TICKS, TRADED
from sim.numerics.jit import kernel
from sim.numerics.rounding import round_up_one
from sim.types import B1, F8, I8, MISSING

N_KINDS = len(CAUSE_KINDS)
(
    AT_REQUIREMENT,
    AT_FUNDING,
    AT_INDEX,
    AT_COLLATERAL,
    AT_VOLUNTARY,
    AT_CARRY,
    AT_OWN,
    AT_LOSS,
    AT_CLOSE_OUT,
) = (
    CAUSE_KINDS.index(kind)
    for kind in (
        REQUIREMENT,
        FUNDING,
        INDEX,
        COLLATERAL,
        VOLUNTARY,
        CARRY,
        OWN_CLOSE_OUT,
        LOSS,
        CLOSE_OUT,
    )
)
"""Numbers of kinds."""

ALL_KINDS = MISSING
"""Request for the events of all kinds, and of all instruments."""

WHOLE = 0
"""Part of a kind that belongs to no instrument, or to the only one of the pool; part k + 1 is that
of instrument k."""

(N_UNDER, ROUND, REPLAYS, FILL_EVENT, IS_INCOMPLETE) = range(5)
"""Places of a pool's state of attribution: accounts with negative excess, the round just made,
whether events are replayed, the event of the fills, and whether an event was missing."""


@kernel
def count_parts(instruments: int) -> int:
    """Return the number of parts into which a kind of event is divided."""
    return 1 if instruments == 1 else instruments + 1


@kernel
def count_stages(instruments: int) -> int:
    """Return the most stages between two assessments of a pool of so many instruments."""
    return N_KINDS * count_parts(instruments) + instruments + 1


@kernel
def find_part(instrument: int, instruments: int) -> int:
    """Return the part of an event of one of the pool's instruments; others are of no instrument."""
    is_known = instruments > 1 and 0 <= instrument < instruments
    return instrument + 1 if is_known else WHOLE


@kernel
def gather_accounts(
    tick: int,
    number: I8,
    rows: I8,
    live_position: I8,
    live_entry: I8,
    live_balance: I8,
    pool: int,
    count: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    balance: I8,
) -> int:
    """Copy some accounts of a pool to hypothetical ones, at the venue's highest leverage.

    Args:
        tick: present tick.
        number: first the number of accounts.
        rows: (N,) their owners.
        live_position, live_entry, live_balance: accounts of the ledger.
        pool: number of the pool.
        count, position, entry, leverage, balance: hypothetical accounts, out.
    """
    count[0] = number[0]
    for row in range(number[0]):
        owner = rows[row]
        for k in range(len(position)):
            position[k, row], entry[k, row] = live_position[k, owner], live_entry[k, owner]
            leverage[k, row] = np.inf
        for asset in range(len(balance)):
            balance[asset, 0, row] = live_balance[asset, pool, owner]
    return 0


@kernel
def post_events(
    kind: int,
    part: int,
    sign: int,
    fill_event: int,
    fills: I8,
    moves: I8,
    row_of_owner: I8,
    first: int,
    pool: int,
    settle: I8,
    multiplier: I8,
    position: I8,
    balance: I8,
    touched: B1,
    present: B1,
) -> None:
    """Post a part of the events of a kind to hypothetical accounts, or undo those of all kinds.

    Args:
        kind: number of the kind, ALL_KINDS = all.
        part: which of their instruments' parts; not used for all kinds.
        sign: 1 to post, -1 to undo.
        fill_event: event of the fills.
        fills: (n, 6).
        moves: (m, 8) cash moves.
        row_of_owner: (N,) hypothetical account of each owner, MISSING = none.
        first: the pool's first instrument.
        pool: number of the pool.
        settle, multiplier: (K,) terms of the pool's instruments.
        position, balance: hypothetical accounts.
        touched: (N,) accounts that were changed, out.
        present: (10, K+1) kinds and parts that changed any, out.
    """
    for row in range(len(fills)):
        k = fills[row, TRADED] - first
        if k < 0 or k >= settle.size:
            continue
        own = find_part(k, settle.size)
        if kind != ALL_KINDS and own != part:
            continue
        for side in range(2):
            event = fill_event
            if fill_event == AT_CLOSE_OUT:
                event = AT_OWN if side == 0 else AT_VOLUNTARY
            account = row_of_owner[fills[row, TAKER if side == 0 else MAKER]]
            if account == MISSING or (kind != ALL_KINDS and kind != event):
                continue
            lots = sign * (fills[row, LOTS] if side == 0 else -fills[row, LOTS])
            position[k, account] += lots
            balance[settle[k], 0, account] -= lots * fills[row, TICKS] * multiplier[k]
            touched[account] = present[event, own] = True
    for row in range(len(moves)):
        event = moves[row, EVENT]
        if event == AT_CLOSE_OUT:
            event = AT_OWN
        own = find_part(moves[row, CONCERNED] - first, settle.size)
        if kind != ALL_KINDS and (kind != event or own != part):
            continue
        for side in range(2):
            owner = moves[row, SOURCE if side == 0 else TARGET]
            at = moves[row, SOURCE_POOL if side == 0 else TARGET_POOL]
            if at != pool or owner == MISSING or row_of_owner[owner] == MISSING:
                continue
            amount = sign * moves[row, AMOUNT]
            account = row_of_owner[owner]
            balance[moves[row, ASSET], 0, account] += amount if side else -amount
            touched[account] = present[event, own] = True


@kernel
def post_trading_fees(
    part: int,
    sign: int,
    fills: I8,
    row_of_owner: I8,
    first: int,
    settle: I8,
    multiplier: I8,
    rates: F8,
    external: int,
    balance: I8,
    touched: B1,
    present: B1,
) -> None:
    """Post the fees of the step's trades to hypothetical accounts, as payments of funding.

    ``rates`` are those of taker and maker, (2,). The ``part`` ALL_KINDS has all instruments.
    """
    if rates[0] == 0 and rates[1] == 0:
        return
    for row in range(len(fills)):
        k = fills[row, TRADED] - first
        if k < 0 or k >= settle.size:
            continue
        own = find_part(k, settle.size)
        if part != ALL_KINDS and own != part:
            continue
        notional = abs(fills[row, LOTS]) * fills[row, TICKS] * multiplier[k]
        for side in range(2):
            owner = fills[row, TAKER if side == 0 else MAKER]
            account = row_of_owner[owner]
            if owner != external and account != MISSING:
                due = np.int64(round_up_one(notional * rates[side]))
                balance[settle[k], 0, account] -= sign * due
                touched[account] = present[AT_FUNDING, own] = True


@kernel
def undo_events(
    tick: int,
    state: I8,
    counters: I8,
    fills: I8,
    moves: I8,
    rows: I8,
    row_of_owner: I8,
    first: int,
    pool: int,
    settle: I8,
    multiplier: I8,
    rates: F8,
    external: int,
    position: I8,
    balance: I8,
    touched: B1,
    present: B1,
) -> int:
    """Undo the events since the last assessment on the gathered accounts."""
    if not state[REPLAYS]:
        return 0
    for place in range(state[N_UNDER]):
        row_of_owner[rows[place]] = place
    present[:] = False
    done, moved = fills[: counters[N_FILLS]], moves[: counters[N_MOVES]]
    terms = (row_of_owner, first, pool, settle, multiplier, position, balance, touched, present)
    post_events(ALL_KINDS, WHOLE, -1, state[FILL_EVENT], done, moved, *terms)
    if state[FILL_EVENT] == AT_VOLUNTARY:
        post_trading_fees(
            ALL_KINDS,
            -1,
            done,
            row_of_owner,
            first,
            settle,
            multiplier,
            rates,
            external,
            balance,
            touched,
            present,
        )
    touched[: state[N_UNDER]] = False
    return 0
