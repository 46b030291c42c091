"""Matching in batches (performance.md, "Parts"): compiled books, plain books, bourse package.

51% limit orders, 39% cancels, 10% market orders, about 5,000 resting, batches of 1,000. Run with
``pytest -m benchmark -s tests/benchmarks/test_matching.py``.
"""

from collections.abc import Callable
from time import process_time

import numpy as np
import pytest

from sim.exchange.book import OrderBooks
from sim.exchange.matching import CAUSE, KIND, OWNER, PRICE, QUANTITY, RESERVE, SLOT
from sim.exchange.plain_book import PlainOrderBooks
from sim.types import I8, MARKET, MISSING

pytestmark = pytest.mark.benchmark

OWNERS, LEVELS, RESTING, ROWS = 10_000, 2**17, 5_000, 1_000
NO_POSITION = np.zeros((1, OWNERS), dtype=np.int64)
NO_BAND = np.array([[1, LEVELS]])


def limits(rng: np.random.Generator, owner: I8) -> I8:
    """One passive order for each owner, within 100 ticks of the middle."""
    side = rng.choice([-1, 1], len(owner))
    orders = np.zeros((len(owner), 8), dtype=np.int64)
    orders[:, OWNER], orders[:, QUANTITY] = owner, side * rng.integers(1, 20, len(owner))
    orders[:, PRICE] = LEVELS // 2 - side * rng.integers(1, 100, len(owner))
    orders[:, RESERVE], orders[:, CAUSE] = 7, MISSING
    return orders


def markets(rng: np.random.Generator, mean: float) -> I8:
    """Return market orders of random owners that keep the number of resting orders constant."""
    orders = np.zeros((ROWS // 10, 8), dtype=np.int64)
    orders[:, OWNER] = rng.integers(0, OWNERS, len(orders))
    orders[:, QUANTITY] = rng.choice([-1, 1], len(orders)) * rng.integers(
        1, max(2, int(2 * mean)), len(orders)
    )
    orders[:, KIND], orders[:, SLOT], orders[:, CAUSE] = MARKET, 1, MISSING
    return orders


def events(batches: int) -> list[I8]:
    """The batches; the first fills the book."""
    rng, books = np.random.default_rng(1), OrderBooks(1, OWNERS, LEVELS)
    made = [limits(rng, rng.permutation(OWNERS)[:RESTING])]
    books.match(made[0], NO_POSITION, NO_BAND)
    for _ in range(batches):
        rests = books.resting_totals[:2, 0].sum(axis=0) > 0
        cancels = np.zeros((ROWS * 39 // 100, 8), dtype=np.int64)
        cancels[:, OWNER] = rng.permutation(np.flatnonzero(rests))[: len(cancels)]
        places = limits(rng, rng.permutation(np.flatnonzero(~rests))[: ROWS * 51 // 100])
        batch = rng.permutation(
            np.concatenate([places, cancels, markets(rng, 12 * len(books) / RESTING)])
        )
        books.match(batch, NO_POSITION, NO_BAND)
        made.append(batch)
    assert 0.8 * RESTING < len(books) < 1.2 * RESTING
    return made


def rate(start: Callable[[], Callable[[I8], object]], batches: list[I8], times: int) -> float:
    """Median events per second of CPU time over several runs, the first batch not counted."""
    rates = []
    for _ in range(times):
        handle = start()
        handle(batches[0])
        began = process_time()
        for batch in batches[1:]:
            handle(batch)
        rates.append(sum(map(len, batches[1:])) / (process_time() - began))
    return float(np.median(rates))


def ours(kind: type[OrderBooks] | type[PlainOrderBooks]) -> Callable[[], Callable[[I8], object]]:
    """A way to start empty books of a kind."""

    def start() -> Callable[[I8], object]:
        books = kind(1, OWNERS, LEVELS)
        return lambda batch: books.match(batch, NO_POSITION, NO_BAND)

    return start


def peer() -> Callable[[I8], object]:
    """Return bourse's array interface, which shuffles each batch and keeps no slots or accounts."""
    core = pytest.importorskip(
        "bourse.core", reason="bourse is an optional peer: pip install 'deleverage[peers]'"
    )
    env = core.StepEnvNumpy(1, 0, 1, 1)
    number = np.zeros(OWNERS, dtype=np.uint64)

    def handle(batch: I8) -> None:
        owner, quantity = batch[:, OWNER], batch[:, QUANTITY]
        market = batch[:, KIND] == MARKET
        price = np.where(market, np.where(quantity > 0, LEVELS, 1), batch[:, PRICE]).astype(
            np.uint32
        )
        env_kind = np.where(quantity == 0, 2, 1).astype(np.uint32)
        columns = (
            env_kind,
            quantity > 0,
            np.abs(quantity).astype(np.uint32),
            owner.astype(np.uint32),
            price,
        )
        placed = env.submit_instructions((*columns, number[owner]))
        new = (quantity != 0) & ~market
        number[owner[new]] = placed[new]
        env.step()

    return handle


def test_matching_rate() -> None:
    batches = events(300)
    rate(ours(OrderBooks), batches[:3], 1)  # compile
    kernel, twin = rate(ours(OrderBooks), batches, 7), rate(ours(PlainOrderBooks), batches[:30], 3)
    print(
        f"\nmatching, M events/s: kernel {kernel / 1e6:.2f}, plain twin {twin / 1e6:.3f}; "
        f"ratio {kernel / twin:.0f}"
    )
    assert kernel >= 5 * twin


def test_matching_rate_beside_bourse() -> None:
    batches = events(300)
    rate(ours(OrderBooks), batches[:3], 1)
    kernel, bourse = rate(ours(OrderBooks), batches, 7), rate(peer, batches, 7)
    print(
        f"\nmatching, M events/s: kernel {kernel / 1e6:.2f}, bourse {bourse / 1e6:.2f}; "
        f"ratio {kernel / bourse:.2f}"
    )
    assert kernel >= bourse
