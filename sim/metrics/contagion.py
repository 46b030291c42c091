"""Who pushed whom, as shares: from the causes of close-outs to cascades (LIQ-6).

Nodes are actions: the close-outs of one account in one round. The harm done to an action's account since it last was
above water is divided among those who did it: causes of the same kind from outside are netted, a round's move of an
instrument is one event, and what helped does not count. A move is divided further among the actions that made it, by
how far each carried the mark its way. So links stay factorised, action <- move <- actions: no row for each pair.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sim.causes import CLOSE_OUT, KINDS, OWN
from sim.errors import DataError
from sim.metrics.inputs import require
from sim.types import F8, I8, NOBODY

CANCELLED, UNEXPLAINED = "cancelled", "unexplained"
"""Roots beside the kinds of causes: a round moved the mark by orders cancelled, not by a trade; no harm on record."""

ROOTS = (*(kind for kind in KINDS if kind not in (OWN, CLOSE_OUT)), CANCELLED, UNEXPLAINED)
"""Where chains begin, in the order of columns."""

DUST = 1e-12
"""Shares below it are what rounding left."""

EVENT, PLACE = ["step", "round", "instrument"], ["step", "round", "pool", "owner"]
COLUMNS = {
    "closeouts": (
        *("id", "action", *EVENT, "venue", "pool", "owner", "population", "filled", "notional"),
        *("mark_before", "mark_after", "equity", "maintenance"),
    ),
    "causes": ("action", "kind", *EVENT, "amount"),
}
"""What is needed of a run."""


class Contagion(NamedTuple):
    """Actions, moves and what links them; rows of actions and moves are numbered from nil."""

    actions: pd.DataFrame  # (A rows) action, step, round, venue, pool, owner, population, notional, equity, maintenance
    moves: pd.DataFrame  # (M rows) step, round, instrument, move (of the mark, quote currency)
    roots: F8  # (A, len(ROOTS)) share of each action's harm that came from outside, by kind
    pushed: sparse.csr_array  # (A, M) share of each action's harm that a move did
    moved: sparse.csr_array  # (M, A) share of each move that an action made
    own: sparse.csr_array  # (A, A) share that an earlier close-out of the same account did to it

    def parents(self, weight: F8) -> F8:
        """What each action gets when its harm's authors weigh so much, (A,)."""
        return self.pushed @ (self.moved @ weight) + self.own @ weight

    def children(self, weight: F8) -> F8:
        """What each action gets of the actions that it harmed, by its share in each, (A,)."""
        return self.moved.T @ (self.pushed.T @ weight) + self.own.T @ weight


def contagion(frames: Mapping[str, pd.DataFrame]) -> Contagion:
    """Build the links of a run.

    Args:
        frames: ``closeouts`` and ``causes`` of one run.

    Raises:
        DataError: a frame or column is missing, or the two are not of the same run.
    """
    require(frames, COLUMNS, "contagion")
    closeouts = frames["closeouts"]
    actions = _actions(closeouts)
    moves, moved = _moves(closeouts, actions)
    harm = _harm(frames["causes"], actions, moves)
    shape, count = (len(actions), len(moves)), len(actions)
    by = {name: part for name, part in harm.groupby("by", sort=False)}
    nothing = harm.iloc[:0]
    pushed = _matrix(by.get(CLOSE_OUT, nothing), shape)
    roots = np.zeros((count, len(ROOTS)))
    orders = 1.0 - moved.sum(axis=1)
    roots[:, ROOTS.index(CANCELLED)] = pushed @ np.where(orders > DUST, orders, 0.0)
    for place, kind in enumerate(ROOTS):
        part = by.get(kind, nothing)
        roots[part["row"].to_numpy(np.int64), place] += part["share"].to_numpy()
    return Contagion(actions, moves, roots, pushed, moved, _matrix(by.get(OWN, nothing), (count, count)))


