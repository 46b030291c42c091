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

from sim.metrics.contagion import ROOT_KINDS, ContagionLinks
from sim.metrics.returns import NORMAL_95
from sim.types import F8, I8

MIN_SHARE = 0.01
"""A move that did less of an action's harm than this does not join it to a cascade, nor make it deeper."""

MIN_MASS = 1e-9
"""Actions' worth of a generation from which on it is followed no further."""


class RatioEstimate(NamedTuple):
    """A ratio of sums over cascades and its 95% interval; nan where there are too few to tell."""

    value: float
    low: float
    high: float
    total: float  # what it is divided by


def sum_per_cascade(values: F8, cascade: I8) -> F8:
    """Sums of values of actions (A,) by cascade, numbered from 1, (C,)."""
    return np.bincount(cascade - 1, values).astype(np.float64)


def estimate_ratio(above: F8, below: F8) -> RatioEstimate:
    """Ratio of two sums over independent cascades (C,), its interval by linearisation (Cochran 1977, ch. 6)."""
    count, total = below.size, float(below.sum())
    if total <= 0:
        return RatioEstimate(math.nan, math.nan, math.nan, total)
    value = float(above.sum()) / total
    if count < 2:
        return RatioEstimate(value, math.nan, math.nan, total)
    error = math.sqrt(count / (count - 1) * float(((above - value * below) ** 2).sum())) / total
    return RatioEstimate(value, value - NORMAL_95 * error, value + NORMAL_95 * error, total)


def assign_cascades(links: ContagionLinks, least: float = MIN_SHARE) -> I8:
    """The cascade of each action, (A,): 1 has the largest notional; an action without links is one of its own.

    Args:
        links: of one run.
        least: share of an action's harm from which on a move joins it to those who made the move.
    """
    actions, moves = len(links.actions), len(links.moves)
    pushed, own = (
        _drop_small_shares(links.harm_by_move, least),
        _drop_small_shares(links.harm_by_own, least),
    )
    # within a round nothing but the mark's moves joins actions, hence an action and a move are nodes alike
    joined = sparse.block_array(
        [[own, pushed + links.move_by_action.T], [None, sparse.csr_array((moves, moves))]]
    )
    label = np.unique(
        connected_components(joined, directed=False)[1][:actions], return_inverse=True
    )[1]
    order = np.argsort(-np.bincount(label, links.actions["notional"], minlength=1), kind="stable")
    place: I8 = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(1, order.size + 1)
    return np.take(place, label)


def _drop_small_shares(shares: sparse.csr_array, least: float) -> sparse.csr_array:
    kept = shares.copy()
    kept.data[kept.data < least] = 0.0
    kept.eliminate_zeros()
    return kept


def compute_depths(links: ContagionLinks, least: float = MIN_SHARE) -> I8:
    """How many actions stand before each in the longest chain that pushed it, (A,); nil for who was pushed by none."""
    steps = [
        _drop_small_shares(links.harm_by_move, least).tocoo(),
        links.move_by_action.tocoo(),
        _drop_small_shares(links.harm_by_own, least).tocoo(),
    ]
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


def compute_masses(links: ContagionLinks) -> F8:
    """Share of each action in each generation, (G, A); columns sum to one."""
    mass: F8 = links.harm_by_root.sum(axis=1)
    generations = [mass]
    while mass.sum() > MIN_MASS:
        mass = links.weigh_parents(mass)
        generations.append(mass)
    return np.array(generations[:-1] if len(generations) > 1 else generations)


def compute_generations(links: ContagionLinks) -> F8:
    """Mean generation of each action, (A,): nil for who was pushed from outside only."""
    mass = compute_masses(links)
    return np.arange(len(mass)) @ mass


def estimate_branching(links: ContagionLinks) -> RatioEstimate:
    """Actions pushed by actions over all of them: 1 less the roots' share, intervals over cascades."""
    inner = 1.0 - links.harm_by_root.sum(axis=1)
    cascade = assign_cascades(links)
    return estimate_ratio(
        sum_per_cascade(inner, cascade), sum_per_cascade(np.ones(inner.size), cascade)
    )


