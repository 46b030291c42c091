"""Cascades and how they branch: generations, sizes, depths, and what each action brought about (LIQ-6).

An action belongs to a generation in part: to the first by its roots' share, to each later one by the share of its harm
that the generation before did. Masses of generations are so exact sums of shares, and their ratios need no choice of
a single parent.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sim.metrics.contagion import ROOTS, Contagion
from sim.metrics.returns import NORMAL_95
from sim.types import F8, I8

LEAST = 0.01
"""A move that did less of an action's harm than this does not join it to a cascade, nor make it deeper."""

FAINT = 1e-9
"""Actions' worth of a generation from which on it is followed no further."""


class Ratio(NamedTuple):
    """A ratio of sums over cascades and its 95% interval; nan where there are too few to tell."""

    value: float
    low: float
    high: float
    total: float  # what it is divided by


def per_cascade(values: F8, cascade: I8) -> F8:
    """Sums of values of actions (A,) by cascade, numbered from 1, (C,)."""
    return np.bincount(cascade - 1, values).astype(np.float64)


def ratio(above: F8, below: F8) -> Ratio:
    """Ratio of two sums over independent cascades (C,), its interval by linearisation (Cochran 1977, ch. 6)."""
    count, total = below.size, float(below.sum())
    if total <= 0:
        return Ratio(math.nan, math.nan, math.nan, total)
    value = float(above.sum()) / total
    if count < 2:
        return Ratio(value, math.nan, math.nan, total)
    error = math.sqrt(count / (count - 1) * float(((above - value * below) ** 2).sum())) / total
    return Ratio(value, value - NORMAL_95 * error, value + NORMAL_95 * error, total)


def members(links: Contagion, least: float = LEAST) -> I8:
    """The cascade of each action, (A,): 1 has the largest notional; an action without links is one of its own.

    Args:
        links: of one run.
        least: share of an action's harm from which on a move joins it to those who made the move.
    """
    actions, moves = len(links.actions), len(links.moves)
    pushed, own = _from(links.pushed, least), _from(links.own, least)
    # within a round nothing but the mark's moves joins actions, hence an action and a move are nodes alike
    joined = sparse.block_array([[own, pushed + links.moved.T], [None, sparse.csr_array((moves, moves))]])
    label = np.unique(connected_components(joined, directed=False)[1][:actions], return_inverse=True)[1]
    order = np.argsort(-np.bincount(label, links.actions["notional"], minlength=1), kind="stable")
    place: I8 = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(1, order.size + 1)
    return np.take(place, label)


def _from(shares: sparse.csr_array, least: float) -> sparse.csr_array:
    kept = shares.copy()
    kept.data[kept.data < least] = 0.0
    kept.eliminate_zeros()
    return kept


def depth(links: Contagion, least: float = LEAST) -> I8:
    """How many actions stand before each in the longest chain that pushed it, (A,); nil for who was pushed by none."""
    steps = [_from(links.pushed, least).tocoo(), links.moved.tocoo(), _from(links.own, least).tocoo()]
    (child, move), (event, author), (later, earlier) = ((each.row, each.col) for each in steps)
    found, by_move = np.zeros(len(links.actions), dtype=np.int64), np.full(len(links.moves), -1)
    while True:
        np.maximum.at(by_move, event, found[author])
        new = found.copy()
        np.maximum.at(new, child, by_move[move] + 1)
        np.maximum.at(new, later, found[earlier] + 1)
        if np.array_equal(new, found):
            return found
        found = new


def masses(links: Contagion) -> F8:
    """Share of each action in each generation, (G, A); columns sum to one."""
    mass: F8 = links.roots.sum(axis=1)
    generations = [mass]
    while mass.sum() > FAINT:
        mass = links.parents(mass)
        generations.append(mass)
    return np.array(generations[:-1] if len(generations) > 1 else generations)


def generation(links: Contagion) -> F8:
    """Mean generation of each action, (A,): nil for who was pushed from outside only."""
    mass = masses(links)
    return np.arange(len(mass)) @ mass


def branching(links: Contagion) -> Ratio:
    """Actions pushed by actions over all of them: 1 less the roots' share, intervals over cascades."""
    inner = 1.0 - links.roots.sum(axis=1)
    cascade = members(links)
    return ratio(per_cascade(inner, cascade), per_cascade(np.ones(inner.size), cascade))


