"""Contagion: attribution of close-outs to their causes, as shares (LIQ-8).

Nodes are actions: the close-outs of one account in one round. The harm to an action's account since
its excess was last >= 0 is divided among its causes. External causes of the same kind are netted,
a round's move of an instrument is one event, and causes with a positive effect do not count. A move
is divided further among the actions that caused it, by how far each moved the mark in the direction
of the move. Links are therefore factorised, action <- move <- actions, without a row
for each pair.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sim.attribution import CAUSE_KINDS, CLOSE_OUT, OWN_CLOSE_OUT
from sim.errors import DataError
from sim.metrics.inputs import require_columns
from sim.metrics.links.row_groups import match_rows, number_rows, sum_groups, take_columns
from sim.types import F8, I8, MISSING

CANCELLED, UNEXPLAINED = "cancelled", "unexplained"
"""Roots beside the kinds of causes: a mark moved by cancelled orders, and actions without harm."""

ROOT_KINDS = (
    *(kind for kind in CAUSE_KINDS if kind not in (OWN_CLOSE_OUT, CLOSE_OUT)),
    CANCELLED,
    UNEXPLAINED,
)
"""Kinds of roots of causal chains, in the order of columns."""

HARM_KINDS = tuple(sorted({*CAUSE_KINDS, *ROOT_KINDS}))
"""Kinds of harm, in the order in which the harm of an action is summed."""

ROUNDING_SHARE = 1e-12
"""Shares below it are rounding errors."""

EVENT_COLUMNS = ["step", "round", "instrument"]
REQUIRED_COLUMNS = {
    "closeouts": (
        "id",
        "action",
        *EVENT_COLUMNS,
        "venue",
        "pool",
        "owner",
        "population",
        "filled",
        "notional",
        "mark_before",
        "mark_after",
        "equity",
        "maintenance",
    ),
    "causes": ("action", "kind", *EVENT_COLUMNS, "amount"),
}
"""Columns that contagion requires of a run."""


class ContagionLinks(NamedTuple):
    """Actions, moves and their links; rows of actions and moves are numbered from zero."""

    # (A rows) action, step, round, venue, pool, owner, population, equity, maintenance, notional
    actions: pd.DataFrame
    moves: pd.DataFrame  # (M rows) step, round, instrument, move (of the mark, quote currency)
    harm_by_root: F8  # (A, len(ROOT_KINDS)) share of each action's harm from outside, by kind
    harm_by_move: sparse.csr_array  # (A, M) share of each action's harm by a move
    move_by_action: sparse.csr_array  # (M, A) share of each move by an action
    # (A, A) share of each action's harm by an earlier close-out of the same account
    harm_by_own: sparse.csr_array

    def weigh_parents(self, weight: F8) -> F8:
        """Return the weights of each action's parents, by their shares in its harm, (A,)."""
        return self.harm_by_move @ (self.move_by_action @ weight) + self.harm_by_own @ weight

    def weigh_children(self, weight: F8) -> F8:
        """Return the weights of each action's children, by its share in their harm, (A,)."""
        return self.move_by_action.T @ (self.harm_by_move.T @ weight) + self.harm_by_own.T @ weight


def build_contagion(frames: Mapping[str, pd.DataFrame]) -> ContagionLinks:
    """Return the links of a run.

    Args:
        frames: ``closeouts`` and ``causes`` of one run.

    Raises:
        DataError: a frame or column is missing, or the two are not of the same run.
    """
    require_columns(frames, REQUIRED_COLUMNS, "contagion", gaps=False)
    closeouts = frames["closeouts"]
    actions = _select_actions(closeouts)
    moves, moved = _attribute_moves(closeouts, actions)
    harm = compute_harm(frames["causes"], actions, moves)
    count = len(actions)
    by_move = harm.build_matrix(CLOSE_OUT, (count, len(moves)))
    by_own = harm.build_matrix(OWN_CLOSE_OUT, (count, count))
    roots = np.zeros((count, len(ROOT_KINDS)))
    cancelled = 1.0 - moved.sum(axis=1)
    significant = np.where(cancelled > ROUNDING_SHARE, cancelled, 0.0)
    roots[:, ROOT_KINDS.index(CANCELLED)] = by_move @ significant
    for place, kind in enumerate(ROOT_KINDS):
        rows, share = harm.select_kind(kind)
        roots[rows, place] += share
    return ContagionLinks(
        actions=actions,
        moves=moves,
        harm_by_root=roots,
        harm_by_move=by_move,
        move_by_action=moved,
        harm_by_own=by_own,
    )


