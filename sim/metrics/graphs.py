"""Contagion as a networkx graph, for pictures, export and whatever networkx can compute."""

from collections.abc import Iterator
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from sim.errors import DataError
from sim.metrics.contagion import ROOTS, Contagion
from sim.metrics.generations import depth, members
from sim.types import I8


def graph(links: Contagion, cascade: int | None = None) -> "nx.DiGraph[str]":
    """Actions, moves and roots; an edge goes from who pushed to whom, and ``share`` is the part of it.

    Nodes are named ``action 7``, ``move 3.0 BTC-PERP`` (step, round), or as their kind of root; ``node`` says which.
    Edges into an action sum to one. Those into a move do unless cancelled orders moved it, too.

    Args:
        links: of one run.
        cascade: number of the only cascade wanted, see ``cascades``; none = all.

    Raises:
        DataError: there is no such cascade.
    """
    number = members(links)
    wanted = np.ones(number.size, dtype=bool) if cascade is None else number == cascade
    if cascade is not None and not wanted.any():
        if not number.size:
            raise DataError(f"cascade: {cascade}, nothing was closed out: name none")
        raise DataError(f"cascade: {cascade}, there are {number.max()}, largest first: name one of 1 to {number.max()}")
    found: nx.DiGraph[str] = nx.DiGraph()
    names = [f"action {each}" for each in links.actions["action"]]
    events = [
        f"move {step}.{turn} {name}" for step, turn, name in links.moves[["step", "round", "instrument"]].to_numpy()
    ]
    columns = links.actions.assign(cascade=number, depth=depth(links))
    found.add_nodes_from(_nodes(names, columns, np.flatnonzero(wanted), "action"))
    pushed, moved, own = (matrix.tocoo() for matrix in (links.pushed, links.moved, links.own))
    seen = wanted[pushed.row]
    used = np.unique(pushed.col[seen])
    found.add_nodes_from(_nodes(events, links.moves, used, "move"))
    found.add_nodes_from((kind, {"node": "root"}) for kind in ROOTS)
    _connect(
        found, [events[row] for row in pushed.col[seen]], [names[row] for row in pushed.row[seen]], pushed.data[seen]
    )
    seen = np.isin(moved.row, used) & wanted[moved.col]
    _connect(found, [names[row] for row in moved.col[seen]], [events[row] for row in moved.row[seen]], moved.data[seen])
    seen = wanted[own.row]
    _connect(found, [names[row] for row in own.col[seen]], [names[row] for row in own.row[seen]], own.data[seen])
    child, kind = np.nonzero((links.roots > 0) & wanted[:, None])
    _connect(found, [ROOTS[place] for place in kind], [names[row] for row in child], links.roots[child, kind])
    found.remove_nodes_from([kind for kind in ROOTS if not found.degree(kind)])
    return found


def _connect(found: "nx.DiGraph[str]", sources: list[str], targets: list[str], shares: Any) -> None:
    found.add_weighted_edges_from(zip(sources, targets, shares.tolist(), strict=True), weight="share")


def _nodes(names: list[str], table: pd.DataFrame, rows: I8, node: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Some rows of a table by name, in numbers of Python, which GraphML can hold."""
    told = table.iloc[rows]
    keys = ["node", *told.columns.astype(str)]
    columns = [told[name].tolist() for name in told.columns]
    for row, *values in zip(rows.tolist(), *columns, strict=True):
        yield names[row], dict(zip(keys, [node, *values], strict=True))
