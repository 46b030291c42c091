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
"""

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
from sim.types import B1, F8, I8, MISSING, Exposure, Fills, MarginPool, MarketView, Transfers

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
    instrument: int  # global, for CLOSE_OUT; otherwise MISSING
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


class NetPostings(NamedTuple):
    """Net postings of one kind of event to some accounts."""

    balance: I8  # (R, C)
    position: I8  # (R, K)
    touched: B1  # (R,) accounts with such postings


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
        changes = JournalTotals(rows, self.pool, now).add_journal(journal)
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
        changes: dict[str, NetPostings],
        moment: AssessmentMoment,
    ) -> Iterator[tuple[str, int, Exposure, B1 | None]]:
        """Yield the accounts after each kind of event, and which of them it changed; None = all."""
        if moment.round == MISSING:  # engines learn between steps only
            yield REQUIREMENT, MISSING, accounts, None
        marks = moment.mark_stages()
        for kind in CAUSE_KINDS:
            changed, touched = kind in changes, None
            if changed:
                change = changes[kind]
                touched = change.touched
                balance, position = (
                    accounts.balance + change.balance,
                    accounts.position + change.position,
                )
                accounts = accounts._replace(balance=balance, position=position)
            repriced = self._reprice(accounts, kind, now.market, marks)
            if repriced is not accounts:
                accounts, changed, touched = repriced, True, None
            if changed:
                yield kind, MISSING, accounts, touched
        for column in np.flatnonzero(accounts.market.mark != now.market.mark):
            mark = accounts.market.mark.copy()
            mark[column] = now.market.mark[column]
            accounts = accounts._replace(market=accounts.market._replace(mark=mark))
            yield CLOSE_OUT, self.pool.instruments.start + int(column), accounts, None

    def _reprice(
        self, accounts: Exposure, kind: str, now: MarketView, marks: dict[str, F8]
    ) -> Exposure:
        """Return the accounts at prices after a kind of event; the same object if none changed."""
        if kind == COLLATERAL and not np.array_equal(accounts.market.price, now.price):
            accounts = accounts._replace(market=accounts.market._replace(price=now.price))
        if kind in marks:
            mark = marks[kind][self.pool.venue_slice]
            if not np.array_equal(mark, accounts.market.mark):
                accounts = accounts._replace(market=accounts.market._replace(mark=mark))
        return accounts

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


AnyArray = TypeVar("AnyArray", F8, I8)


def _enlarge(array: AnyArray, more: int) -> AnyArray:
    """Return an array of at least twice the length with the same first rows."""
    grown = np.zeros((2 * len(array) + more, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


AnyPosting = TypeVar("AnyPosting", Fills, Transfers)


def _join_postings(journal: list[JournalEntry], record: type[AnyPosting]) -> dict[str, AnyPosting]:
    """Return the postings of one type by event, those of one event joined."""
    by_event: dict[str, list[AnyPosting]] = {}
    for event, posting in journal:
        if isinstance(posting, record):
            by_event.setdefault(event, []).append(posting)
    return {
        event: record(*(np.concatenate(columns) for columns in zip(*postings, strict=True)))
        for event, postings in by_event.items()
    }


class JournalTotals:
    """Net postings of a journal to some accounts of a pool, by kind of event.

    A close-out is OWN_CLOSE_OUT for the account closed out, and VOLUNTARY for the accounts whose
    resting orders it filled.

    Args:
        rows: (R,) accounts, ascending.
        pool: pool of the accounts.
        template: the accounts, for the number of assets and the contracts.
    """

    def __init__(self, rows: I8, pool: MarginPool, template: Exposure) -> None:
        self.pool, self.template = pool, template
        self.changes: dict[str, NetPostings] = {}
        self._row_of_owner = np.full(int(rows[-1]) + 1, MISSING)
        self._row_of_owner[rows] = np.arange(rows.size)

    def add_journal(self, journal: list[JournalEntry]) -> dict[str, NetPostings]:
        """Add a journal and return the totals; a waterfall posts once for each account."""
        for event, fills in _join_postings(journal, Fills).items():
            taker, maker = (OWN_CLOSE_OUT, VOLUNTARY) if event == CLOSE_OUT else (event, event)
            self._add_fills(taker, fills, fills.taker, 1)
            self._add_fills(maker, fills, fills.maker, -1)
        for event, moves in _join_postings(journal, Transfers).items():
            kind = OWN_CLOSE_OUT if event == CLOSE_OUT else event
            self._add_transfers(
                kind, moves, moves.source, moves.source_pool == self.pool.number, -1
            )
            self._add_transfers(kind, moves, moves.target, moves.target_pool == self.pool.number, 1)
        return self.changes

    def _find_postings(self, owner: I8, here: B1) -> I8:
        """Return the postings that concern one of the accounts."""
        known = here & (owner < self._row_of_owner.size)
        known[known] = self._row_of_owner[owner[known]] != MISSING
        return np.flatnonzero(known)

    def _net_postings(self, kind: str) -> NetPostings:
        if kind not in self.changes:
            balance, position = self.template.balance, self.template.position
            untouched = np.zeros(len(balance), dtype=bool)
            self.changes[kind] = NetPostings(
                np.zeros_like(balance), np.zeros_like(position), untouched
            )
        return self.changes[kind]

    def _add_fills(self, kind: str, fills: Fills, owner: I8, sign: int) -> None:
        part = self.pool.instruments
        at = self._find_postings(
            owner, (fills.instrument >= part.start) & (fills.instrument < part.stop)
        )
        if at.size:
            contracts, column = self.template.market.contracts, fills.instrument[at] - part.start
            row, lots = self._row_of_owner[owner[at]], sign * fills.quantity[at]
            change = self._net_postings(kind)
            change.touched[row] = True
            np.add.at(change.position, (row, column), lots)
            value = lots * fills.price[at] * contracts.multiplier[column]
            np.add.at(change.balance, (row, contracts.settle[column]), -value)

    def _add_transfers(self, kind: str, moves: Transfers, owner: I8, here: B1, sign: int) -> None:
        at = self._find_postings(owner, here)
        if at.size:
            row, change = self._row_of_owner[owner[at]], self._net_postings(kind)
            change.touched[row] = True
            np.add.at(change.balance, (row, moves.asset[at]), sign * moves.amount[at])
