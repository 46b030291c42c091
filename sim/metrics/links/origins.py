"""Contagion between instruments: close-outs of one that come from losses in another (LIQ-10).

Every contribution to an action's harm carries the instrument where it arose (LIQ-6). The harm of
one kind and author is divided among instruments by the harmful part of each, so that gains in one
do not hide losses in another beyond the net. What close-outs caused is followed back to the roots:
the mark of ether that fell because accounts with losses in bitcoin sold ether comes from bitcoin.
Links stay factorised, so that the cost is proportional to the number of close-outs.

Harm begins with the last assessment without a deficit, so earlier losses that used the margin up
are not counted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sim.attribution import CARRY, FUNDING, INDEX, OWN_CLOSE_OUT, VOLUNTARY
from sim.metrics.contagion import (
    HARM_KINDS,
    ROOT_KINDS,
    ROUNDING_SHARE,
    ContagionLinks,
    HarmShares,
    compute_harm,
)
from sim.metrics.generations import MIN_MASS
from sim.metrics.inputs import require_columns
from sim.metrics.links.row_groups import match_rows, number_rows, take_columns
from sim.types import F8, I8, MISSING

DIVIDED_KINDS = (FUNDING, INDEX, VOLUNTARY, CARRY, OWN_CLOSE_OUT)
"""Kinds whose contributions carry an instrument, unless the account holds a single one (LIQ-6)."""

NO_INSTRUMENT = ""
"""Origin of what belongs to no instrument: requirements, deposits, collateral, allocated losses."""


class InstrumentOrigins(NamedTuple):
    """Instruments of A actions and of their causes; J instruments, and the last column for none."""

    instruments: tuple[str, ...]  # (J,) in alphabetical order
    closed: F8  # (A, J) notional of each action that was closed out, minor units
    lost: F8  # (A, J+1) share of each action's harm by the instrument that lost
    origin: F8  # (A, J+1) the same, followed back through close-outs to the roots
    roots: sparse.csr_array  # (A, len(ROOT_KINDS) (J+1)) harm by root and instrument

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of origins."""
        return (*self.instruments, NO_INSTRUMENT)

    def find_main_instruments(self) -> I8:
        """Return the column of the instrument of which each action closed most, (A,)."""
        if not self.closed.size:
            return np.zeros(len(self.closed), dtype=np.int64)
        return self.closed.argmax(axis=1).astype(np.int64)

    def compute_foreign_shares(self) -> F8:
        """Return the share of each action that came from an instrument it did not mainly close.

        What belongs to no instrument came from none, and counts as its own.
        """
        kept = self.origin[:, :-1].copy()
        kept[np.arange(len(kept)), self.find_main_instruments()] = 0.0
        foreign: F8 = kept.sum(axis=1)
        return foreign


def build_origins(frames: Mapping[str, pd.DataFrame], links: ContagionLinks) -> InstrumentOrigins:
    """Return the instruments where the losses behind each close-out arose.

    Args:
        frames: ``closeouts`` and ``causes`` of the run.
        links: its links.

    Raises:
        DataError: a frame or column is missing.
    """
    columns = {"closeouts": ("action", "instrument", "filled", "notional")}
    require_columns(frames, columns, "contagion between instruments", gaps=False)
    names = _list_instruments(frames)
    closed = _sum_closed(frames["closeouts"], links, names)
    harm = compute_harm(frames["causes"], links.actions, links.moves)
    parts = _divide_by_instrument(frames["causes"], harm, closed, names)
    shape = (len(links.actions), len(names) + 1)
    lost = np.zeros(shape)
    np.add.at(lost, (harm.row[parts.share_row], parts.instrument), parts.share)
    roots = _collect_roots(links, harm, parts, names)
    by_instrument = roots.toarray().reshape(len(links.actions), len(ROOT_KINDS), len(names) + 1)
    return InstrumentOrigins(
        instruments=names,
        closed=closed,
        lost=lost,
        origin=_follow_links(links, by_instrument.sum(axis=1)),
        roots=roots,
    )


def _list_instruments(frames: Mapping[str, pd.DataFrame]) -> tuple[str, ...]:
    """Return the instruments that were closed out, or whose losses did so, sorted."""
    known = [pd.unique(frames[name]["instrument"]) for name in ("closeouts", "causes")]
    return tuple(sorted({str(name) for part in known for name in part if name}))


def _find_columns(names: Any, known: Sequence[str]) -> I8:
    """Return the column of each instrument by name, the last for none."""
    column = {name: place for place, name in enumerate(known)}
    place, found = pd.factorize(names)
    columns = np.array([*(column.get(name, len(known)) for name in found), len(known)])
    return columns[place].astype(np.int64)


def _sum_closed(closeouts: pd.DataFrame, links: ContagionLinks, names: Sequence[str]) -> F8:
    """Return the notional that each action closed of each instrument, (A, J)."""
    row = match_rows(take_columns(closeouts, ["action"]), links.actions)
    known = row != MISSING
    column = _find_columns(closeouts["instrument"].to_numpy()[known], names)
    closed = np.zeros((len(links.actions), len(names)))
    np.add.at(closed, (row[known], column), closeouts["notional"].to_numpy(np.float64)[known])
    return closed


class _HarmParts(NamedTuple):
    """Parts of shares of harm by instrument."""

    share_row: I8  # (P,) row of the share in HarmShares
    instrument: I8  # (P,) column
    share: F8  # (P,) of the action's harm


