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

from sim.attribution import CLOSE_OUT, KINDS, OWN
from sim.errors import DataError
from sim.metrics.inputs import require
from sim.types import F8, I8, NOBODY

CANCELLED, UNEXPLAINED = "cancelled", "unexplained"
"""Roots beside the kinds of causes: a round moved the mark by orders cancelled, not by a trade; no harm on record."""

ROOTS = (*(kind for kind in KINDS if kind not in (OWN, CLOSE_OUT)), CANCELLED, UNEXPLAINED)
"""Where chains begin, in the order of columns."""

SORTS = tuple(sorted({*KINDS, *ROOTS}))
"""Kinds of harm in the order in which an action's are summed."""

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
    require(frames, COLUMNS, "contagion", gaps=False)
    closeouts = frames["closeouts"]
    actions = _actions(closeouts)
    moves, moved = _moves(closeouts, actions)
    harm = _harm(frames["causes"], actions, moves)
    count = len(actions)
    pushed, own = harm.matrix(CLOSE_OUT, (count, len(moves))), harm.matrix(OWN, (count, count))
    roots = np.zeros((count, len(ROOTS)))
    orders = 1.0 - moved.sum(axis=1)
    roots[:, ROOTS.index(CANCELLED)] = pushed @ np.where(orders > DUST, orders, 0.0)
    for place, kind in enumerate(ROOTS):
        rows, share = harm.of(kind)
        roots[rows, place] += share
    return Contagion(actions, moves, roots, pushed, moved, own)


def by_lots(links: Contagion, closeouts: pd.DataFrame) -> Contagion:
    """The same links, each move divided by the lots of those who sold in a fall, or bought in a rise.

    What a round does to a mark is a function of the lots that it takes from the book. By lots is then what each is
    worth on the average over orders in which they could have been matched (Aumann and Shapley 1974): who was matched
    first, and took the bids that others missed, bears as much as who saw the mark move.

    Args:
        links: of one run.
        closeouts: its frame, with ``planned``.
    """
    require({"closeouts": closeouts}, {"closeouts": (*COLUMNS["closeouts"], "planned")}, "contagion by lots")
    row, event = _rows(closeouts, links.actions, ["action"]), _rows(closeouts, links.moves, EVENT)
    signed = closeouts["filled"].to_numpy(np.float64) * np.sign(closeouts["planned"].to_numpy(np.float64))
    along = signed * np.sign(np.append(links.moves["move"].to_numpy(np.float64), 0.0))[event]  # NOBODY is the last, 0
    known = (row != NOBODY) & (along > 0)
    total = np.bincount(event[known], along[known], minlength=len(links.moves))
    shared = links.moved.sum(axis=1)  # the rest of a move is of orders cancelled
    share = along[known] / total[event[known]] * shared[event[known]]
    lots = sparse.csr_array((share, (event[known], row[known])), shape=links.moved.shape)
    return links._replace(moved=lots + links.moved * (total == 0)[:, None])


def _actions(closeouts: pd.DataFrame) -> pd.DataFrame:
    """Actions that filled something, in the order of the run."""
    filled = closeouts[closeouts["filled"] > 0].sort_values(["action", "id"], kind="stable")
    first = ["action", "step", "round", "venue", "pool", "owner", "population", "equity", "maintenance"]
    notional = filled.groupby("action", sort=True)["notional"].sum().to_numpy(np.float64)
    return filled[first].drop_duplicates("action", ignore_index=True).assign(notional=notional)


