"""Attribution of margin deficits to their causes (LIQ-6).

Between two assessments of a pool, the event log is replayed for the accounts with negative excess,
one kind of event after another. A kind's contribution is the change in excess that it makes while
all else is held. Contributions telescope: their sum is exactly the change in excess. They add up
over the intervals since the account's excess was last >= 0.

The order within an interval is: requirement, funding, deposits, index, collateral, voluntary flow,
carry-over of the mark's average, losses allocated, then close-outs. Index is the move of the mark
with the oracle at an unchanged premium of the order accounts. Voluntary flow is the account's own
trades and the change of that premium. Inside liquidation rounds, only close-outs change prices. The
move of an instrument is divided among its close-outs by `mark_after` less `mark_before` of each.

In a pool of several instruments, funding, trades and moves of marks are replayed one instrument
after another within their kind, so that each contribution carries the instrument where it arose.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from sim.errors import ConservationError
from sim.ledger import JournalEntry
from sim.protocols import Assessor
from sim.recording.cause_stages import (
    ACTION,
    CAUSE_INSTRUMENT,
    CAUSE_KIND,
    CAUSE_ROUND,
    CAUSE_STEP,
    END,
    HAD_DEFICITS,
    HAS_PRICES,
    CauseArrays,
    append_rows,
    append_stage,
    collect_amounts,
    drop_stages,
    make_stage_room,
)
from sim.recording.journal_totals import JournalTotals, Postings
from sim.types import B1, F8, I8, MISSING, Exposure, MarginPool, MarketView

(
    REQUIREMENT,
    FUNDING,
    DEPOSIT,
    INDEX,
    COLLATERAL,
    VOLUNTARY,
    CARRY,
    LOSS,
    OWN_CLOSE_OUT,
    CLOSE_OUT,
) = (
    "requirement",
    "funding",
    "deposit",
    "index",
    "collateral",
    "voluntary",
    "carry",
    "loss",
    "own",
    "close_out",
)
"""Kinds of event. OWN_CLOSE_OUT is the account's own close-out: its price against the mark, its
fee, and the margin that it frees."""

CAUSE_KINDS = (
    REQUIREMENT,
    FUNDING,
    DEPOSIT,
    INDEX,
    COLLATERAL,
    VOLUNTARY,
    CARRY,
    LOSS,
    OWN_CLOSE_OUT,
    CLOSE_OUT,
)

CLOSE_OUT_KINDS = {CLOSE_OUT: (OWN_CLOSE_OUT, VOLUNTARY)}
"""Kinds of a close-out for the account closed out, and for the accounts whose orders it filled."""


class AssessmentMoment(NamedTuple):
    """Position of an assessment in the run, and the marks that led to it."""

    step: int
    round: int  # the liquidation round just made, MISSING before the first
    # returns the venue's marks (K,) after each kind of event, the present marks last
    mark_stages: Callable[[], dict[str, F8]]


class ExcessChange(NamedTuple):
    """Effect of one kind of event on the accounts with negative excess."""

    kind: str
    step: int
    round: int
    instrument: int  # global; MISSING = of none, or of the only one of the pool
    rows: I8  # (R,) ascending
    amount: F8  # (R,) change in excess, minor units of the numeraire


class Causes(NamedTuple):
    """Contributions of events to the excess of accounts, one row each."""

    row: I8
    kind: I8  # index in CAUSE_KINDS
    step: I8
    round: I8
    instrument: I8
    amount: F8

    @classmethod
    def join(cls, parts: "Sequence[Causes]") -> "Causes":
        """Return several batches, one after another."""
        return cls._make(np.concatenate(columns) for columns in zip(NO_CAUSES, *parts, strict=True))


_NO_ROWS = np.empty(0, dtype=np.int64)
NO_CAUSES = Causes(_NO_ROWS, _NO_ROWS, _NO_ROWS, _NO_ROWS, _NO_ROWS, np.empty(0))


class CauseLog:
    """Log of the events that changed the excess of one pool's accounts.

    Args:
        pool: the margin pool.
        is_margined: (A,) accounts that can be liquidated.
        engine: margin engine of the pool.
    """

    def __init__(self, pool: MarginPool, is_margined: B1, engine: Assessor) -> None:
        self.pool, self.is_margined, self._engine = pool, is_margined, engine
        part = pool.instruments
        self.arrays = CauseArrays.allocate(is_margined.size, part.stop - part.start)

    def record_assessment(
        self, accounts: Exposure, excess: F8, moment: AssessmentMoment, journal: list[JournalEntry]
    ) -> None:
        """Record one assessment, directly after it was made."""
        log = self.arrays
        under = (excess < 0) & self.is_margined
        rows = np.flatnonzero(under)
        if log.counters[HAS_PRICES] and rows.size:
            fresh = rows[(log.excess[rows] >= 0) | (log.since[rows] == MISSING)]
            log.since[fresh] = log.counters[END]
            if moment.round == MISSING or journal or self._has_new_prices(accounts.market):
                self._append_changes(
                    rows,
                    list(
                        self._replay_journal(
                            accounts.take(rows), rows, excess[rows], moment, journal
                        )
                    ),
                )
        if rows.size or log.counters[HAD_DEFICITS]:
            np.putmask(log.since, ~under, MISSING)
            drop_stages(log.counters, log.since, rows)
        self._keep_assessment(excess, accounts.market, had_deficits=rows.size > 0)

    def _keep_assessment(self, excess: F8, market: MarketView, *, had_deficits: bool) -> None:
        log = self.arrays
        if log.price.size != market.price.size:
            self.arrays = log = log._replace(price=np.zeros_like(market.price))
        log.excess[:], log.mark[:], log.price[:] = excess, market.mark, market.price
        log.counters[HAS_PRICES], log.counters[HAD_DEFICITS] = 1, had_deficits

    def _append_changes(self, rows: I8, changes: list[ExcessChange]) -> None:
        """Append the changes between two assessments to the stages."""
        if not changes:
            return
        self.reserve_stages(len(changes), rows.size)
        log = self.arrays
        first = append_rows(log.counters, log.rows, rows)
        for change in changes:
            kind = CAUSE_KINDS.index(change.kind)
            place = (kind, change.step, change.round, change.instrument, first)
            append_stage(log.counters, log.stages, log.amounts, *place, change.amount)

    def reserve_stages(self, stages: int, accounts: int) -> None:
        """Make room for more stages of so many accounts."""
        log = self.arrays
        while not make_stage_room(
            log.counters, log.stages, log.rows, log.amounts, stages, accounts
        ):
            self.arrays = log = log._replace(
                stages=_enlarge(log.stages, stages),
                rows=_enlarge(log.rows, accounts),
                amounts=_enlarge(log.amounts, stages * accounts),
            )

    def _has_new_prices(self, now: MarketView) -> bool:
        then = self.arrays
        return not (np.array_equal(then.mark, now.mark) and np.array_equal(then.price, now.price))

    def _replay_journal(
        self,
        now: Exposure,
        rows: I8,
        final: F8,
        moment: AssessmentMoment,
        journal: list[JournalEntry],
    ) -> Iterator[ExcessChange]:
        """Yield each kind of event's contribution between the last assessment and this one."""
        changes = JournalTotals(rows, self.pool, now, LOSS).add_journal(journal, CLOSE_OUT_KINDS)
        balance = now.balance - sum(change.balance for change in changes.values())
        position = now.position - sum(change.position for change in changes.values())
        then = self.arrays
        accounts = now._replace(
            balance=balance,
            position=position,
            market=now.market._replace(mark=then.mark, price=then.price),
        )
        before = then.excess[rows]
        for kind, instrument, state, touched in self._iterate_states(
            accounts, now, changes, moment
        ):
            after = self._reassess_excess(state, before, touched)
            if np.any(after != before):
                yield ExcessChange(
                    kind, moment.step, moment.round, instrument, rows, after - before
                )
            before = after
        if not np.all(np.abs(final - before) <= 1.0 + 1e-9 * np.abs(before)):
            raise ConservationError("causes: an event is missing from the log")

    def _reassess_excess(self, accounts: Exposure, before: F8, touched: B1 | None) -> F8:
        """Return the excess after an event; ``touched`` are the accounts it changed, None = all."""
        if touched is None:
            return self._engine.assess(accounts).excess
        after, rows = before.copy(), np.flatnonzero(touched)
        after[rows] = self._engine.assess(accounts.take(rows)).excess
        return after

    def _iterate_states(
        self,
        accounts: Exposure,
        now: Exposure,
        changes: Postings,
        moment: AssessmentMoment,
    ) -> Iterator[tuple[str, int, Exposure, B1 | None]]:
        """Yield the accounts after each kind of event, and which of them it changed; None = all."""
        if moment.round == MISSING:  # engines learn between steps only
            yield REQUIREMENT, MISSING, accounts, None
        marks, first = moment.mark_stages(), self.pool.instruments.start
        for kind, column in itertools.product(CAUSE_KINDS, self._list_parts()):
            change = changes.get((kind, column))
            touched = None if change is None else change.touched
            if change is not None:
                balance, position = (
                    accounts.balance + change.balance,
                    accounts.position + change.position,
                )
                accounts = accounts._replace(balance=balance, position=position)
            repriced = self._reprice(accounts, kind, column, now.market, marks)
            if repriced is not accounts:
                accounts, touched = repriced, None
            elif change is None:
                continue
            yield kind, MISSING if column == MISSING else first + column, accounts, touched
        for column in np.flatnonzero(accounts.market.mark != now.market.mark).tolist():
            accounts = _move_mark(accounts, column, now.market.mark)
            yield CLOSE_OUT, first + column, accounts, None

    def _list_parts(self) -> Sequence[int]:
        """Return what a kind of event is divided into: that of no instrument, and of each.

        In a pool of one instrument nothing is divided.
        """
        count = self.pool.instruments.stop - self.pool.instruments.start
        return (MISSING,) if count == 1 else range(MISSING, count)

    def _reprice(
        self, accounts: Exposure, kind: str, column: int, now: MarketView, marks: dict[str, F8]
    ) -> Exposure:
        """Return the accounts at prices after a kind of event; the same object if none changed.

        Asset prices belong to no instrument, and each mark to its own.
        """
        is_whole = column == MISSING
        if is_whole and kind == COLLATERAL and not np.array_equal(accounts.market.price, now.price):
            accounts = accounts._replace(market=accounts.market._replace(price=now.price))
        if kind not in marks or (is_whole and accounts.market.mark.size > 1):
            return accounts
        mark, column = marks[kind][self.pool.venue_slice], max(column, 0)
        return (
            accounts
            if mark[column] == accounts.market.mark[column]
            else _move_mark(accounts, column, mark)
        )

    def collect_causes(self, rows: I8) -> Causes:
        """Return all contributions to the excess of some accounts since it was last >= 0."""
        log = self.arrays
        state = (log.counters, log.since, log.stages, log.rows, log.amounts)
        count = collect_amounts(*state, rows, np.empty((0, 5), dtype=np.int64), np.empty(0))
        causes, amount = np.empty((count, 5), dtype=np.int64), np.empty(count)
        collect_amounts(*state, rows, causes, amount)
        return Causes(
            row=rows[causes[:, ACTION]],
            kind=causes[:, CAUSE_KIND],
            step=causes[:, CAUSE_STEP],
            round=causes[:, CAUSE_ROUND],
            instrument=causes[:, CAUSE_INSTRUMENT],
            amount=amount,
        )


def _move_mark(accounts: Exposure, column: int, mark: F8) -> Exposure:
    """Return accounts at another mark of one instrument, ticks."""
    moved = accounts.market.mark.copy()
    moved[column] = mark[column]
    return accounts._replace(market=accounts.market._replace(mark=moved))


AnyArray = TypeVar("AnyArray", F8, I8)


def _enlarge(array: AnyArray, more: int) -> AnyArray:
    """Return an array of at least twice the length with the same first rows."""
    grown = np.zeros((2 * len(array) + more, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
