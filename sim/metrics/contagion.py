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

from sim.attribution import CAUSE_KINDS, CLOSE_OUT, OWN_CLOSE_OUT
from sim.errors import DataError
from sim.metrics.inputs import require_columns
from sim.types import F8, I8, MISSING

CANCELLED, UNEXPLAINED = "cancelled", "unexplained"
"""Roots beside the kinds of causes: a round moved the mark by orders cancelled, not by a trade; no harm on record."""

ROOT_KINDS = (
    *(kind for kind in CAUSE_KINDS if kind not in (OWN_CLOSE_OUT, CLOSE_OUT)),
    CANCELLED,
    UNEXPLAINED,
)
"""Where chains begin, in the order of columns."""

HARM_KINDS = tuple(sorted({*CAUSE_KINDS, *ROOT_KINDS}))
"""Kinds of harm in the order in which an action's are summed."""

ROUNDING_SHARE = 1e-12
"""Shares below it are what rounding left."""

EVENT_COLUMNS, PLACE_COLUMNS = ["step", "round", "instrument"], ["step", "round", "pool", "owner"]
REQUIRED_COLUMNS = {
    "closeouts": (
        *(
            "id",
            "action",
            *EVENT_COLUMNS,
            "venue",
            "pool",
            "owner",
            "population",
            "filled",
            "notional",
        ),
        *("mark_before", "mark_after", "equity", "maintenance"),
    ),
    "causes": ("action", "kind", *EVENT_COLUMNS, "amount"),
}
"""What is needed of a run."""


class ContagionLinks(NamedTuple):
    """Actions, moves and what links them; rows of actions and moves are numbered from nil."""

    actions: (
        pd.DataFrame
    )  # (A rows) action, step, round, venue, pool, owner, population, notional, equity, maintenance
    moves: pd.DataFrame  # (M rows) step, round, instrument, move (of the mark, quote currency)
    harm_by_root: F8  # (A, len(ROOTS)) share of each action's harm that came from outside, by kind
    harm_by_move: sparse.csr_array  # (A, M) share of each action's harm that a move did
    move_by_action: sparse.csr_array  # (M, A) share of each move that an action made
    harm_by_own: (
        sparse.csr_array
    )  # (A, A) share that an earlier close-out of the same account did to it

    def weigh_parents(self, weight: F8) -> F8:
        """What each action gets when its harm's authors weigh so much, (A,)."""
        return self.harm_by_move @ (self.move_by_action @ weight) + self.harm_by_own @ weight

    def weigh_children(self, weight: F8) -> F8:
        """What each action gets of the actions that it harmed, by its share in each, (A,)."""
        return self.move_by_action.T @ (self.harm_by_move.T @ weight) + self.harm_by_own.T @ weight


def build_contagion(frames: Mapping[str, pd.DataFrame]) -> ContagionLinks:
    """Build the links of a run.

    Args:
        frames: ``closeouts`` and ``causes`` of one run.

    Raises:
        DataError: a frame or column is missing, or the two are not of the same run.
    """
    require_columns(frames, REQUIRED_COLUMNS, "contagion", gaps=False)
    closeouts = frames["closeouts"]
    actions = _select_actions(closeouts)
    moves, moved = _attribute_moves(closeouts, actions)
    harm = _compute_harm(frames["causes"], actions, moves)
    count = len(actions)
    pushed, own = (
        harm.build_matrix(CLOSE_OUT, (count, len(moves))),
        harm.build_matrix(OWN_CLOSE_OUT, (count, count)),
    )
    roots = np.zeros((count, len(ROOT_KINDS)))
    orders = 1.0 - moved.sum(axis=1)
    roots[:, ROOT_KINDS.index(CANCELLED)] = pushed @ np.where(orders > ROUNDING_SHARE, orders, 0.0)
    for place, kind in enumerate(ROOT_KINDS):
        rows, share = harm.select_kind(kind)
        roots[rows, place] += share
    return ContagionLinks(actions, moves, roots, pushed, moved, own)


def divide_by_lots(links: ContagionLinks, closeouts: pd.DataFrame) -> ContagionLinks:
    """The same links, each move divided by the lots of those who sold in a fall, or bought in a rise.

    What a round does to a mark is a function of the lots that it takes from the book. By lots is then what each is
    worth on the average over orders in which they could have been matched (Aumann and Shapley 1974): who was matched
    first, and took the bids that others missed, bears as much as who saw the mark move.

    Args:
        links: of one run.
        closeouts: its frame, with ``planned``.
    """
    require_columns(
        {"closeouts": closeouts},
        {"closeouts": (*REQUIRED_COLUMNS["closeouts"], "planned")},
        "contagion by lots",
    )
    row, event = (
        _match_rows(closeouts, links.actions, ["action"]),
        _match_rows(closeouts, links.moves, EVENT_COLUMNS),
    )
    signed = closeouts["filled"].to_numpy(np.float64) * np.sign(
        closeouts["planned"].to_numpy(np.float64)
    )
    along = (
        signed * np.sign(np.append(links.moves["move"].to_numpy(np.float64), 0.0))[event]
    )  # NOBODY is the last, 0
    known = (row != MISSING) & (along > 0)
    total = np.bincount(event[known], along[known], minlength=len(links.moves))
    shared = links.move_by_action.sum(axis=1)  # the rest of a move is of orders cancelled
    share = along[known] / total[event[known]] * shared[event[known]]
    lots = sparse.csr_array((share, (event[known], row[known])), shape=links.move_by_action.shape)
    return links._replace(move_by_action=lots + links.move_by_action * (total == 0)[:, None])