def _rows(keys: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> I8:
    """The row of ``table`` that each row of ``keys`` names by its columns; NOBODY where there is none."""
    code: I8 = np.zeros(len(table) + len(keys), dtype=np.int64)
    for name in columns:
        place, known = pd.factorize(np.concatenate([table[name].to_numpy(), keys[name].to_numpy()]))
        code = code * len(known) + place
    return pd.Index(code[: len(table)]).get_indexer(pd.Index(code[len(table) :])).astype(np.int64)  # -1 is NOBODY


def _moves(closeouts: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, sparse.csr_array]:
    """What each round did to each mark, and whose doing it was: those who carried the mark the way it went."""
    told = closeouts[EVENT].assign(change=(closeouts["mark_after"] - closeouts["mark_before"]).to_numpy(np.float64))
    told = told.assign(row=_rows(closeouts, actions, ["action"]))[told["change"] != 0]
    grouped = told.groupby(EVENT, sort=True, observed=True)
    moves = grouped["change"].sum().rename("move").reset_index()
    number = grouped.ngroup().to_numpy()
    net = moves["move"].to_numpy()[number]
    along = np.maximum(told["change"].to_numpy() * np.sign(net), 0.0)
    total = np.zeros(len(moves))
    np.add.at(total, number, along)
    # who traded nothing moved it by orders that were cancelled
    known = (told["row"].to_numpy() != NOBODY) & (along > 0)
    share = along[known] / total[number[known]]
    place = (number[known], told["row"].to_numpy()[known])
    return moves, sparse.csr_array((share, place), shape=(len(moves), len(actions)))


class _Harm(NamedTuple):
    """Who did what share of the harm to whom; the shares of an action sum to one."""

    row: I8  # of the action
    kind: I8  # place in SORTS
    author: I8  # row of a move or of an action, NOBODY of a root
    share: F8

    def of(self, kind: str) -> tuple[I8, F8]:
        """Rows and shares of one kind."""
        here = self.kind == SORTS.index(kind)
        return self.row[here], self.share[here]

    def matrix(self, kind: str, shape: tuple[int, int]) -> sparse.csr_array:
        """Shares of one kind, action by author."""
        row, share = self.of(kind)
        return sparse.csr_array((share, (row, self.author[self.kind == SORTS.index(kind)])), shape=shape)


def _harm(causes: pd.DataFrame, actions: pd.DataFrame, moves: pd.DataFrame) -> _Harm:
    """Causes of one kind and author netted, those that helped left out."""
    row = _rows(causes, actions, ["action"])
    if (row == NOBODY).any():
        stray = causes["action"].to_numpy()[np.argmax(row == NOBODY)]
        raise DataError(f"causes: action {stray} closed out nothing in closeouts; give two frames of the same run")
    kind, author = pd.Index(SORTS).get_indexer(pd.Index(causes["kind"])), np.full(len(causes), NOBODY)
    if (kind == NOBODY).any():
        unknown = causes["kind"].to_numpy()[np.argmax(kind == NOBODY)]
        raise DataError(f"causes: kind {unknown!r} is not one of {', '.join(KINDS)}; use the version that wrote it")
    traded, own = kind == SORTS.index(CLOSE_OUT), kind == SORTS.index(OWN)
    author[traded] = _rows(causes[traded], moves, EVENT)
    whose = {name: actions[name].to_numpy()[row[own]] for name in ("pool", "owner")}
    author[own] = _rows(causes[own].assign(**whose), actions, PLACE)
    kind[(traded | own) & (author == NOBODY)] = SORTS.index(CANCELLED)
    table = pd.DataFrame({"row": row, "kind": kind, "author": author, "amount": causes["amount"].to_numpy(np.float64)})
    net = table.groupby(["row", "kind", "author"], as_index=False)["amount"].sum()
    worse = net[net["amount"] < 0]
    spared = np.setdiff1d(np.arange(len(actions)), worse["row"])
    blank = {"row": spared, "kind": SORTS.index(UNEXPLAINED), "author": NOBODY, "amount": -1.0}
    worse = pd.concat([worse, pd.DataFrame(blank)], ignore_index=True) if spared.size else worse
    row, kind, author = (worse[name].to_numpy(np.int64) for name in ("row", "kind", "author"))
    return _Harm(row, kind, author, (worse["amount"] / worse.groupby("row")["amount"].transform("sum")).to_numpy())