def divide_by_lots(links: ContagionLinks, closeouts: pd.DataFrame) -> ContagionLinks:
    """Return the same links with each move divided by lots sold in a fall, or bought in a rise.

    The effect of a round on a mark is a function of the lots that it takes from the order book. The
    division by lots is then the average contribution over orders of matching (Aumann and Shapley
    1974). An account that was matched first, and took the bids that later ones missed, bears as
    much as an account whose own trade moved the mark.

    Args:
        links: links of one run.
        closeouts: the run's frame, with ``planned``.
    """
    require_columns(
        {"closeouts": closeouts},
        {"closeouts": (*REQUIRED_COLUMNS["closeouts"], "planned")},
        "contagion by lots",
    )
    row = match_rows(take_columns(closeouts, ["action"]), links.actions)
    event = match_rows(take_columns(closeouts, EVENT_COLUMNS), links.moves)
    planned, move = (
        closeouts["planned"].to_numpy(np.float64),
        links.moves["move"].to_numpy(np.float64),
    )
    signed = closeouts["filled"].to_numpy(np.float64) * np.sign(planned)
    # MISSING selects the last direction, zero
    along = signed * np.sign(np.append(move, 0.0))[event]
    known = (row != MISSING) & (along > 0)
    total = np.bincount(event[known], along[known], minlength=len(links.moves))
    shared = links.move_by_action.sum(axis=1)  # cancelled orders made the rest of a move
    share = along[known] / total[event[known]] * shared[event[known]]
    lots = sparse.csr_array((share, (event[known], row[known])), shape=links.move_by_action.shape)
    return links._replace(move_by_action=lots + links.move_by_action * (total == 0)[:, None])


def _select_actions(closeouts: pd.DataFrame) -> pd.DataFrame:
    """Return actions with fills, in the order of the run."""
    filled = np.flatnonzero(closeouts["filled"].to_numpy() > 0)
    action, number = (closeouts[name].to_numpy()[filled] for name in ("action", "id"))
    order = np.lexsort((number, action))
    _, first, member = np.unique(action[order], return_index=True, return_inverse=True)
    rows = filled[order]
    columns = ["action", "step", "round", "venue", "pool", "owner", "population"]
    columns += ["equity", "maintenance"]
    actions = closeouts[columns].take(rows[first]).reset_index(drop=True)
    notional = sum_groups(closeouts["notional"].to_numpy()[rows], member)
    return actions.assign(notional=notional.astype(np.float64))


