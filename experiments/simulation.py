"""Simulation of one market in memory, from the first to the last step."""

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from agents import populate
from experiments.config import RunConfig
from experiments.price_files.bars import read_replays
from sim.errors import DeleverageError
from sim.market import Market
from sim.metrics.cascades import Frames
from sim.prices.bars import Bars


class TimeLimitError(DeleverageError):
    """A run exceeded its time limit."""


def simulate_run(config: RunConfig) -> Frames:
    """Return the frames of one run."""
    bars = read_replays(config.underlyings, config.history)
    return simulate_market(config, bars).recorder.frames()


def simulate_market(
    config: RunConfig,
    bars: Mapping[str, Bars],
    limit: float = math.inf,
    stopped: threading.Event | None = None,
) -> Market:
    """Return a market after all its steps.

    Args:
        config: configuration of the run, not changed.
        bars: bars of replays, by name of underlying.
        limit: time limit in seconds. No step begins after it. In a main thread, except on Windows
            and in a dask worker, the current step is interrupted.
        stopped: set by another thread to interrupt the run.

    Raises:
        TimeLimitError: the time limit is reached.
        KeyboardInterrupt: the run was stopped.
    """
    began = time.monotonic()
    with _limit_time(limit):
        market: Any = Market(
            config, populate(config.populations), seed=config.seed, bars=dict(bars)
        )
        for _ in iterate_batches(market):
            if time.monotonic() - began > limit and market.running:
                raise TimeLimitError(f"ran out of its {limit:g} s")
            if stopped is not None and stopped.is_set():
                raise KeyboardInterrupt
    market.recorder.record_accounts("end")
    return market


BATCH_SECONDS, FIRST_BATCH = 0.05, 10_000
"""Time that a batch of steps takes, roughly; owners x steps of the first, which takes less."""

LARGEST_GROWTH = 64
"""Largest ratio of the numbers of steps of two batches in turn."""


def iterate_batches(market: Any, *, plain: bool = False) -> Iterator[int]:
    """Make all steps of a market, in batches after which it can be interrupted.

    Args:
        market: the market (a ``sim.market.Market``).
        plain: whether to make each step by the plain phases instead of compiled code.

    Yields:
        The number of steps just made.
    """
    size = max(1, FIRST_BATCH // market.state.n_owners)
    while market.tick < market.steps_planned:
        began, before = time.monotonic(), market.tick
        if plain:
            market.step()
        else:
            market.advance(size)
        made, taken = market.tick - before, time.monotonic() - began
        wished = int(made * BATCH_SECONDS / max(taken, 1e-9))
        size = max(1, min(wished, LARGEST_GROWTH * size))
        yield made


@contextmanager
def _limit_time(limit: float) -> Iterator[None]:
    """Raise ``TimeLimitError`` in the main thread after ``limit`` seconds."""
    main = threading.current_thread() is threading.main_thread()
    if not main or math.isinf(limit) or sys.platform == "win32":
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeLimitError(f"ran out of its {limit:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
