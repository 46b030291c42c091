"""Where orders are done: in this process, in processes of this machine, on a dask cluster."""

import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from experiments import provenance
from experiments.sweep import work
from experiments.sweep.records import Order, Place, Result
from sim.errors import ConfigError, DeleverageError, OutputError, did_you_mean

EXECUTORS = ("serial", "loky", "dask")
"""Names; ``tcp://HOST:PORT`` is the dask scheduler there."""


class DeathError(Exception):
    """A worker that ended before its order was done."""


class Pool(Protocol):
    """Workers that take orders."""

    @property
    def slots(self) -> int:
        """Orders done at a time."""
        ...

    def submit(self, order: Order) -> "Future[list[Result]]":
        """Begin an order."""
        ...

    def result(self, future: "Future[list[Result]]") -> list[Result]:
        """What an order left behind.

        Raises:
            DeathError: its worker ended.
        """
        ...

    def heal(self) -> bool:
        """After a death: make a pool that takes orders again; whether all orders under way are lost."""
        ...

    def close(self) -> None:
        """End all workers, at once."""
        ...


class Serial:
    """This process, in which what is there stays: looking through it after each run would take a while."""

    slots: int = 1

    def __init__(self) -> None:
        gc.freeze()

    def submit(self, order: Order) -> "Future[list[Result]]":
        """Do it."""
        future: Future[list[Result]] = Future()
        future.set_result(work.perform(order))
        return future

    def result(self, future: "Future[list[Result]]") -> list[Result]:
        """What it left behind."""
        return future.result()

    def heal(self) -> bool:
        """Nobody dies here."""
        return False

    def close(self) -> None:
        """Nothing to end."""
        gc.unfreeze()


class Loky:
    """Processes of this machine, each of one thread.

    Args:
        jobs: how many.
    """

    def __init__(self, jobs: int) -> None:
        provenance.pin()  # processes inherit it before they import numpy
        self.slots = jobs
        self._pool = self._made()

    def _made(self) -> Any:
        import loky

        return loky.ProcessPoolExecutor(self.slots, initializer=work.prepare, initargs=(os.getpid(),))

    def submit(self, order: Order) -> "Future[list[Result]]":
        """To the next that is free."""
        return self._pool.submit(work.perform, order)

    def result(self, future: "Future[list[Result]]") -> list[Result]:
        """What it left behind."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise DeathError from error

    def heal(self) -> bool:
        """A new pool: in loky one death ends all."""
        self.close()
        self._pool = self._made()
        return True

    def close(self) -> None:
        """Kill."""
        self._pool.shutdown(wait=True, kill_workers=True)


class Dask:
    """Workers of a dask cluster.

    Args:
        address: of the scheduler; none = a cluster of this machine, over TCP on loopback.
        jobs: workers of the latter.
    """

    def __init__(self, address: str | None, jobs: int) -> None:
        distributed = _distributed()
        provenance.pin()
        self._cluster = None
        if address is None:
            options: dict[str, Any] = {"n_workers": jobs, "threads_per_worker": 1, "processes": True}
            self._cluster = distributed.LocalCluster(**options, dashboard_address=None, silence_logs=50)
        try:
            self._client = distributed.Client(self._cluster or address, timeout=20, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:  # nobody is there, or it is no address
            rule = "no dask scheduler answers there, start one with: dask scheduler"
            raise ConfigError([f"--executor: {address}, {rule}"]) from error
        self._killed = distributed.scheduler.KilledWorker
        self._pool = self._client.get_executor(pure=False)
        self._checked = False

    @property
    def slots(self) -> int:
        """As many as there are at the moment: workers may come and go."""
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, order: Order) -> "Future[list[Result]]":
        """To the scheduler, which gives it to another worker when one is lost.

        Raises:
            OutputError: before the first order, why a worker may not take part; later ones check themselves.
        """
        if not self._checked:
            self._check(order.place)
            self._checked = True
        return self._pool.submit(work.perform, order)

    def result(self, future: "Future[list[Result]]") -> list[Result]:
        """What it left behind."""
        try:
            return future.result()
        except self._killed as error:
            raise DeathError from error

    def _check(self, place: Place) -> None:
        """Ask each worker in a task of its own; refuse all of them with a line for each that may not take part."""
        known = list(self._client.nthreads())
        asked = {each: self._client.submit(work.fit, place, workers=[each], pure=False) for each in known}
        told = [_reason(address, future.exception()) for address, future in asked.items()]
        if problems := [line for line in told if line]:
            raise OutputError(*problems)

    def heal(self) -> bool:
        """The scheduler does."""
        return False

    def close(self) -> None:
        """Leave the cluster; end it, if it is our own."""
        self._pool.shutdown(wait=False)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _reason(address: str, error: BaseException | None) -> str:
    """Why a worker may not take part; empty if it may."""
    if error is None:
        return ""
    if isinstance(error, DeleverageError):
        return str(error)
    told = (str(error).strip().splitlines() or [""])[0]
    rule = "give it the same code and plug-ins, and start it again"
    return f"worker {address}: cannot take part ({type(error).__name__}: {told}), {rule}"


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        rule = "dask is not installed, it comes with an extra, pip install 'deleverage[cluster]'"
        raise ConfigError([f"--executor: {rule}"]) from error
    return distributed


@contextmanager
def opened(executor: str, jobs: int) -> Iterator[Pool]:
    """The pool of that name, ended at once by whatever ends the context.

    Raises:
        ConfigError: no such executor, fewer than one job, dask is missing or its scheduler does not answer.
    """
    if jobs < 1:
        raise ConfigError([f"--jobs: {jobs}, must be at least 1, the default is one for each processor"])
    pool = Dask(executor, jobs) if executor.startswith("tcp://") else _pool(executor, jobs)
    try:
        yield pool
    finally:
        pool.close()


def _pool(executor: str, jobs: int) -> Pool:
    made: dict[str, Callable[[], Pool]] = {
        "serial": Serial,
        "loky": lambda: Loky(jobs),
        "dask": lambda: Dask(None, jobs),
    }
    if executor not in made:
        known = f"not one of {', '.join(EXECUTORS)}, tcp://HOST:PORT{did_you_mean(executor, EXECUTORS)}"
        raise ConfigError([f"--executor: {executor!r} is {known}, use one of them"])
    return made[executor]()


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in vars(os) else os.cpu_count() or 1
