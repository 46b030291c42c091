"""Comparison of speeds on a busy machine: alternating turns, CPU time, medians."""

from collections.abc import Callable, Sequence
from time import process_time

import numpy as np

Player = Callable[[int], object]
"""Function that does its work a number of times, such as ``Market.advance``."""


def repeat(call: Callable[[], object]) -> Player:
    """Return a player that calls a function as often as asked."""

    def play(times: int) -> None:
        for _ in range(times):
            call()

    return play


def seconds(players: Sequence[Player], times: Sequence[int], blocks: int) -> list[list[float]]:
    """Return the CPU seconds per time of each player in each block; the players take turns.

    CPU time excludes other processes, and the players of a block run under the same load. The first
    block warms up (compilation, caches, growing arrays) and is not returned.

    Args:
        players: what to compare.
        times: how often each works in a block, so that a block of each takes about as long.
        blocks: blocks measured.
    """
    taken: list[list[float]] = [[] for _ in players]
    for _ in range(blocks + 1):
        for player, calls, blocks_taken in zip(players, times, taken, strict=True):
            began = process_time()
            player(calls)
            blocks_taken.append((process_time() - began) / calls)
    return [each[1:] for each in taken]


def ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median over blocks of the peer's time ÷ ours."""
    return float(np.median(np.array(peer) / np.array(ours)))


def spread(values: Sequence[float]) -> str:
    """Median and quartiles, for print."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
