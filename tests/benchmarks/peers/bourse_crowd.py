"""The crowd on bourse (Rust book, numpy arrays at its border); it keeps no accounts."""

from collections.abc import Callable

import numpy as np
from benchmarks.markets import LOTS, START, TICKS
from bourse import core

NEW, CANCEL = 1, 2


def crowd(members: int) -> Callable[[], None]:
    """Cancel all last orders and place new ones, in two calls with arrays, then match."""
    env = core.StepEnvNumpy(1, 0, 1, 1)
    rng = np.random.default_rng(1)
    owners = np.arange(members, dtype=np.uint32)
    places, cancels = (
        np.full(members, NEW, dtype=np.uint32),
        np.full(members, CANCEL, dtype=np.uint32),
    )
    nothing, no_order = np.zeros(members, dtype=np.uint32), np.zeros(members, dtype=np.uint64)
    last, middle = no_order, START

    def step() -> None:
        nonlocal last, middle
        _, bid, ask, *_ = env.level_1_data().tolist()
        middle = (bid + ask) // 2 if 0 < bid < ask < 2 * START else middle
        draws = rng.random((members, 3))
        price = (middle - TICKS + (draws[:, 1] * (2 * TICKS + 1)).astype(np.int64)).astype(
            np.uint32
        )
        lots = (draws[:, 2] * LOTS).astype(np.uint32) + 1
        if last is not no_order:
            env.submit_instructions(
                (cancels, np.zeros(members, dtype=bool), nothing, owners, nothing, last)
            )
        last = env.submit_instructions((places, draws[:, 0] < 0.5, lots, owners, price, no_order))
        env.step()

    return step
