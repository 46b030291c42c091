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
        self._excess: F8 = np.zeros(is_margined.size)
        self._view: MarketView | None = None
        self._since = np.full(is_margined.size, MISSING)
        self._stages: list[ExcessChange] = []
        self._n_dropped = 0  # stages deleted at the front
        self._had_deficits = False  # True if an account had negative excess at the last assessment

    def record_assessment(
        self, accounts: Exposure, excess: F8, moment: AssessmentMoment, journal: list[JournalEntry]
    ) -> None:
        """Record one assessment, directly after it was made."""
        under = (excess < 0) & self.is_margined
        rows = np.flatnonzero(under)
        if self._view is not None and rows.size:
            fresh = rows[(self._excess[rows] >= 0) | (self._since[rows] == MISSING)]
            self._since[fresh] = self._n_dropped + len(self._stages)
            if moment.round == MISSING or journal or self._has_new_prices(accounts.market):
                self._stages.extend(
                    self._replay_journal(accounts.take(rows), rows, excess[rows], moment, journal)
                )
        if rows.size or self._had_deficits:
            np.putmask(self._since, ~under, MISSING)
            self._drop_stages(self._since[rows])
        self._had_deficits, self._excess, self._view = rows.size > 0, excess, accounts.market

    @property
    def last(self) -> tuple[F8, MarketView | None, bool]:
        """Excess and view of the last assessment, and whether an account had a deficit."""
        return self._excess, self._view, self._had_deficits

    def resume(self, excess: F8, view: MarketView, *, had_deficits: bool) -> None:
        """Continue after an assessment that was not recorded, because it had nothing to record.

        Args:
            excess: (A,) minor units.
            view: the pool's view at that assessment.
            had_deficits: whether an account had negative excess.
        """
        self._excess, self._view, self._had_deficits = excess, view, had_deficits

    def _has_new_prices(self, now: MarketView) -> bool:
        then = self._view
        return then is None or not (
            np.array_equal(then.mark, now.mark) and np.array_equal(then.price, now.price)
        )

    def _drop_stages(self, since: I8) -> None:
        """Drop the stages before the first that an account with negative excess needs."""
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
        """Yield each kind of event's contribution between the last assessment and this one."""
        changes = JournalTotals(rows, self.pool, now).add_journal(journal)
        balance = now.balance - sum(change.balance for change in changes.values())
        position = now.position - sum(change.position for change in changes.values())
        then = self._view
        assert then is not None
        accounts = now._replace(
            balance=balance,
            position=position,
            market=now.market._replace(mark=then.mark, price=then.price),
        )
        before = self._excess[rows]
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
        parts: list[Causes] = []
        for place, stage in enumerate(self._stages, start=self._n_dropped):
            at = np.searchsorted(stage.rows, rows)
            affected = (at < stage.rows.size) & (self._since[rows] <= place)
            affected[affected] = stage.rows[at[affected]] == rows[affected]
            amount = stage.amount[at[affected]]
            parts.append(
                Causes(
                    row=rows[affected],
                    kind=np.full(amount.size, CAUSE_KINDS.index(stage.kind)),
                    step=np.full(amount.size, stage.step),
                    round=np.full(amount.size, stage.round),
                    instrument=np.full(amount.size, stage.instrument),
                    amount=amount,
                )
            )
        return Causes.join(parts)


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