def _select_actions(closeouts: pd.DataFrame) -> pd.DataFrame:
    """Actions that filled something, in the order of the run."""
    filled = closeouts[closeouts["filled"] > 0].sort_values(["action", "id"], kind="stable")
    first = [
        "action",
        "step",
        "round",
        "venue",
        "pool",
        "owner",
        "population",
        "equity",
        "maintenance",
    ]
    notional = filled.groupby("action", sort=True)["notional"].sum().to_numpy(np.float64)
    return filled[first].drop_duplicates("action", ignore_index=True).assign(notional=notional)


def _match_rows(keys: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> I8:
    """The row of ``table`` that each row of ``keys`` names by its columns; NOBODY where there is none."""
    code: I8 = np.zeros(len(table) + len(keys), dtype=np.int64)
    for name in columns:
        place, known = pd.factorize(np.concatenate([table[name].to_numpy(), keys[name].to_numpy()]))
        code = code * len(known) + place
    return (
        pd.Index(code[: len(table)]).get_indexer(pd.Index(code[len(table) :])).astype(np.int64)
    )  # -1 is NOBODY


def _attribute_moves(
    closeouts: pd.DataFrame, actions: pd.DataFrame
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """What each round did to each mark, and whose doing it was: those who carried the mark the way it went."""
    told = closeouts[EVENT_COLUMNS].assign(
        change=(closeouts["mark_after"] - closeouts["mark_before"]).to_numpy(np.float64)
    )
    told = told.assign(row=_match_rows(closeouts, actions, ["action"]))[told["change"] != 0]
    grouped = told.groupby(EVENT_COLUMNS, sort=True, observed=True)
    moves = grouped["change"].sum().rename("move").reset_index()
    number = grouped.ngroup().to_numpy()
    net = moves["move"].to_numpy()[number]
    along = np.maximum(told["change"].to_numpy() * np.sign(net), 0.0)
    total = np.zeros(len(moves))
    np.add.at(total, number, along)
    # who traded nothing moved it by orders that were cancelled
    known = (told["row"].to_numpy() != MISSING) & (along > 0)
    share = along[known] / total[number[known]]
    place = (number[known], told["row"].to_numpy()[known])
    return moves, sparse.csr_array((share, place), shape=(len(moves), len(actions)))


class _HarmShares(NamedTuple):
    """Who did what share of the harm to whom; the shares of an action sum to one."""

    row: I8  # of the action
    kind: I8  # place in SORTS
    author: I8  # row of a move or of an action, NOBODY of a root
    share: F8

    def select_kind(self, kind: str) -> tuple[I8, F8]:
        """Rows and shares of one kind."""
        here = self.kind == HARM_KINDS.index(kind)
        return self.row[here], self.share[here]

    def build_matrix(self, kind: str, shape: tuple[int, int]) -> sparse.csr_array:
        """Shares of one kind, action by author."""
        row, share = self.select_kind(kind)
        return sparse.csr_array(
            (share, (row, self.author[self.kind == HARM_KINDS.index(kind)])), shape=shape
        )


def _compute_harm(causes: pd.DataFrame, actions: pd.DataFrame, moves: pd.DataFrame) -> _HarmShares:
    """Causes of one kind and author netted, those that helped left out."""
    row = _match_rows(causes, actions, ["action"])
    if (row == MISSING).any():
        stray = causes["action"].to_numpy()[np.argmax(row == MISSING)]
        raise DataError(
            f"causes: action {stray} closed out nothing in closeouts; give two frames of the same run"
        )
    kind, author = (
        pd.Index(HARM_KINDS).get_indexer(pd.Index(causes["kind"])),
        np.full(len(causes), MISSING),
    )
    if (kind == MISSING).any():
        unknown = causes["kind"].to_numpy()[np.argmax(kind == MISSING)]
        raise DataError(
            f"causes: kind {unknown!r} is not one of {', '.join(CAUSE_KINDS)}; use the version that wrote it"
        )
    traded, own = kind == HARM_KINDS.index(CLOSE_OUT), kind == HARM_KINDS.index(OWN_CLOSE_OUT)
    author[traded] = _match_rows(causes[traded], moves, EVENT_COLUMNS)
    whose = {name: actions[name].to_numpy()[row[own]] for name in ("pool", "owner")}
    author[own] = _match_rows(causes[own].assign(**whose), actions, PLACE_COLUMNS)
    kind[(traded | own) & (author == MISSING)] = HARM_KINDS.index(CANCELLED)
    table = pd.DataFrame(
        {
            "row": row,
            "kind": kind,
            "author": author,
            "amount": causes["amount"].to_numpy(np.float64),
        }
    )
    net = table.groupby(["row", "kind", "author"], as_index=False)["amount"].sum()
    worse = net[net["amount"] < 0]
    spared = np.setdiff1d(np.arange(len(actions)), worse["row"])
    blank = {
        "row": spared,
        "kind": HARM_KINDS.index(UNEXPLAINED),
        "author": MISSING,
        "amount": -1.0,
    }
    worse = pd.concat([worse, pd.DataFrame(blank)], ignore_index=True) if spared.size else worse
    row, kind, author = (worse[name].to_numpy(np.int64) for name in ("row", "kind", "author"))
    return _HarmShares(
        row,
        kind,
        author,
        (worse["amount"] / worse.groupby("row")["amount"].transform("sum")).to_numpy(),
    )