def _attribute_moves(
    closeouts: pd.DataFrame, actions: pd.DataFrame
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Return each round's move of each mark, and shares of the actions that made it.

    Only actions that moved the mark in the direction of the move have a share.
    """
    change = (closeouts["mark_after"] - closeouts["mark_before"]).to_numpy(np.float64)
    rows = np.flatnonzero(change != 0)
    change = change[rows]
    author = match_rows(take_columns(closeouts, ["action"], rows), actions)
    event = number_rows(list(take_columns(closeouts, EVENT_COLUMNS, rows).values()))
    _, first, number = np.unique(event, return_index=True, return_inverse=True)
    net = sum_groups(change, number)
    moves = closeouts[EVENT_COLUMNS].take(rows[first]).reset_index(drop=True).assign(move=net)
    along = np.maximum(change * np.sign(net[number]), 0.0)
    total = np.zeros(len(moves))
    np.add.at(total, number, along)
    # a close-out without a trade moved the mark by the cancellation of its orders
    known = (author != MISSING) & (along > 0)
    share = along[known] / total[number[known]]
    place = (number[known], author[known])
    return moves, sparse.csr_array((share, place), shape=(len(moves), len(actions)))


class HarmShares(NamedTuple):
    """Shares of the harm to each action by kind and author; those of an action sum to one."""

    row: I8  # of the action
    kind: I8  # index in HARM_KINDS
    author: I8  # row of a move or of an action, MISSING for a root
    share: F8
    cause_share: I8  # (causes,) the share that each cause is part of, MISSING = not harmful

    def select_kind(self, kind: str) -> tuple[I8, F8]:
        """Return rows and shares of one kind."""
        here = self.kind == HARM_KINDS.index(kind)
        return self.row[here], self.share[here]

    def build_matrix(self, kind: str, shape: tuple[int, int]) -> sparse.csr_array:
        """Return shares of one kind, action by author."""
        row, share = self.select_kind(kind)
        return sparse.csr_array(
            (share, (row, self.author[self.kind == HARM_KINDS.index(kind)])), shape=shape
        )


def _match_actions(causes: pd.DataFrame, actions: pd.DataFrame) -> I8:
    """Return the row of the action of each cause."""
    row = match_rows(take_columns(causes, ["action"]), actions)
    if (row == MISSING).any():
        stray = causes["action"].to_numpy()[np.argmax(row == MISSING)]
        raise DataError(
            f"causes: action {stray} closed out nothing in closeouts; "
            "give two frames of the same run"
        )
    return row


def compute_harm(causes: pd.DataFrame, actions: pd.DataFrame, moves: pd.DataFrame) -> HarmShares:
    """Return shares of harm: net causes of one kind and author, without positive ones.

    Args:
        causes: frame of the run.
        actions, moves: those of :class:`ContagionLinks`.
    """
    row = _match_actions(causes, actions)
    kind, author = _find_authors(causes, actions, moves, row)
    _, first, number = np.unique(
        number_rows([row, kind, author]), return_index=True, return_inverse=True
    )
    net = sum_groups(causes["amount"].to_numpy(np.float64), number)
    is_harmful = net < 0
    harmful = first[is_harmful]
    # an action without any harm has one unit of unexplained harm
    unharmed = np.setdiff1d(np.arange(len(actions)), row[harmful])
    unexplained = np.full(unharmed.size, HARM_KINDS.index(UNEXPLAINED))
    amount = np.concatenate([net[is_harmful], np.full(unharmed.size, -1.0)])
    row = np.concatenate([row[harmful], unharmed])
    return HarmShares(
        row=row,
        kind=np.concatenate([kind[harmful], unexplained]),
        author=np.concatenate([author[harmful], np.full(unharmed.size, MISSING)]),
        share=amount / sum_groups(amount, row)[row],
        cause_share=np.where(is_harmful, np.cumsum(is_harmful) - 1, MISSING)[number],
    )


def _find_authors(
    causes: pd.DataFrame, actions: pd.DataFrame, moves: pd.DataFrame, row: I8
) -> tuple[I8, I8]:
    """Return the kind of each cause, and the row of the move or action that is its author."""
    place, names = pd.factorize(causes["kind"])
    known = [HARM_KINDS.index(name) if name in HARM_KINDS else MISSING for name in names]
    kind = np.array([*known, MISSING])[place]  # the last for a cause without kind
    author = np.full(len(causes), MISSING)
    if (kind == MISSING).any():
        unknown = causes["kind"].to_numpy()[np.argmax(kind == MISSING)]
        raise DataError(
            f"causes: kind {unknown!r} is not one of {', '.join(CAUSE_KINDS)}; "
            "use the version that wrote it"
        )
    traded, own = kind == HARM_KINDS.index(CLOSE_OUT), kind == HARM_KINDS.index(OWN_CLOSE_OUT)
    author[traded] = match_rows(take_columns(causes, EVENT_COLUMNS, traded), moves)
    when = take_columns(causes, ["step", "round"], own)
    author[own] = match_rows(when | take_columns(actions, ["pool", "owner"], row[own]), actions)
    kind[(traded | own) & (author == MISSING)] = HARM_KINDS.index(CANCELLED)
    return kind, author
