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
from sim.ledger import Entry
from sim.protocols import Assessor
from sim.types import B1, F8, I8, NOBODY, Exposure, Fills, MarketView, Pool, Transfers

REQUIREMENT, FUNDING, DEPOSIT, INDEX, COLLATERAL, VOLUNTARY, CARRY, LOSS, OWN, CLOSE_OUT = (
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

KINDS = (REQUIREMENT, FUNDING, DEPOSIT, INDEX, COLLATERAL, VOLUNTARY, CARRY, LOSS, OWN, CLOSE_OUT)


class Moment(NamedTuple):
    """Where in the run an assessment stands, and how the marks got there."""

    step: int
    round: int  # the liquidation round just made, NOBODY before the first
    marks: Callable[[], dict[str, F8]]  # kind of event -> marks after it (K of the venue), the present ones last


class Stage(NamedTuple):
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
        row, *names, amount = (np.concatenate(columns) for columns in zip(NO_CAUSES, *parts, strict=True))
        return cls(row, names[0], names[1], names[2], names[3], amount)


_NOTHING = np.empty(0, dtype=np.int64)
NO_CAUSES = Causes(_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, np.empty(0))


class Change(NamedTuple):
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

    def __init__(self, pool: Pool, watched: B1, engine: Assessor) -> None:
        self.pool, self.watched, self._engine = pool, watched, engine
        self._excess: F8 = np.zeros(watched.size)
        self._view: MarketView | None = None
        self._since = np.full(watched.size, NOBODY)
        self._stages: list[Stage] = []
        self._dropped = 0  # stages forgotten at the front
        self._followed = False  # whether anybody was under water at the last assessment

    def trace(self, book: Exposure, excess: F8, moment: Moment, journal: list[Entry]) -> None:
        """Take note of one assessment, the first thing after it was made."""
        under = (excess < 0) & self.watched
        rows = np.flatnonzero(under)
        if self._view is not None and rows.size:
            fresh = rows[(self._excess[rows] >= 0) | (self._since[rows] == NOBODY)]
            self._since[fresh] = self._dropped + len(self._stages)
            if moment.round == NOBODY or journal or self._repriced(book.market):
                self._stages.extend(self._replay(book.take(rows), rows, excess[rows], moment, journal))
        if rows.size or self._followed:
            np.putmask(self._since, ~under, NOBODY)
            self._forget(self._since[rows])
        self._followed, self._excess, self._view = rows.size > 0, excess, book.market

    def _repriced(self, now: MarketView) -> bool:
        then = self._view
        return then is None or not (np.array_equal(then.mark, now.mark) and np.array_equal(then.price, now.price))

    def _forget(self, since: I8) -> None:
        """Drop the stages before the first that somebody under water needs."""
        first = int(since.min(initial=self._dropped + len(self._stages), where=since != NOBODY))
        del self._stages[: first - self._dropped]
        self._dropped = first

    def _replay(self, now: Exposure, rows: I8, final: F8, moment: Moment, journal: list[Entry]) -> Iterator[Stage]:
        """Each kind of event's contribution, from the state at the last assessment to the present one."""
        changes = Tally(rows, self.pool, now).add(journal)
        balance = now.balance - sum(change.balance for change in changes.values())
        position = now.position - sum(change.position for change in changes.values())
        then = self._view
        assert then is not None
        book = now._replace(
            balance=balance, position=position, market=now.market._replace(mark=then.mark, price=then.price)
        )
        before = self._excess[rows]
        for kind, instrument, state, touched in self._states(book, now, changes, moment):
            after = self._after(state, before, touched)
            if np.any(after != before):
                yield Stage(kind, moment.step, moment.round, instrument, rows, after - before)
            before = after
        if not np.all(np.abs(final - before) <= 1.0 + 1e-9 * np.abs(before)):
            raise ConservationError("causes: an event is missing from the log")

    def _after(self, book: Exposure, before: F8, touched: B1 | None) -> F8:
        """The excess of each account, assessed anew where an event touched it; None = it touched all of them."""
        if touched is None:
            return self._engine.assess(book).excess
        after, rows = before.copy(), np.flatnonzero(touched)
        after[rows] = self._engine.assess(book.take(rows)).excess
        return after

    def _states(
        self, book: Exposure, now: Exposure, changes: dict[str, Change], moment: Moment
    ) -> Iterator[tuple[str, int, Exposure, B1 | None]]:
        """The accounts after each kind of event in turn, and which of them it touched; None = all."""
        if moment.round == NOBODY:  # engines learn between steps only
            yield REQUIREMENT, NOBODY, book, None
        marks = moment.marks()
        for kind in KINDS:
            moved, touched = kind in changes, None
            if moved:
                change = changes[kind]
                touched = change.touched
                book = book._replace(balance=book.balance + change.balance, position=book.position + change.position)
            if kind == COLLATERAL and not np.array_equal(book.market.price, now.market.price):
                book = book._replace(market=book.market._replace(price=now.market.price))
                moved, touched = True, None
            if kind in marks:
                mark = marks[kind][self.pool.local]
                if not np.array_equal(mark, book.market.mark):
                    book = book._replace(market=book.market._replace(mark=mark))
                    moved, touched = True, None
            if moved:
                yield kind, NOBODY, book, touched
        for column in np.flatnonzero(book.market.mark != now.market.mark):
            mark = book.market.mark.copy()
            mark[column] = now.market.mark[column]
            book = book._replace(market=book.market._replace(mark=mark))
            yield CLOSE_OUT, self.pool.instruments.start + int(column), book, None

    def of(self, rows: I8) -> Causes:
        """Everything that has pushed some accounts since their excess was last >= 0."""
        parts: list[Causes] = []
        for place, stage in enumerate(self._stages, start=self._dropped):
            at = np.searchsorted(stage.rows, rows)
            found = (at < stage.rows.size) & (self._since[rows] <= place)
            found[found] = stage.rows[at[found]] == rows[found]
            amount = stage.amount[at[found]]
            named = (KINDS.index(stage.kind), stage.step, stage.round, stage.instrument)
            columns = [np.full(amount.size, value) for value in named]
            parts.append(Causes(rows[found], columns[0], columns[1], columns[2], columns[3], amount))
        return Causes.join(parts)


AnyPosting = TypeVar("AnyPosting", Fills, Transfers)


def _joined(journal: list[Entry], what: type[AnyPosting]) -> dict[str, AnyPosting]:
    """Postings of one type by event, each event's as one."""
    found: dict[str, list[AnyPosting]] = {}
    for event, posting in journal:
        if isinstance(posting, what):
            found.setdefault(event, []).append(posting)
    return {
        event: what(*(np.concatenate(columns) for columns in zip(*postings, strict=True)))
        for event, postings in found.items()
    }


class Tally:
    """Net postings of a journal to some accounts of a pool, by kind of event.

    A close-out is OWN to the account closed out and VOLUNTARY to the accounts whose resting orders it met.

    Args:
        rows: (R,) accounts, ascending.
        pool: theirs.
        shape: their books, for the number of assets and the contracts.
    """

    def __init__(self, rows: I8, pool: Pool, shape: Exposure) -> None:
        self.pool, self.shape = pool, shape
        self.changes: dict[str, Change] = {}
        self._place = np.full(int(rows[-1]) + 1, NOBODY)
        self._place[rows] = np.arange(rows.size)

    def add(self, journal: list[Entry]) -> dict[str, Change]:
        """Go through the journal, all postings of an event at once: a waterfall makes one for each account."""
        for event, fills in _joined(journal, Fills).items():
            taker, maker = (OWN, VOLUNTARY) if event == CLOSE_OUT else (event, event)
            self._trade(taker, fills, fills.taker, 1)
            self._trade(maker, fills, fills.maker, -1)
        for event, moves in _joined(journal, Transfers).items():
            kind = OWN if event == CLOSE_OUT else event
            self._cash(kind, moves, moves.source, moves.source_pool == self.pool.number, -1)
            self._cash(kind, moves, moves.target, moves.target_pool == self.pool.number, 1)
        return self.changes

    def _known(self, owner: I8, here: B1) -> I8:
        """Which postings concern one of the accounts."""
        known = here & (owner < self._place.size)
        known[known] = self._place[owner[known]] != NOBODY
        return np.flatnonzero(known)

    def _change(self, kind: str) -> Change:
        if kind not in self.changes:
            balance, position = self.shape.balance, self.shape.position
            nobody = np.zeros(len(balance), dtype=bool)
            self.changes[kind] = Change(np.zeros_like(balance), np.zeros_like(position), nobody)
        return self.changes[kind]

    def _trade(self, kind: str, fills: Fills, owner: I8, sign: int) -> None:
        part = self.pool.instruments
        at = self._known(owner, (fills.instrument >= part.start) & (fills.instrument < part.stop))
        if at.size:
            contracts, column = self.shape.market.contracts, fills.instrument[at] - part.start
            row, lots, change = self._place[owner[at]], sign * fills.quantity[at], self._change(kind)
            change.touched[row] = True
            np.add.at(change.position, (row, column), lots)
            value = lots * fills.price[at] * contracts.multiplier[column]
            np.add.at(change.balance, (row, contracts.settle[column]), -value)

    def _cash(self, kind: str, moves: Transfers, owner: I8, here: B1, sign: int) -> None:
        at = self._known(owner, here)
        if at.size:
            row, change = self._place[owner[at]], self._change(kind)
            change.touched[row] = True
            np.add.at(change.balance, (row, moves.asset[at]), sign * moves.amount[at])
