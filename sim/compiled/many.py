"""Many markets advanced side by side, in threads that compiled steps do not block.

Compiled steps release the interpreter's lock, and kernels write to the arrays of their own market
only. So threads make steps of different markets at the same time. A plain phase takes the lock and
lasts until the market's compiled steps continue.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

from sim.state import MarketState

SLICE = 200_000
"""Owners x steps after which a market under way can be interrupted: some hundredths of a second."""


class AdvancingMarket(Protocol):
    """Market that makes steps in compiled code (a ``sim.market.Market``)."""

    @property
    def state(self) -> MarketState:
        """State of the market."""
        ...

    def advance(self, steps: int) -> None:
        """Make several steps, up to the end of the run."""
        ...


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
        state = market.state
        last_tick = min(state.tick + steps, state.steps_planned)
        size = max(1, SLICE // state.n_owners)
        while state.tick < last_tick and not stopped.is_set():
            market.advance(min(size, last_tick - state.tick))

    with ThreadPoolExecutor(threads) as pool:
        advancing = [pool.submit(advance, market) for market in markets]
        try:
            wait(advancing)
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)
    for future in advancing:
        future.result()
