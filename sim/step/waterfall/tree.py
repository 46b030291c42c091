"""Ordered queues of counterparties as treaps, compiled.

A queue orders accounts by falling score, ties by account. Each node also holds the largest means in
its subtree, so that the first account that can pay a given amount is found in logarithmic time.
"""

import numpy as np

from sim.numerics.jit import kernel
from sim.step.waterfall.tables import LEFT, MEANS, MOST, PATH, RIGHT, ROOT, Queues
from sim.types import F8, I8, MISSING


@kernel
def _priority(node: int) -> int:
    """Return a hash of an account, which decides the shape of the tree and nothing else."""
    mixed: int = (node + 1) * -7046029254386353131
    mixed ^= mixed >> 29
    mixed *= -4658895280553007687
    mixed ^= mixed >> 32
    return mixed


@kernel
def _is_ahead(score: F8, one: int, other: int) -> bool:
    """Return whether an account precedes another in the queue."""
    return score[one] > score[other] or (score[one] == score[other] and one < other)


@kernel
def _update_most(nodes: I8, node: int) -> bool:
    """Set the largest means of a subtree from those of its children; return True if it changed."""
    largest = nodes[node, MEANS]
    for child in (nodes[node, LEFT], nodes[node, RIGHT]):
        if child != MISSING:
            largest = max(largest, nodes[child, MOST])
    has_changed: bool = nodes[node, MOST] != largest
    nodes[node, MOST] = largest
    return has_changed


@kernel
def _climb(queues: Queues, number: int, current: int, depth: int) -> None:
    """Link a subtree below the path to it, and update its ancestors until nothing changes."""
    nodes, path = queues.nodes[number], queues.heads[PATH]
    if depth == 0:
        queues.heads[ROOT, number] = current
        return
    nodes[path[depth - 1] >> 1, RIGHT if path[depth - 1] & 1 else LEFT] = current
    while depth > 0 and _update_most(nodes, path[depth - 1] >> 1):
        depth -= 1


@kernel
def find_first_able(queues: Queues, number: int, least: float) -> int:
    """Return the first account in the queue with means of at least ``least``, or MISSING."""
    nodes, node = queues.nodes[number], queues.heads[ROOT, number]
    if node == MISSING or nodes[node, MOST] < least:
        return MISSING
    while True:
        below = nodes[node, LEFT]
        if below != MISSING and nodes[below, MOST] >= least:
            node = below
        elif nodes[node, MEANS] >= least:
            return node
        else:
            node = nodes[node, RIGHT]


@kernel
def insert_account(queues: Queues, number: int, node: int, points: float, means: int) -> None:
    """Insert an account that is not in the queue."""
    nodes, score, path = queues.nodes[number], queues.score[number], queues.heads[PATH]
    score[node] = points
    nodes[node, LEFT] = nodes[node, RIGHT] = MISSING
    nodes[node, MEANS] = nodes[node, MOST] = means
    current, depth, rank = queues.heads[ROOT, number], 0, _priority(node)
    while current != MISSING:
        behind = _is_ahead(score, current, node)
        path[depth] = 2 * current + behind
        depth += 1
        current = nodes[current, RIGHT if behind else LEFT]
    while depth > 0 and _priority(path[depth - 1] >> 1) < rank:  # rotate upwards
        depth -= 1
        parent, behind = path[depth] >> 1, path[depth] & 1
        inner, outer = (LEFT, RIGHT) if behind else (RIGHT, LEFT)
        nodes[parent, outer] = nodes[node, inner]
        nodes[node, inner] = parent
        _update_most(nodes, parent)
        _update_most(nodes, node)
    _climb(queues, number, node, depth)


@kernel
def remove_account(queues: Queues, number: int, node: int) -> None:
    """Remove an account that is in the queue."""
    nodes, score, path = queues.nodes[number], queues.score[number], queues.heads[PATH]
    current, depth = queues.heads[ROOT, number], 0
    while current != node:
        behind = _is_ahead(score, current, node)
        path[depth] = 2 * current + behind
        depth += 1
        current = nodes[current, RIGHT if behind else LEFT]
    one, other, top = nodes[node, LEFT], nodes[node, RIGHT], depth
    joined = one if other == MISSING else other  # root of the children, joined
    if one != MISSING and other != MISSING and _priority(one) > _priority(other):
        joined = one
    while one != MISSING and other != MISSING:
        takes_one = _priority(one) > _priority(other)
        path[depth] = 2 * (one if takes_one else other) + takes_one
        depth += 1
        if takes_one:
            one = nodes[one, RIGHT]
        else:
            other = nodes[other, LEFT]
        # what hangs below the last node of the path is the rest, whose root comes next
        rest = one if other == MISSING else other
        if one != MISSING and other != MISSING and _priority(one) > _priority(other):
            rest = one
        nodes[path[depth - 1] >> 1, RIGHT if takes_one else LEFT] = rest
    while depth > top:
        depth -= 1
        _update_most(nodes, path[depth] >> 1)
    _climb(queues, number, joined, depth)
    score[node] = np.nan


@kernel
def build_queue(queues: Queues, number: int, rows: I8, points: F8, means: I8) -> None:
    """Build a queue from accounts in its order, and forget what it was.

    Args:
        queues: in place.
        number: of the queue.
        rows: (n,) accounts.
        points: (n,) their scores, falling.
        means: (n,) what they can pay, whole minor units.
    """
    nodes, score, spine = queues.nodes[number], queues.score[number], queues.heads[PATH]
    for node in range(score.size):
        score[node] = np.nan
    depth = 0
    for place in range(rows.size):
        node, below = rows[place], MISSING
        score[node], nodes[node, MEANS] = points[place], means[place]
        rank = _priority(node)
        while depth > 0 and _priority(spine[depth - 1]) < rank:
            depth -= 1
            below = spine[depth]
            _update_most(nodes, below)
        nodes[node, LEFT], nodes[node, RIGHT] = below, MISSING
        if depth > 0:
            nodes[spine[depth - 1], RIGHT] = node
        spine[depth] = node
        depth += 1
    queues.heads[ROOT, number] = spine[0] if depth > 0 else MISSING
    while depth > 0:
        depth -= 1
        _update_most(nodes, spine[depth])
