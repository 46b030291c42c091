"""Who pushed whom under (LIQ-6): the excess of accounts under water, followed along the ordered event log.

Between two assessments of a pool the log is replayed for the accounts that are under water, one kind of event after
another; a kind's contribution is the change in excess that it makes with all else held. Contributions telescope: they
sum to the change in excess exactly. They add up over the intervals since the account's excess was last >= 0.

The order within an interval is: requirement, funding, deposits, index, collateral, voluntary flow, carry-over of the
mark's average, losses allocated, then close-outs. Index means the mark moved with the oracle while the book's premium
over it stays; voluntary flow is the account's own trades and the change of that premium. Inside liquidation rounds,
only close-outs move anything; an instrument's move is shared among them by `mark_after` less `mark_before` of each.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from sim.errors import ConservationError
from sim.ledger import JournalEntry
from sim.protocols import Assessor
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
"""Kinds of event. OWN is the account's own close-out: its price against the mark, its fee, and the margin it frees."""

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
    """Where in the run an assessment stands, and how the marks got there."""

    step: int
    round: int  # the liquidation round just made, NOBODY before the first
    mark_stages: Callable[
        [], dict[str, F8]
    ]  # kind of event -> marks after it (K of the venue), the present ones last


class ExcessChange(NamedTuple):
    """What one kind of event did to the accounts that were under water."""

    kind: str
    step: int
    round: int
    instrument: int  # global, for CLOSE_OUT; else NOBODY
    rows: I8  # (R,) ascending
    amount: F8  # (R,) change in excess, minor units of the numeraire


class Causes(NamedTuple):
    """Contributions to the excess of some accounts, one row each."""

    row: I8
    kind: I8  # place in KINDS
    step: I8
    round: I8
    instrument: I8
    amount: F8

    @classmethod
    def join(cls, parts: "Sequence[Causes]") -> "Causes":
        """Several batches, one after another."""
        row, *names, amount = (
            np.concatenate(columns) for columns in zip(NO_CAUSES, *parts, strict=True)
        )
        return cls(row, names[0], names[1], names[2], names[3], amount)


_NO_ROWS = np.empty(0, dtype=np.int64)
NO_CAUSES = Causes(_NO_ROWS, _NO_ROWS, _NO_ROWS, _NO_ROWS, _NO_ROWS, np.empty(0))


class NetPostings(NamedTuple):
    """Net postings of one kind of event to some accounts."""

    balance: I8  # (R, C)
    position: I8  # (R, K)
    touched: B1  # (R,) accounts that had any


