"""Net postings of a journal to the accounts of a pool, by kind of event and instrument (LIQ-6)."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from sim.ledger import JournalEntry
from sim.types import B1, I8, MISSING, Exposure, Fills, MarginPool, Transfers


class NetPostings(NamedTuple):
    """Net postings of one kind of event to some accounts."""

    balance: I8  # (R, C)
    position: I8  # (R, K)
    touched: B1  # (R,) accounts with such postings


Postings = dict[tuple[str, int], NetPostings]
"""Net postings by kind of event and instrument of the pool; MISSING = of none, or the only one."""


AnyPosting = TypeVar("AnyPosting", Fills, Transfers)


def _join_postings(
    journal: list[JournalEntry], record: type[AnyPosting]
) -> dict[str, tuple[AnyPosting, I8]]:
    """Return the postings of one type by event, those of one event joined, with instruments."""
    by_event: dict[str, tuple[list[AnyPosting], list[I8]]] = {}
    for event, posting, instrument in journal:
        if isinstance(posting, record):
            postings, instruments = by_event.setdefault(event, ([], []))
            postings.append(posting)
            instruments.append(np.broadcast_to(np.asarray(instrument), posting[0].shape))
    return {
        event: (
            record(*(np.concatenate(columns) for columns in zip(*postings, strict=True))),
            np.concatenate(instruments),
        )
        for event, (postings, instruments) in by_event.items()
    }


class JournalTotals:
    """Net postings of a journal to some accounts of a pool, by kind of event and instrument.

    Args:
        rows: (R,) accounts, ascending.
        pool: pool of the accounts.
        template: the accounts, for the number of assets and the contracts.
        undivided: kind of event that belongs to no instrument.
    """

    def __init__(self, rows: I8, pool: MarginPool, template: Exposure, undivided: str) -> None:
        self.pool, self.template, self.undivided = pool, template, undivided
        self.changes: Postings = {}
        self._n_instruments = pool.instruments.stop - pool.instruments.start
        self._row_of_owner = np.full(int(rows[-1]) + 1, MISSING)
        self._row_of_owner[rows] = np.arange(rows.size)

    def add_journal(
        self, journal: list[JournalEntry], kinds: Mapping[str, tuple[str, str]]
    ) -> Postings:
        """Add a journal and return the totals; a waterfall posts once for each account.

        Args:
            journal: entries since the last assessment.
            kinds: kinds of some events for the account that traded or paid, and for the accounts
                whose resting orders it filled; other events are kinds themselves.
        """
        for event, (fills, _) in _join_postings(journal, Fills).items():
            taker, maker = kinds.get(event, (event, event))
            self._add_fills(taker, fills, fills.taker, 1)
            self._add_fills(maker, fills, fills.maker, -1)
        for event, (moves, concerned) in _join_postings(journal, Transfers).items():
            kind = kinds.get(event, (event, event))[0]
            parts = self._locate_instruments(concerned)
            for part in np.unique(parts).tolist():
                here = parts == part
                leaves = here & (moves.source_pool == self.pool.number)
                enters = here & (moves.target_pool == self.pool.number)
                self._add_transfers((kind, part), moves, moves.source, leaves, -1)
                self._add_transfers((kind, part), moves, moves.target, enters, 1)
        return self.changes

    def _locate_instruments(self, instrument: I8) -> I8:
        """Return the column of the pool for each instrument, MISSING where none is kept apart."""
        first = self.pool.instruments.start
        known = (instrument >= first) & (instrument < self.pool.instruments.stop)
        return np.where(known & (self._n_instruments > 1), instrument - first, MISSING)

    def _find_postings(self, owner: I8, here: B1) -> I8:
        """Return the postings that concern one of the accounts."""
        known = here & (owner < self._row_of_owner.size)
        known[known] = self._row_of_owner[owner[known]] != MISSING
        return np.flatnonzero(known)

    def _net_postings(self, place: tuple[str, int]) -> NetPostings:
        if place not in self.changes:
            balance, position = self.template.balance, self.template.position
            untouched = np.zeros(len(balance), dtype=bool)
            self.changes[place] = NetPostings(
                np.zeros_like(balance), np.zeros_like(position), untouched
            )
        return self.changes[place]

    def _add_fills(self, kind: str, fills: Fills, owner: I8, sign: int) -> None:
        part = self.pool.instruments
        at = self._find_postings(
            owner, (fills.instrument >= part.start) & (fills.instrument < part.stop)
        )
        if not at.size:
            return
        contracts, column = self.template.market.contracts, fills.instrument[at] - part.start
        row, lots = self._row_of_owner[owner[at]], sign * fills.quantity[at]
        value = lots * fills.price[at] * contracts.multiplier[column]
        parts = self._locate_instruments(fills.instrument[at])
        parts[kind == self.undivided] = MISSING  # of all of them, or of none
        for each in np.unique(parts).tolist():
            change, same = self._net_postings((kind, each)), parts == each
            change.touched[row[same]] = True
            np.add.at(change.position, (row[same], column[same]), lots[same])
            paid = (row[same], contracts.settle[column[same]])
            np.add.at(change.balance, paid, -value[same])

    def _add_transfers(
        self, place: tuple[str, int], moves: Transfers, owner: I8, here: B1, sign: int
    ) -> None:
        at = self._find_postings(owner, here)
        if at.size:
            row, change = self._row_of_owner[owner[at]], self._net_postings(place)
            change.touched[row] = True
            np.add.at(change.balance, (row, moves.asset[at]), sign * moves.amount[at])
