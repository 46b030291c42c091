"""Contagion as a networkx graph, for pictures, export and networkx algorithms."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from sim.errors import DataError
from sim.metrics.contagion import ROOT_KINDS, ContagionLinks
from sim.metrics.generations import assign_cascades, compute_depths
from sim.metrics.links.origins import InstrumentOrigins, tabulate_actions
from sim.types import B1, I8

if TYPE_CHECKING:
    import networkx as nx


def build_graph(
    links: ContagionLinks, cascade: int | None = None, origins: InstrumentOrigins | None = None
) -> "nx.DiGraph[str]":
    """Return a graph of actions, moves and roots; ``share`` of an edge is its part of the harm.

    Edges go from causes to effects. Nodes have the names ``action 7``, ``move 3.0 BTC-PERP`` (step,
    round), or their kind of root; the attribute ``node`` holds their type. Shares of the edges into
    an action sum to one. Those into a move do as well, unless cancelled orders moved it too.

    With origins, actions have the ``instrument`` of which they closed most, and ``foreign``, the
    share of them that came from others. Where there are several instruments, each has roots of its
    own, such as ``index BTC-PERP``, and these have an ``instrument`` too.

    Args:
        links: links of one run.
        cascade: number of one cascade, see :func:`sim.metrics.generations.assign_cascades`;
            None = all.
        origins: instruments of the actions and of their causes; None = without.

    Raises:
        DataError: the cascade does not exist.
    """
    import networkx as nx

    number = assign_cascades(links)
    wanted = _select_cascade(number, cascade)
    graph: nx.DiGraph[str] = nx.DiGraph()
    names, events = _name_nodes(links)
    columns = links.actions.assign(cascade=number, depth=compute_depths(links))
    if origins is not None:
        columns = columns.assign(**tabulate_actions(origins))
    names_of_roots, harm_by_root = _list_roots(links, origins)
    graph.add_nodes_from(_iterate_nodes(names, columns, np.flatnonzero(wanted), "action"))
    by_move = links.harm_by_move.tocoo()
    used = np.unique(by_move.col[wanted[by_move.row]]).astype(np.int64)
    graph.add_nodes_from(_iterate_nodes(events, links.moves, used, "move"))
    graph.add_nodes_from(names_of_roots.items())
    _add_edges(graph, by_move, wanted[by_move.row], events, names)
    _add_action_edges(graph, links, wanted, names, events)
    kept = (harm_by_root.data > 0) & wanted[harm_by_root.row]
    _add_edges(graph, harm_by_root, kept, list(names_of_roots), names)
    graph.remove_nodes_from([root for root in names_of_roots if not graph.degree(root)])
    return graph


def _name_nodes(links: ContagionLinks) -> tuple[list[str], list[str]]:
    """Return the names of the nodes of actions and of moves."""
    events = links.moves[["step", "round", "instrument"]].to_numpy()
    return (
        [f"action {action}" for action in links.actions["action"]],
        [f"move {step}.{turn} {name}" for step, turn, name in events],
    )


def _list_roots(
    links: ContagionLinks, origins: InstrumentOrigins | None
) -> tuple[dict[str, dict[str, str]], sparse.coo_array]:
    """Return the nodes of roots with their attributes, and their shares in the harm to actions."""
    if origins is None or len(origins.instruments) < 2:
        kinds = {kind: {"node": "root"} for kind in ROOT_KINDS}
        return kinds, sparse.coo_array(links.harm_by_root)
    nodes = {
        f"{kind} {name}".strip(): {"node": "root", "instrument": name}
        for kind in ROOT_KINDS
        for name in origins.names
    }
    return nodes, origins.roots.tocoo()


def _add_action_edges(
    graph: "nx.DiGraph[str]", links: ContagionLinks, wanted: B1, names: list[str], events: list[str]
) -> None:
    """Add the edges from actions to the moves in the graph, and to later actions of an account."""
    by_action = links.move_by_action.tocoo()
    is_used = np.array([event in graph for event in events], dtype=bool)
    _add_edges(graph, by_action, is_used[by_action.row] & wanted[by_action.col], names, events)
    by_own = links.harm_by_own.tocoo()
    _add_edges(graph, by_own, wanted[by_own.row], names, names)


def _select_cascade(number: I8, cascade: int | None) -> B1:
    """Return True for actions of one cascade, or for all; refuse a cascade that does not exist."""
    if cascade is None:
        return np.ones(number.size, dtype=bool)
    wanted: B1 = number == cascade
    if not wanted.any():
        if not number.size:
            raise DataError(f"cascade: {cascade}, nothing was closed out: name none")
        raise DataError(
            f"cascade: {cascade}, there are {number.max()}, largest first: "
            f"name one of 1 to {number.max()}"
        )
    return wanted


def _add_edges(
    graph: "nx.DiGraph[str]",
    shares: sparse.coo_array,
    kept: B1,
    sources: list[str],
    targets: list[str],
) -> None:
    """Add an edge for each kept share, from its column's source to its row's target."""
    graph.add_weighted_edges_from(
        (
            (sources[column], targets[row], share)
            for row, column, share in zip(
                shares.row[kept].tolist(),
                shares.col[kept].tolist(),
                shares.data[kept].tolist(),
                strict=True,
            )
        ),
        weight="share",
    )


def _iterate_nodes(
    names: list[str], table: pd.DataFrame, rows: I8, node: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield some rows of a table by name, with Python numbers, which GraphML can store."""
    selected = table.iloc[rows]
    keys = ["node", *selected.columns.astype(str)]
    columns = [selected[name].tolist() for name in selected.columns]
    for row, *values in zip(rows.tolist(), *columns, strict=True):
        yield names[row], dict(zip(keys, [node, *values], strict=True))