def tabulate_generations(links: ContagionLinks) -> pd.DataFrame:
    """Rows of generation, actions, ratio, low, high: how many of the next each has.

    The interval is over cascades; of late generations few are left, and it is wide or nan.
    """
    mass, cascade = compute_masses(links), assign_cascades(links)
    sums = np.array([sum_per_cascade(each, cascade) for each in mass])
    sums = np.vstack([sums, np.zeros(sums.shape[1])])
    rows = [
        (g, float(now.sum()), *estimate_ratio(after[now > 0], now[now > 0])[:3])
        for g, (now, after) in enumerate(itertools.pairwise(sums))
    ]
    return pd.DataFrame(rows, columns=["generation", "actions", "ratio", "low", "high"])


def tabulate_origins(links: ContagionLinks) -> pd.DataFrame:
    """Rows of kind, share, low, high: where harm to actions began, each action counting once, close-outs last."""
    cascade = assign_cascades(links)
    below = sum_per_cascade(np.ones(cascade.size), cascade)
    columns = {kind: links.harm_by_root[:, place] for place, kind in enumerate(ROOT_KINDS)}
    columns["close_out"] = 1.0 - links.harm_by_root.sum(axis=1)
    found = [
        (kind, estimate_ratio(sum_per_cascade(share, cascade), below))
        for kind, share in columns.items()
    ]
    rows = [(kind, each.value, max(each.low, 0.0), min(each.high, 1.0)) for kind, each in found]
    return pd.DataFrame(rows, columns=["kind", "share", "low", "high"])


def compute_root_share(links: ContagionLinks, kind: str) -> float:
    """Share of the harm to actions that one kind of root did, each action counting once; nan where there are none."""
    return (
        float(links.harm_by_root[:, ROOT_KINDS.index(kind)].mean())
        if len(links.actions)
        else math.nan
    )


def compute_reach(links: ContagionLinks) -> F8:
    """Notional that each action brought about, directly and through others, (A,) minor units of the numeraire.

    Shares along a chain are multiplied. The action's own notional is not counted.
    """
    notional: F8 = links.actions["notional"].to_numpy(np.float64)
    total, carried = np.zeros_like(notional), notional
    while carried.sum() > MIN_MASS * max(notional.sum(), 1.0):
        carried = links.weigh_children(carried)
        total += carried
    return total


def compute_passed_share(links: ContagionLinks, rows: I8) -> F8:
    """Share of each action's harm that passed through some actions, (A,); theirs is one.

    Args:
        links: of one run.
        rows: of the actions.
    """
    found: F8 = np.zeros(len(links.actions))
    found[rows] = 1.0
    while True:
        new = links.weigh_parents(found)
        new[rows] = 1.0
        if np.abs(new - found).max(initial=0.0) < MIN_MASS:
            return new
        found = new


def tabulate_cascades(links: ContagionLinks, least: float = MIN_SHARE) -> pd.DataFrame:
    """One row per cascade, the largest first; ``least`` as in ``members``.

    Columns: cascade, actions, accounts, notional (minor units), first and last step, rounds (in which it acted), depth,
    branching (1 less roots' share), endogenous (share of its notional that close-outs brought about), requirement
    (share of it that the margin model itself began), origin (the kind that began most of it).
    """
    number, weight = assign_cascades(links, least), links.actions["notional"].to_numpy(np.float64)
    begun = np.array(
        [sum_per_cascade(share * weight, number) for share in links.harm_by_root.T]
    ).reshape(len(ROOT_KINDS), -1)
    inner = 1.0 - links.harm_by_root.sum(axis=1)
    columns = {
        "step": links.actions["step"],
        "depth": compute_depths(links, least),
        "inner": inner,
        "within": inner * weight,
    }
    grouped = pd.DataFrame(columns).groupby(number)
    found = pd.DataFrame({"actions": grouped.size()})
    found["accounts"] = _count_distinct(links, ["pool", "owner"], number)
    found["notional"] = sum_per_cascade(weight, number)
    found["first"], found["last"] = grouped["step"].min(), grouped["step"].max()
    found["rounds"] = _count_distinct(links, ["step", "round"], number)
    found["depth"], found["branching"] = grouped["depth"].max(), grouped["inner"].mean()
    found["endogenous"] = grouped["within"].sum() / found["notional"]
    found["requirement"] = begun[ROOT_KINDS.index("requirement")] / found["notional"]
    found["origin"] = np.array(ROOT_KINDS)[begun.argmax(axis=0)]
    return found.reset_index(names="cascade")


def _count_distinct(links: ContagionLinks, names: list[str], cascade: I8) -> I8:
    """How many different rows of some columns of actions each cascade has, (C,)."""
    unlike = links.actions[names].assign(cascade=cascade).drop_duplicates()
    return np.bincount(unlike["cascade"].to_numpy() - 1)
