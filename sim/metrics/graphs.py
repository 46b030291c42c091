"""Contagion as a networkx graph, for pictures, export and whatever networkx can compute."""

from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from sim.errors import DataError
from sim.metrics.contagion import ROOT_KINDS, ContagionLinks
from sim.metrics.generations import assign_cascades, compute_depths
from sim.types import I8


def build_graph(links: ContagionLinks, cascade: int | None = None) -> "nx.DiGraph[str]":
    """Actions, moves and roots; an edge goes from who pushed to whom, and ``share`` is the part of it.

    Nodes are named ``action 7``, ``move 3.0 BTC-PERP`` (step, round), or as their kind of root; ``node`` says which.
    Edges into an action sum to one. Those into a move do unless cancelled orders moved it, too.

    Args:
        links: of one run.
        cascade: number of the only cascade wanted, see ``cascades``; none = all.

    Raises:
        DataError: there is no such cascade.
    """
    number = assign_cascades(links)
    wanted = np.ones(number.size, dtype=bool) if cascade is None else number == cascade
    if cascade is not None and not wanted.any():
        if not number.size:
            raise DataError(f"cascade: {cascade}, nothing was closed out: name none")
        raise DataError(
            f"cascade: {cascade}, there are {number.max()}, largest first: name one of 1 to {number.max()}"
        )
    found: nx.DiGraph[str] = nx.DiGraph()
    names = [f"action {each}" for each in links.actions["action"]]
    events = [
        f"move {step}.{turn} {name}"
        for step, turn, name in links.moves[["step", "round", "instrument"]].to_numpy()
    ]
    columns = links.actions.assign(cascade=number, depth=compute_depths(links))
    found.add_nodes_from(_iterate_nodes(names, columns, np.flatnonzero(wanted), "action"))
    pushed, moved, own = (
        matrix.tocoo() for matrix in (links.harm_by_move, links.move_by_action, links.harm_by_own)
    )
    seen = wanted[pushed.row]
    used = np.unique(pushed.col[seen])
    found.add_nodes_from(_iterate_nodes(events, links.moves, used, "move"))
    found.add_nodes_from((kind, {"node": "root"}) for kind in ROOT_KINDS)
    _add_edges(
        found,
        [events[row] for row in pushed.col[seen]],
        [names[row] for row in pushed.row[seen]],
        pushed.data[seen],
    )
    seen = np.isin(moved.row, used) & wanted[moved.col]
    _add_edges(
        found,
        [names[row] for row in moved.col[seen]],
        [events[row] for row in moved.row[seen]],
        moved.data[seen],
    )
    seen = wanted[own.row]
    _add_edges(
        found,
        [names[row] for row in own.col[seen]],
        [names[row] for row in own.row[seen]],
        own.data[seen],
    )
    child, kind = np.nonzero((links.harm_by_root > 0) & wanted[:, None])
    _add_edges(
        found,
        [ROOT_KINDS[place] for place in kind],
        [names[row] for row in child],
        links.harm_by_root[child, kind],
    )
    found.remove_nodes_from([kind for kind in ROOT_KINDS if not found.degree(kind)])
    return found


def _add_edges(
    found: "nx.DiGraph[str]", sources: list[str], targets: list[str], shares: Any
) -> None:
    found.add_weighted_edges_from(
        zip(sources, targets, shares.tolist(), strict=True), weight="share"
    )


def _iterate_nodes(
    names: list[str], table: pd.DataFrame, rows: I8, node: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Some rows of a table by name, in numbers of Python, which GraphML can hold."""
    told = table.iloc[rows]
    keys = ["node", *told.columns.astype(str)]
    columns = [told[name].tolist() for name in told.columns]
    for row, *values in zip(rows.tolist(), *columns, strict=True):
        yield names[row], dict(zip(keys, [node, *values], strict=True))
