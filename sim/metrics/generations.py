"""Cascades and their branching: generations, sizes, depths and the reach of each action (LIQ-8).

An action can belong to several generations in part. Its share in the first is that of its roots;
its share in each later one is the part of its harm that the generation before caused. So the masses
of generations are exact sums of shares, and their ratios require no choice of a single parent.
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
"""Smallest share of an action's harm by which a move joins it to a cascade or adds to its depth."""

MIN_MASS = 1e-9
"""Smallest mass of a generation, in actions, that is followed further."""


class RatioEstimate(NamedTuple):
    """Ratio of sums over cascades and its 95% interval; nan where there are too few cascades."""

    value: float
    low: float
    high: float
    total: float  # the denominator


def sum_per_cascade(values: F8, cascade: I8) -> F8:
    """Return sums of values of actions (A,) by cascade, numbered from 1, (C,)."""
    return np.bincount(cascade - 1, values).astype(np.float64)


def estimate_ratio(above: F8, below: F8) -> RatioEstimate:
    """Return the ratio of two sums over independent cascades (C,).

    Its interval uses linearisation (Cochran 1977, ch. 6).
    """
    count, total = below.size, float(below.sum())
    if total <= 0:
        return RatioEstimate(math.nan, math.nan, math.nan, total)
    value = float(above.sum()) / total
    if count < 2:
        return RatioEstimate(value, math.nan, math.nan, total)
    squares = float(((above - value * below) ** 2).sum())
    error = math.sqrt(count / (count - 1) * squares) / total
    return RatioEstimate(value, value - NORMAL_95 * error, value + NORMAL_95 * error, total)


def assign_cascades(links: ContagionLinks, least: float = MIN_SHARE) -> I8:
    """Return the cascade of each action, (A,); cascade 1 has the largest notional.

    An action without links is a cascade of its own.

    Args:
        links: links of one run.
        least: smallest share of an action's harm by which a move joins it to the move's actions.
    """
    actions, moves = len(links.actions), len(links.moves)
    by_move = _drop_small_shares(links.harm_by_move, least)
    by_own = _drop_small_shares(links.harm_by_own, least)
    # within a round only moves of marks join actions, so that actions and moves are both nodes
    joined = sparse.block_array(
        [[by_own, by_move + links.move_by_action.T], [None, sparse.csr_array((moves, moves))]]
    )
    component = connected_components(joined, directed=False)[1][:actions]
    label = np.unique(component, return_inverse=True)[1]
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
    """Return the number of earlier actions in the longest chain that harmed each, (A,).

    It is zero for an action that no other action harmed.
    """
    steps = [
        _drop_small_shares(links.harm_by_move, least).tocoo(),
        links.move_by_action.tocoo(),
        _drop_small_shares(links.harm_by_own, least).tocoo(),
    ]
    (child, move), (event, author), (later, earlier) = ((each.row, each.col) for each in steps)
    depth, by_move = np.zeros(len(links.actions), dtype=np.int64), np.full(len(links.moves), -1)
    while True:
        np.maximum.at(by_move, event, depth[author])
        new = depth.copy()
        np.maximum.at(new, child, by_move[move] + 1)
        np.maximum.at(new, later, depth[earlier] + 1)
        if np.array_equal(new, depth):
            return depth
        depth = new


def compute_masses(links: ContagionLinks) -> F8:
    """Return the share of each action in each generation, (G, A); columns sum to one."""
    mass: F8 = links.harm_by_root.sum(axis=1)
    generations = [mass]
    while mass.sum() > MIN_MASS:
        mass = links.weigh_parents(mass)
        generations.append(mass)
    return np.array(generations[:-1] if len(generations) > 1 else generations)


def compute_generations(links: ContagionLinks) -> F8:
    """Return the mean generation of each action, (A,): zero if all its harm came from outside."""
    mass = compute_masses(links)
    return np.arange(len(mass)) @ mass


def estimate_branching(links: ContagionLinks) -> RatioEstimate:
    """Return harm by other actions over all harm, each action counting once; 1 - roots' share."""
    inner = 1.0 - links.harm_by_root.sum(axis=1)
    cascade = assign_cascades(links)
    return estimate_ratio(
        sum_per_cascade(inner, cascade), sum_per_cascade(np.ones(inner.size), cascade)
    )


def tabulate_generations(links: ContagionLinks) -> pd.DataFrame:
    """Return rows of generation, actions, ratio, low, high; the ratio is of the next generation.

    The interval is over cascades. Few of them have late generations, and it is then wide or nan.
    """
    mass, cascade = compute_masses(links), assign_cascades(links)
    sums = np.array([sum_per_cascade(generation, cascade) for generation in mass])
    sums = np.vstack([sums, np.zeros(sums.shape[1])])
    rows = [
        (g, float(now.sum()), *estimate_ratio(after[now > 0], now[now > 0])[:3])
        for g, (now, after) in enumerate(itertools.pairwise(sums))
    ]
    return pd.DataFrame(rows, columns=["generation", "actions", "ratio", "low", "high"])