class CauseLog:
    """The memory of one pool.

    Args:
        pool: whose accounts.
        watched: (A,) accounts that can be liquidated.
        engine: the pool's.
    """

    def __init__(self, pool: MarginPool, watched: B1, engine: Assessor) -> None:
        self.pool, self.is_margined, self._engine = pool, watched, engine
        self._excess: F8 = np.zeros(watched.size)
        self._view: MarketView | None = None
        self._since = np.full(watched.size, MISSING)
        self._stages: list[ExcessChange] = []
        self._n_dropped = 0  # stages forgotten at the front
        self._had_deficits = False  # whether anybody was under water at the last assessment

    def record_assessment(
        self, book: Exposure, excess: F8, moment: AssessmentMoment, journal: list[JournalEntry]
    ) -> None:
        """Take note of one assessment, the first thing after it was made."""
        under = (excess < 0) & self.is_margined
        rows = np.flatnonzero(under)
        if self._view is not None and rows.size:
            fresh = rows[(self._excess[rows] >= 0) | (self._since[rows] == MISSING)]
            self._since[fresh] = self._n_dropped + len(self._stages)
            if moment.round == MISSING or journal or self._has_new_prices(book.market):
                self._stages.extend(
                    self._replay_journal(book.take(rows), rows, excess[rows], moment, journal)
                )
        if rows.size or self._had_deficits:
            np.putmask(self._since, ~under, MISSING)
            self._drop_stages(self._since[rows])
        self._had_deficits, self._excess, self._view = rows.size > 0, excess, book.market

    def _has_new_prices(self, now: MarketView) -> bool:
        then = self._view
        return then is None or not (
            np.array_equal(then.mark, now.mark) and np.array_equal(then.price, now.price)
        )

    def _drop_stages(self, since: I8) -> None:
        """Drop the stages before the first that somebody under water needs."""
        first = int(since.min(initial=self._n_dropped + len(self._stages), where=since != MISSING))
        del self._stages[: first - self._n_dropped]
        self._n_dropped = first

    def _replay_journal(
        self,
        now: Exposure,
        rows: I8,
        final: F8,
        moment: AssessmentMoment,
        journal: list[JournalEntry],
    ) -> Iterator[ExcessChange]:
        """Each kind of event's contribution, from the state at the last assessment to the present one."""
        changes = JournalTotals(rows, self.pool, now).add_journal(journal)
        balance = now.balance - sum(change.balance for change in changes.values())
        position = now.position - sum(change.position for change in changes.values())
        then = self._view
        assert then is not None
        book = now._replace(
            balance=balance,
            position=position,
            market=now.market._replace(mark=then.mark, price=then.price),
        )
        before = self._excess[rows]
        for kind, instrument, state, touched in self._iterate_states(book, now, changes, moment):
            after = self._reassess_excess(state, before, touched)
            if np.any(after != before):
                yield ExcessChange(
                    kind, moment.step, moment.round, instrument, rows, after - before
                )
            before = after
        if not np.all(np.abs(final - before) <= 1.0 + 1e-9 * np.abs(before)):
            raise ConservationError("causes: an event is missing from the log")

    def _reassess_excess(self, book: Exposure, before: F8, touched: B1 | None) -> F8:
        """The excess of each account, assessed anew where an event touched it; None = it touched all of them."""
        if touched is None:
            return self._engine.assess(book).excess
        after, rows = before.copy(), np.flatnonzero(touched)
        after[rows] = self._engine.assess(book.take(rows)).excess
        return after

    def _iterate_states(
        self,
        book: Exposure,
        now: Exposure,
        changes: dict[str, NetPostings],
        moment: AssessmentMoment,
    ) -> Iterator[tuple[str, int, Exposure, B1 | None]]:
        """The accounts after each kind of event in turn, and which of them it touched; None = all."""
        if moment.round == MISSING:  # engines learn between steps only
            yield REQUIREMENT, MISSING, book, None
        marks = moment.mark_stages()
        for kind in CAUSE_KINDS:
            moved, touched = kind in changes, None
            if moved:
                change = changes[kind]
                touched = change.touched
                book = book._replace(
                    balance=book.balance + change.balance, position=book.position + change.position
                )
            if kind == COLLATERAL and not np.array_equal(book.market.price, now.market.price):
                book = book._replace(market=book.market._replace(price=now.market.price))
                moved, touched = True, None
            if kind in marks:
                mark = marks[kind][self.pool.venue_slice]
                if not np.array_equal(mark, book.market.mark):
                    book = book._replace(market=book.market._replace(mark=mark))
                    moved, touched = True, None
            if moved:
                yield kind, MISSING, book, touched
        for column in np.flatnonzero(book.market.mark != now.market.mark):
            mark = book.market.mark.copy()
            mark[column] = now.market.mark[column]
            book = book._replace(market=book.market._replace(mark=mark))
            yield CLOSE_OUT, self.pool.instruments.start + int(column), book, None

    def collect_causes(self, rows: I8) -> Causes:
        """Everything that has pushed some accounts since their excess was last >= 0."""
        parts: list[Causes] = []
        for place, stage in enumerate(self._stages, start=self._n_dropped):
            at = np.searchsorted(stage.rows, rows)
            found = (at < stage.rows.size) & (self._since[rows] <= place)
            found[found] = stage.rows[at[found]] == rows[found]
            amount = stage.amount[at[found]]
            named = (CAUSE_KINDS.index(stage.kind), stage.step, stage.round, stage.instrument)
            columns = [np.full(amount.size, value) for value in named]
            parts.append(
                Causes(rows[found], columns[0], columns[1], columns[2], columns[3], amount)
            )
        return Causes.join(parts)


AnyPosting = TypeVar("AnyPosting", Fills, Transfers)


def _join_postings(journal: list[JournalEntry], what: type[AnyPosting]) -> dict[str, AnyPosting]:
    """Postings of one type by event, each event's as one."""
    found: dict[str, list[AnyPosting]] = {}
    for event, posting in journal:
        if isinstance(posting, what):
            found.setdefault(event, []).append(posting)
    return {
        event: what(*(np.concatenate(columns) for columns in zip(*postings, strict=True)))
        for event, postings in found.items()
    }


class JournalTotals:
    """Net postings of a journal to some accounts of a pool, by kind of event.

    A close-out is OWN to the account closed out and VOLUNTARY to the accounts whose resting orders it met.

    Args:
        rows: (R,) accounts, ascending.
        pool: theirs.
        shape: their books, for the number of assets and the contracts.
    """

    def __init__(self, rows: I8, pool: MarginPool, shape: Exposure) -> None:
        self.pool, self.template = pool, shape
        self.changes: dict[str, NetPostings] = {}
        self._row_of_owner = np.full(int(rows[-1]) + 1, MISSING)
        self._row_of_owner[rows] = np.arange(rows.size)

    def add_journal(self, journal: list[JournalEntry]) -> dict[str, NetPostings]:
        """Go through the journal, all postings of an event at once: a waterfall makes one for each account."""
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
        """Which postings concern one of the accounts."""
        known = here & (owner < self._row_of_owner.size)
        known[known] = self._row_of_owner[owner[known]] != MISSING
        return np.flatnonzero(known)

    def _net_postings(self, kind: str) -> NetPostings:
        if kind not in self.changes:
            balance, position = self.template.balance, self.template.position
            nobody = np.zeros(len(balance), dtype=bool)
            self.changes[kind] = NetPostings(
                np.zeros_like(balance), np.zeros_like(position), nobody
            )
        return self.changes[kind]

    def _add_fills(self, kind: str, fills: Fills, owner: I8, sign: int) -> None:
        part = self.pool.instruments
        at = self._find_postings(
            owner, (fills.instrument >= part.start) & (fills.instrument < part.stop)
        )
        if at.size:
            contracts, column = self.template.market.contracts, fills.instrument[at] - part.start
            row, lots, change = (
                self._row_of_owner[owner[at]],
                sign * fills.quantity[at],
                self._net_postings(kind),
            )
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
