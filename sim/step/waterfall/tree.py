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
def _update_most(left: I8, right: I8, most: I8, means: I8, node: int) -> None:
    """Set the largest means of a node's subtree from those of its children."""
    largest = means[node]
    if left[node] != MISSING:
        largest = max(largest, most[left[node]])
    if right[node] != MISSING:
        largest = max(largest, most[right[node]])
    most[node] = largest


@kernel
def find_first_able(queues: Queues, whole: I8, number: int, least: float) -> int:
    """Return the first account in the queue with means of at least ``least``, or MISSING."""
    left, right = queues.links[LEFT, number], queues.links[RIGHT, number]
    most, means = queues.links[MOST, number], whole[MEANS]
    node = queues.heads[ROOT, number]
    if node == MISSING or most[node] < least:
        return MISSING
    while True:
        below = left[node]
        if below != MISSING and most[below] >= least:
            node = below
        elif means[node] >= least:
            return node
        else:
            node = right[node]


@kernel
def insert_account(queues: Queues, whole: I8, number: int, node: int, points: float) -> None:
    """Insert an account that is not in the queue."""
    left, right = queues.links[LEFT, number], queues.links[RIGHT, number]
    most, means = queues.links[MOST, number], whole[MEANS]
    score, path = queues.score[number], queues.heads[PATH]
    score[node] = points
    left[node] = right[node] = MISSING
    current, depth = queues.heads[ROOT, number], 0
    while current != MISSING:
        behind = _is_ahead(score, current, node)
        path[depth] = 2 * current + behind
        depth += 1
        current = right[current] if behind else left[current]
    most[node] = means[node]
    current, rank = node, _priority(node)
    while depth > 0 and _priority(path[depth - 1] >> 1) < rank:  # rotate upwards
        depth -= 1
        parent, behind = path[depth] >> 1, path[depth] & 1
        if behind:
            right[parent] = left[node]
            left[node] = parent
        else:
            left[parent] = right[node]
            right[node] = parent
        _update_most(left, right, most, means, parent)
        _update_most(left, right, most, means, node)
    while depth > 0:
        depth -= 1
        parent, behind = path[depth] >> 1, path[depth] & 1
        if behind:
            right[parent] = current
        else:
            left[parent] = current
        _update_most(left, right, most, means, parent)
        current = parent
    queues.heads[ROOT, number] = current


@kernel
def remove_account(queues: Queues, whole: I8, number: int, node: int) -> None:
    """Remove an account that is in the queue."""
    left, right = queues.links[LEFT, number], queues.links[RIGHT, number]
    most, means = queues.links[MOST, number], whole[MEANS]
    score, path = queues.score[number], queues.heads[PATH]
    current, depth = queues.heads[ROOT, number], 0
    while current != node:
        behind = _is_ahead(score, current, node)
        path[depth] = 2 * current + behind
        depth += 1
        current = right[current] if behind else left[current]
    one, other, top = left[node], right[node], depth
    current = MISSING  # root of the joined children
    while one != MISSING or other != MISSING:
        takes_one = other == MISSING or (one != MISSING and _priority(one) > _priority(other))
        child = one if takes_one else other
        if depth == top:
            current = child
        elif path[depth - 1] & 1:
            right[path[depth - 1] >> 1] = child
        else:
            left[path[depth - 1] >> 1] = child
        if one == MISSING or other == MISSING:
            break
        path[depth] = 2 * child + takes_one
        depth += 1
        if takes_one:
            one = right[one]
        else:
            other = left[other]
    while depth > top:
        depth -= 1
        _update_most(left, right, most, means, path[depth] >> 1)
    while depth > 0:
        depth -= 1
        parent, behind = path[depth] >> 1, path[depth] & 1
        if behind:
            right[parent] = current
        else:
            left[parent] = current
        _update_most(left, right, most, means, parent)
        current = parent
    queues.heads[ROOT, number] = current
    score[node] = np.nan


@kernel
def build_queue(queues: Queues, whole: I8, number: int, rows: I8, points: F8) -> None:
    """Build a queue from accounts in its order, and forget what it was."""
    left, right = queues.links[LEFT, number], queues.links[RIGHT, number]
    most, means = queues.links[MOST, number], whole[MEANS]
    score, spine = queues.score[number], queues.heads[PATH]
    for node in range(score.size):
        score[node] = np.nan
    depth = 0
    for place in range(rows.size):
        node, below = rows[place], MISSING
        score[node] = points[place]
        rank = _priority(node)
        while depth > 0 and _priority(spine[depth - 1]) < rank:
            depth -= 1
            below = spine[depth]
            _update_most(left, right, most, means, below)
        left[node], right[node] = below, MISSING
        if depth > 0:
            right[spine[depth - 1]] = node
        spine[depth] = node
        depth += 1
    queues.heads[ROOT, number] = spine[0] if depth > 0 else MISSING
    while depth > 0:
        depth -= 1
        _update_most(left, right, most, means, spine[depth])