def tabulate_origins(links: ContagionLinks) -> pd.DataFrame:
    """Return rows of kind, share, low, high: origins of harm to actions, close-outs last.

    Each action counts once.
    """
    cascade = assign_cascades(links)
    below = sum_per_cascade(np.ones(cascade.size), cascade)
    columns = {kind: links.harm_by_root[:, place] for place, kind in enumerate(ROOT_KINDS)}
    columns["close_out"] = 1.0 - links.harm_by_root.sum(axis=1)
    rows = []
    for kind, share in columns.items():
        ratio = estimate_ratio(sum_per_cascade(share, cascade), below)
        rows.append((kind, ratio.value, max(ratio.low, 0.0), min(ratio.high, 1.0)))
    return pd.DataFrame(rows, columns=["kind", "share", "low", "high"])


def compute_root_share(links: ContagionLinks, kind: str) -> float:
    """Return the mean share of one kind of root in the harm to actions; nan without actions."""
    if not len(links.actions):
        return math.nan
    return float(links.harm_by_root[:, ROOT_KINDS.index(kind)].mean())


def compute_reach(links: ContagionLinks) -> F8:
    """Return the notional that each action caused, directly and through others, (A,), minor units.

    Shares along a chain are multiplied. The action's own notional is excluded.
    """
    notional: F8 = links.actions["notional"].to_numpy(np.float64)
    total, carried = np.zeros_like(notional), notional
    while carried.sum() > MIN_MASS * max(notional.sum(), 1.0):
        carried = links.weigh_children(carried)
        total += carried
    return total


def compute_passed_share(links: ContagionLinks, rows: I8) -> F8:
    """Return the share of each action's harm that passed through some actions, (A,).

    The share of these actions is one.

    Args:
        links: links of one run.
        rows: rows of these actions.
    """
    passed: F8 = np.zeros(len(links.actions))
    passed[rows] = 1.0
    while True:
        new = links.weigh_parents(passed)
        new[rows] = 1.0
        if np.abs(new - passed).max(initial=0.0) < MIN_MASS:
            return new
        passed = new


def tabulate_cascades(links: ContagionLinks, least: float = MIN_SHARE) -> pd.DataFrame:
    """Return one row per cascade, the largest first.

    Columns are cascade, actions, accounts, notional (minor units), first and last (steps), rounds
    (with its actions), depth and branching (1 - roots' share). Further, endogenous is the share of
    its notional that close-outs caused, and requirement the share that began with the margin model.
    The column origin is the kind of root with the largest share.

    Args:
        links: links of one run.
        least: see :func:`assign_cascades`.
    """
    number, weight = assign_cascades(links, least), links.actions["notional"].to_numpy(np.float64)
    by_root = _sum_by_root(links, weight, number)
    inner = 1.0 - links.harm_by_root.sum(axis=1)
    columns = {
        "step": links.actions["step"],
        "depth": compute_depths(links, least),
        "inner": inner,
        "within": inner * weight,
    }
    grouped = pd.DataFrame(columns).groupby(number)
    table = pd.DataFrame({"actions": grouped.size()})
    table["accounts"] = _count_distinct(links, ["pool", "owner"], number)
    table["notional"] = sum_per_cascade(weight, number)
    table["first"], table["last"] = grouped["step"].min(), grouped["step"].max()
    table["rounds"] = _count_distinct(links, ["step", "round"], number)
    table["depth"], table["branching"] = grouped["depth"].max(), grouped["inner"].mean()
    table["endogenous"] = grouped["within"].sum() / table["notional"]
    table["requirement"] = by_root[ROOT_KINDS.index("requirement")] / table["notional"]
    table["origin"] = np.array(ROOT_KINDS)[by_root.argmax(axis=0)]
    return table.reset_index(names="cascade")


def _sum_by_root(links: ContagionLinks, weight: F8, cascade: I8) -> F8:
    """Return the notional of each cascade that began with each kind of root, (roots, C)."""
    sums = [sum_per_cascade(share * weight, cascade) for share in links.harm_by_root.T]
    return np.array(sums).reshape(len(ROOT_KINDS), -1)


def _count_distinct(links: ContagionLinks, names: list[str], cascade: I8) -> I8:
    """Return the number of distinct rows of some columns of actions in each cascade, (C,)."""
    distinct = links.actions[names].assign(cascade=cascade).drop_duplicates()
    return np.bincount(distinct["cascade"].to_numpy() - 1)