def _divide_by_instrument(
    causes: pd.DataFrame, harm: HarmShares, closed: F8, names: Sequence[str]
) -> _HarmParts:
    """Return the parts of each share of harm, by the instruments with harmful contributions."""
    known = np.flatnonzero(harm.cause_share != MISSING)
    share = harm.cause_share[known]
    column = _find_harmed(causes.take(known), closed[harm.row[share]], names)
    group = number_rows([share, column])
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    amount = causes["amount"].to_numpy(np.float64)[known]
    net = np.minimum(np.bincount(group, amount, minlength=first.size), 0.0)
    share, column = share[first], column[first]
    total = np.bincount(share, net, minlength=harm.row.size)
    # an action without any harm has a share without causes
    unexplained = np.flatnonzero(total == 0)
    none = np.full(unexplained.size, len(names))
    part = harm.share[share] * net / total[share]
    return _HarmParts(
        share_row=np.concatenate([share, unexplained]),
        instrument=np.concatenate([column, none]),
        share=np.concatenate([part, harm.share[unexplained]]),
    )


def _find_harmed(causes: pd.DataFrame, closed: F8, names: Sequence[str]) -> I8:
    """Return the column of the instrument of some causes.

    An account with a single instrument lost in that one.

    Args:
        causes: (n) rows of the frame.
        closed: (n, J) notional that each cause's action closed.
        names: the instruments.
    """
    instrument = _find_columns(causes["instrument"].to_numpy(), names)
    is_single = causes["kind"].isin(DIVIDED_KINDS).to_numpy() & (instrument == len(names))
    found = instrument.copy()
    if is_single.any():
        found[is_single] = closed[is_single].argmax(axis=1)
    return found


def _collect_roots(
    links: ContagionLinks, harm: HarmShares, parts: _HarmParts, names: Sequence[str]
) -> sparse.csr_array:
    """Return the share of each root and instrument in the harm to actions.

    A move of a mark by cancelled orders arose in the instrument of the mark.
    """
    width = len(names) + 1
    place = np.array([_place_root(kind) for kind in HARM_KINDS])
    root = place[harm.kind[parts.share_row]]
    here = root != MISSING
    at = (harm.row[parts.share_row][here], root[here] * width + parts.instrument[here])
    shape = (len(links.actions), len(ROOT_KINDS) * width)
    found = sparse.csr_array((parts.share[here], at), shape=shape)
    cancelled = 1.0 - links.move_by_action.sum(axis=1)
    significant = np.where(cancelled > ROUNDING_SHARE, cancelled, 0.0)
    column = _find_columns(links.moves["instrument"].to_numpy(), names)
    into = (np.arange(len(links.moves)), _place_root("cancelled") * width + column)
    by_move = sparse.csr_array((significant, into), shape=(len(links.moves), shape[1]))
    return sparse.csr_array(found + links.harm_by_move @ by_move)


def _place_root(kind: str) -> int:
    return ROOT_KINDS.index(kind) if kind in ROOT_KINDS else MISSING


def _follow_links(links: ContagionLinks, roots: F8) -> F8:
    """Return the share of each instrument in the origins of actions, (A, J+1)."""
    origin, carried = roots.copy(), roots
    while carried.sum() > MIN_MASS:
        carried = links.weigh_parents(carried)
        origin += carried
    return origin


def tabulate_actions(origins: InstrumentOrigins) -> dict[str, Any]:
    """Return columns of actions: the ``instrument`` closed most, and the ``foreign`` share."""
    names = np.array([*origins.instruments, NO_INSTRUMENT], dtype=object)
    columns = origins.find_main_instruments()
    return {"instrument": names[columns], "foreign": origins.compute_foreign_shares()}


def tabulate_instruments(origins: InstrumentOrigins) -> pd.DataFrame:
    """Return rows of closed, origin, lost, notional, share: close-outs by instrument of origin.

    ``notional`` is the part of the close-outs of ``closed`` that came from ``origin`` at the end of
    the causal chain, and ``lost`` the part of accounts that lost in ``origin`` themselves, minor
    units. ``share`` is that of ``notional`` in all close-outs of the instrument. An empty origin
    is none.
    """
    followed, lost = origins.closed.T @ origins.origin, origins.closed.T @ origins.lost
    total = origins.closed.sum(axis=0)
    rows = [
        (name, origin, lost[k, j], followed[k, j], followed[k, j] / total[k])
        for k, name in enumerate(origins.instruments)
        for j, origin in enumerate(origins.names)
        if total[k] and max(followed[k, j], lost[k, j]) > MIN_MASS * total[k]
    ]
    return pd.DataFrame(rows, columns=["closed", "origin", "lost", "notional", "share"])


def sum_foreign_notional(origins: InstrumentOrigins) -> dict[str, tuple[float, float]]:
    """Return notional closed out, and the part that came from other instruments, by instrument."""
    followed = origins.closed.T @ origins.origin[:, :-1]
    own = np.diag(followed) if followed.size else np.zeros(0)
    other, total = followed.sum(axis=1) - own, origins.closed.sum(axis=0)
    found = zip(origins.instruments, total.tolist(), other.tolist(), strict=True)
    return {name: (closed, foreign) for name, closed, foreign in found if closed}


def compute_foreign_share(origins: InstrumentOrigins) -> float:
    """Return the share of all close-outs that came from another instrument; nan without any."""
    found = sum_foreign_notional(origins).values()
    total = sum(closed for closed, _ in found)
    return sum(foreign for _, foreign in found) / total if total else math.nan
