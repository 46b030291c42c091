"""Many markets advanced side by side, in threads that compiled steps do not block.

Compiled steps release the interpreter's lock, and kernels write to the arrays of their own market
only. So threads make steps of different markets at the same time. A plain phase takes the lock and
lasts until the market's compiled steps continue.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

from sim.state import MarketState

SLICE_SECONDS, FIRST_SLICE = 0.05, 10_000
"""Time after which a market under way can be interrupted, roughly; owners x steps of the first
slice, which take less."""

LARGEST_GROWTH = 64
"""Largest ratio of the numbers of steps of two slices in turn."""


class AdvancingMarket(Protocol):
    """Market that makes steps in compiled code (a ``sim.market.Market``)."""

    @property
    def tick(self) -> int:
        """Number of steps made."""
        ...

    @property
    def steps_planned(self) -> int:
        """Number of steps of the whole run."""
        ...

    @property
    def state(self) -> MarketState:
        """State of the market."""
        ...

    def advance(self, steps: int) -> None:
        """Make several steps."""
        ...


def advance_in_slices(market: AdvancingMarket, last_tick: int) -> Iterator[int]:
    """Make the steps of a market up to one, in slices of about ``SLICE_SECONDS``.

    Yields:
        The number of steps just made.
    """
    size = max(1, FIRST_SLICE // market.state.n_owners)
    while market.tick < last_tick:
        began, before = time.perf_counter(), market.tick
        market.advance(min(size, last_tick - before))
        made, taken = market.tick - before, time.perf_counter() - began
        wished = int(made * SLICE_SECONDS / max(taken, 1e-9))
        size = max(1, min(wished, LARGEST_GROWTH * size))
        yield made


def advance_markets(markets: Sequence[AdvancingMarket], steps: int, threads: int) -> None:
    """Make several steps of each market, several markets at a time.

    Each market is afterwards as after ``market.advance(steps)``, to the last bit. An error in one
    market does not stop the others; an interruption stops all of them between two slices.

    Args:
        markets: markets of any configurations; none twice.
        steps: number of steps of each, up to the end of its run.
        threads: markets advanced at a time.

    Raises:
        DeleverageError, or another error of a component: the first, in the order of the markets.
    """
    stopped = threading.Event()

    def advance(market: AdvancingMarket) -> None:
        for _ in advance_in_slices(market, min(market.tick + steps, market.steps_planned)):
            if stopped.is_set():
                return

    with ThreadPoolExecutor(threads) as pool:
        advancing = [pool.submit(advance, market) for market in markets]
        try:
            wait(advancing)
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
    for future in advancing:
        future.result()
