"""Hands jobs to a pool in batches, a bounded number at a time, and gets every one of them done."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

from experiments.sweep.executors import DeathError, Pool
from experiments.sweep.messages import FAILED, Order, Place, Result, State
from experiments.sweep.plan import Unit

BATCH_SECONDS, BATCH_MOST = 2.0, 64
"""How long a batch of short jobs should take, and how many it holds at most."""

AHEAD = 2
"""Orders for each slot, so that no worker waits for the driver."""

DEATHS = 2
"""Workers that may die over a job before it must run alone; if one dies then, the job is at fault."""

WORDS = "its worker was ended from outside, perhaps for want of memory"


def driven(units: Iterable[Unit], pool: Pool, place: Place) -> Iterator[Result]:
    """Results in the order in which they come.

    Args:
        units: what to do.
        pool: who does it; left open.
        place: what all orders share.

    Raises:
        OutputError, ConfigError: what a worker says of itself, or of the study's module.
    """
    yield from _Driver(units, pool, place).run()


class _Driver:
    def __init__(self, units: Iterable[Unit], pool: Pool, place: Place) -> None:
        self.pool, self.place = pool, place
        self.waiting: deque[Unit] = deque(units)
        self.suspects: deque[Unit] = deque()
        self.pending: dict[Future[list[Result]], list[Unit]] = {}
        self.deaths: dict[int, int] = {}
        self.done, self.seconds = 0, 0.0

    def run(self) -> Iterator[Result]:
        while self.waiting or self.suspects or self.pending:
            self._submit()
            finished = wait(self.pending, return_when=FIRST_COMPLETED).done
            for future in finished:
                if future in self.pending:  # else it was lost with its neighbour
                    yield from self._taken(future)

    def _submit(self) -> None:
        """Keep every slot busy; a suspect has the pool to itself."""
        while self.waiting and len(self.pending) < AHEAD * self.pool.slots:
            self._order([self.waiting.popleft() for _ in range(self._size())])
        if self.suspects and not self.pending:
            self._order([self.suspects.popleft()])

    def _size(self) -> int:
        """Jobs of the next batch: about so many seconds, and towards the end few enough that all slots have work."""
        if not self.done:
            return 1
        wished = BATCH_SECONDS / max(self.seconds / self.done, 1e-3)
        fair = len(self.waiting) / (AHEAD * self.pool.slots)
        return max(1, min(int(wished), int(fair), BATCH_MOST))

    def _order(self, units: list[Unit]) -> None:
        future = self.pool.submit(Order(self.place, tuple(unit.job() for unit in units)))
        self.pending[future] = units

    def _taken(self, future: Future[list[Result]]) -> Iterator[Result]:
        units = self.pending.pop(future)
        try:
            results = self.pool.result(future)
        except DeathError:
            yield from self._mourned(units)
            return
        self.done += len(results)
        self.seconds += sum(result.seconds for result in results)
        yield from results

    def _mourned(self, units: list[Unit]) -> Iterator[Result]:
        """A worker died: whatever was under way is done again, and whoever kills twice in company is tried alone."""
        alone = len(units) == 1 and not self.pending
        if self.pool.heal():
            units = [*units, *(unit for lost in self.pending.values() for unit in lost)]
            self.pending.clear()
        for unit in units:
            died = self.deaths[unit.number] = self.deaths.get(unit.number, 0) + 1
            if died <= DEATHS:
                self.waiting.appendleft(unit)
            elif alone:
                yield _fallen(unit)
            else:
                self.suspects.append(unit)


def _fallen(unit: Unit) -> Result:
    """Of a job that no worker survives."""
    states = {role: State(name, FAILED, WORDS) for role, name in unit.hashes.items()}
    return Result(unit.number, states, None, "", (), 0.0)