def _actions(closeouts: pd.DataFrame) -> pd.DataFrame:
    """Actions that filled something, in the order of the run."""
    filled = closeouts[closeouts["filled"] > 0].sort_values(["action", "id"], kind="stable")
    grouped = filled.groupby("action", sort=True)
    first = grouped[["step", "round", "venue", "pool", "owner", "population", "equity", "maintenance"]].first()
    return first.assign(notional=grouped["notional"].sum().astype(np.float64)).reset_index()


def _rows(keys: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> I8:
    """The row of ``table`` that each row of ``keys`` names by its columns; NOBODY where there is none."""
    if len(columns) == 1:
        known = pd.Index(table[columns[0]].to_numpy(np.int64))
        return known.get_indexer(keys[columns[0]].to_numpy(np.int64)).astype(np.int64)  # -1 is NOBODY
    numbered = table[columns].assign(place=np.arange(len(table)))
    found = keys[columns].merge(numbered, on=columns, how="left")["place"]
    return found.fillna(NOBODY).to_numpy(np.int64)


def _moves(closeouts: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, sparse.csr_array]:
    """What each round did to each mark, and whose doing it was: those who carried the mark the way it went."""
    change = (closeouts["mark_after"] - closeouts["mark_before"]).to_numpy(np.float64)
    told = closeouts[EVENT].assign(change=change, row=_rows(closeouts, actions, ["action"]))
    told = told[change != 0]
    grouped = told.groupby(EVENT, sort=True, observed=True)
    moves = grouped["change"].sum().rename("move").reset_index()
    number, net = grouped.ngroup().to_numpy(), grouped["change"].transform("sum").to_numpy()
    along = np.maximum(told["change"].to_numpy() * np.sign(net), 0.0)
    total = np.zeros(len(moves))
    np.add.at(total, number, along)
    known = (told["row"].to_numpy() != NOBODY) & (
        along > 0
    )  # who traded nothing moved it by orders that were cancelled
    share = along[known] / total[number[known]]
    place = (number[known], told["row"].to_numpy()[known])
    return moves, sparse.csr_array((share, place), shape=(len(moves), len(actions)))


def _harm(causes: pd.DataFrame, actions: pd.DataFrame, moves: pd.DataFrame) -> pd.DataFrame:
    """Rows of action, author's kind, author's row and share; the shares of an action sum to one."""
    row = _rows(causes, actions, ["action"])
    if (row == NOBODY).any():
        stray = causes["action"].to_numpy()[np.argmax(row == NOBODY)]
        raise DataError(f"causes: action {stray} closed out nothing in closeouts; give two frames of the same run")
    kind, author = causes["kind"].to_numpy(object).copy(), np.full(len(causes), NOBODY)
    traded, own = kind == CLOSE_OUT, kind == OWN
    author[traded] = _rows(causes[traded], moves, EVENT)
    whose = actions[["pool", "owner"]].iloc[row[own]].set_index(causes.index[own])
    author[own] = _rows(pd.concat([causes.loc[own, ["step", "round"]], whose], axis=1), actions, PLACE)
    kind[(traded | own) & (author == NOBODY)] = CANCELLED
    unknown = sorted(set(kind) - {*ROOTS, OWN, CLOSE_OUT})
    if unknown:
        raise DataError(f"causes: kind {unknown[0]!r} is not one of {', '.join(KINDS)}; use the version that wrote it")
    table = pd.DataFrame({"row": row, "by": kind, "author": author, "amount": causes["amount"].to_numpy(np.float64)})
    net = table.groupby(["row", "by", "author"], as_index=False)["amount"].sum()
    worse = net[net["amount"] < 0]
    spared = np.setdiff1d(np.arange(len(actions)), worse["row"])
    blank = pd.DataFrame({"row": spared, "by": UNEXPLAINED, "author": NOBODY, "amount": -1.0})
    worse = pd.concat([worse, blank], ignore_index=True) if len(blank) else worse
    return worse.assign(share=worse["amount"] / worse.groupby("row")["amount"].transform("sum"))


def _matrix(part: pd.DataFrame, shape: tuple[int, int]) -> sparse.csr_array:
    place = (part["row"].to_numpy(np.int64), part["author"].to_numpy(np.int64))
    return sparse.csr_array((part["share"].to_numpy(np.float64), place), shape=shape)