def by_generation(links: Contagion) -> pd.DataFrame:
    """Rows of generation, actions, ratio, low, high: how many of the next each has.

    The interval is over cascades; of late generations few are left, and it is wide or nan.
    """
    mass, cascade = masses(links), members(links)
    sums = np.array([per_cascade(each, cascade) for each in mass])
    sums = np.vstack([sums, np.zeros(sums.shape[1])])
    rows = [
        (g, float(now.sum()), *ratio(after[now > 0], now[now > 0])[:3])
        for g, (now, after) in enumerate(itertools.pairwise(sums))
    ]
    return pd.DataFrame(rows, columns=["generation", "actions", "ratio", "low", "high"])


def origins(links: Contagion) -> pd.DataFrame:
    """Rows of kind, share, low, high: where harm to actions began, each action counting once, close-outs last."""
    cascade = members(links)
    below = per_cascade(np.ones(cascade.size), cascade)
    columns = {kind: links.roots[:, place] for place, kind in enumerate(ROOTS)}
    columns["close_out"] = 1.0 - links.roots.sum(axis=1)
    found = [(kind, ratio(per_cascade(share, cascade), below)) for kind, share in columns.items()]
    rows = [(kind, each.value, max(each.low, 0.0), min(each.high, 1.0)) for kind, each in found]
    return pd.DataFrame(rows, columns=["kind", "share", "low", "high"])


def begun_by(links: Contagion, kind: str) -> float:
    """Share of the harm to actions that one kind of root did, each action counting once; nan where there are none."""
    return float(links.roots[:, ROOTS.index(kind)].mean()) if len(links.actions) else math.nan


def reach(links: Contagion) -> F8:
    """Notional that each action brought about, directly and through others, (A,) minor units of the numeraire.

    Shares along a chain are multiplied. The action's own notional is not counted.
    """
    notional: F8 = links.actions["notional"].to_numpy(np.float64)
    total, carried = np.zeros_like(notional), notional
    while carried.sum() > FAINT * max(notional.sum(), 1.0):
        carried = links.children(carried)
        total += carried
    return total


def through(links: Contagion, rows: I8) -> F8:
    """Share of each action's harm that passed through some actions, (A,); theirs is one.

    Args:
        links: of one run.
        rows: of the actions.
    """
    found: F8 = np.zeros(len(links.actions))
    found[rows] = 1.0
    while True:
        new = links.parents(found)
        new[rows] = 1.0
        if np.abs(new - found).max(initial=0.0) < FAINT:
            return new
        found = new


def cascades(links: Contagion, least: float = LEAST) -> pd.DataFrame:
    """One row per cascade, the largest first; ``least`` as in ``members``.

    Columns: cascade, actions, accounts, notional (minor units), first and last step, rounds (in which it acted), depth,
    branching (1 less roots' share), endogenous (share of its notional that close-outs brought about), requirement
    (share of it that the margin model itself began), origin (the kind that began most of it).
    """
    number, weight = members(links, least), links.actions["notional"].to_numpy(np.float64)
    begun = np.array([per_cascade(share * weight, number) for share in links.roots.T]).reshape(len(ROOTS), -1)
    inner = 1.0 - links.roots.sum(axis=1)
    columns = {"step": links.actions["step"], "depth": depth(links, least), "inner": inner, "within": inner * weight}
    grouped = pd.DataFrame(columns).groupby(number)
    found = pd.DataFrame({"actions": grouped.size()})
    found["accounts"] = _distinct(links, ["pool", "owner"], number)
    found["notional"] = per_cascade(weight, number)
    found["first"], found["last"] = grouped["step"].min(), grouped["step"].max()
    found["rounds"] = _distinct(links, ["step", "round"], number)
    found["depth"], found["branching"] = grouped["depth"].max(), grouped["inner"].mean()
    found["endogenous"] = grouped["within"].sum() / found["notional"]
    found["requirement"] = begun[ROOTS.index("requirement")] / found["notional"]
    found["origin"] = np.array(ROOTS)[begun.argmax(axis=0)]
    return found.reset_index(names="cascade")


def _distinct(links: Contagion, names: list[str], cascade: I8) -> I8:
    """How many different rows of some columns of actions each cascade has, (C,)."""
    unlike = links.actions[names].assign(cascade=cascade).drop_duplicates()
    return np.bincount(unlike["cascade"].to_numpy() - 1)
