"""Where orders are done: in this process, in processes of this machine, on a dask cluster."""

import asyncio
import gc
import logging
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from experiments.results import provenance
from experiments.sweep import worker
from experiments.sweep.messages import Order, Place, Result
from sim.errors import ConfigError, DeleverageError, OutputError, did_you_mean

EXECUTORS = ("serial", "loky", "dask")
"""Names; ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` is the dask scheduler there."""

SCHEMES = ("tcp://", "tls://")

TLS = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
"""Settings of dask that a client needs for ``tls://``, as ends of environment variables."""

SILENT = "no dask scheduler answers there, start one with: dask scheduler"
OPEN = "has no authentication, any program that can reach it can run code as its user"


class DeathError(Exception):
    """A worker that ended before its order was done."""


class LostError(ConnectionError):
    """A scheduler that no longer answers. Its text is one line for the user."""


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
        future.set_result(worker.perform(order))
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

        return loky.ProcessPoolExecutor(self.slots, initializer=worker.prepare, initargs=(os.getpid(),))

    def submit(self, order: Order) -> "Future[list[Result]]":
        """To the next that is free."""
        return self._pool.submit(worker.perform, order)

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
        address: of the scheduler, whose certificates for ``tls://`` are those of dask's configuration; none = a cluster
            of this machine, over TCP on loopback.
        jobs: workers of the latter.
    """

    def __init__(self, address: str | None, jobs: int) -> None:
        distributed = _distributed()
        provenance.pin()
        self._cluster = None
        if address is None:
            options: dict[str, Any] = {"n_workers": jobs, "threads_per_worker": 1, "processes": True}
            self._cluster = distributed.LocalCluster(**options, dashboard_address=None, silence_logs=50)
        self._address = address or "dask"
        for name in [*logging.root.manager.loggerDict, "distributed", "tornado.application", "asyncio"]:
            if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
                logging.getLogger(name).setLevel(
                    logging.CRITICAL + 1
                )  # a lost connection is reported in a line of ours
        if address is not None and address.startswith("tls://"):
            _check_certificates(address)
        try:
            self._client = distributed.Client(self._cluster or address, timeout=20, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:  # nobody is there, or it is no address
            raise ConfigError([f"--executor: {address}, {SILENT}"]) from error
        self._killed = distributed.scheduler.KilledWorker
        self._gone = (CancelledError, distributed.comm.CommClosedError, distributed.client.ClosedClientError)
        self._pool = self._client.get_executor(pure=False)
        self._checked = False

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Report a lost connection in one line.

        Raises:
            LostError: the scheduler no longer answers.
        """
        try:
            yield
        except self._gone as error:
            rule = "all finished runs are kept, start a scheduler, then the same command again"
            raise LostError(f"{self._address}: the connection to the dask scheduler was lost, {rule}") from error

    @property
    def slots(self) -> int:
        """As many as there are at the moment: workers may come and go."""
        with self._connected():
            try:
                return max(1, sum(self._client.nthreads().values()))
            except (OSError, TimeoutError) as error:
                raise CancelledError from error

    def submit(self, order: Order) -> "Future[list[Result]]":
        """To the scheduler, which gives it to another worker when one is lost.

        Raises:
            OutputError: before the first order, why a worker may not take part; later ones check themselves.
        """
        with self._connected():
            if not self._checked:
                self._check(order.place)
                self._checked = True
            return self._pool.submit(worker.perform, order)

    def result(self, future: "Future[list[Result]]") -> list[Result]:
        """What it left behind."""
        try:
            with self._connected():
                return future.result()
        except self._killed as error:
            raise DeathError from error

    def _check(self, place: Place) -> None:
        """Ask each worker in a task of its own; refuse all of them with a line for each that may not take part."""
        known = list(self._client.nthreads())
        asked = {each: self._client.submit(worker.fit, place, workers=[each], pure=False) for each in known}
        told = [_reason(address, future.exception()) for address, future in asked.items()]
        if problems := [line for line in told if line]:
            raise OutputError(*problems)

    def heal(self) -> bool:
        """The scheduler does."""
        return False

    def close(self) -> None:
        """Leave the cluster; end it, if it is our own."""
        with suppress(OSError, TimeoutError, *self._gone):
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


def _check_certificates(address: str) -> None:
    """Open a connection before there is a client, which would go on trying.

    Raises:
        ConfigError: certificates are missing or refused, or the scheduler does not answer.
    """
    from distributed.comm import connect
    from distributed.security import Security

    security = Security()
    if not (security.tls_ca_file and security.tls_client_cert):
        names = ", ".join(f"DASK_DISTRIBUTED__COMM__TLS__{name}" for name in TLS)
        rule = f"needs certificates, name their files in dask's configuration or in {names}"
        raise ConfigError([f"--executor: {address}, {rule}"])

    async def reach() -> None:
        comm = await connect(address, timeout=20, **security.get_connection_args("client"))
        comm.abort()

    try:
        asyncio.run(reach())
    except ValueError as error:
        raise ConfigError([f"--executor: {address}, {SILENT}"]) from error
    except OSError as error:
        causes = [error, error.__cause__, error.__context__]
        refused = [each for each in causes if isinstance(each, ssl.SSLError | FileNotFoundError)]
        rule = "name files that the scheduler's authority signed in dask's configuration"
        told = f"its certificate or yours is refused ({refused[0]}), {rule}" if refused else SILENT
        raise ConfigError([f"--executor: {address}, {told}"]) from error


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
        LostError: a scheduler that answered does so no longer.
    """
    if jobs < 1:
        raise ConfigError([f"--jobs: {jobs}, must be at least 1, the default is one for each processor"])
    pool = Dask(executor, jobs) if executor.startswith(SCHEMES) else _pool(executor, jobs)
    if isinstance(pool, Dask) and not executor.startswith("tls://"):
        own = executor == "dask"
        where = "the dask scheduler of this machine" if own else executor
        rule = "use loky, which opens no port" if own else "use a closed network, or tls://"
        sys.stderr.write(f"{where}: {OPEN}; {rule}\n")
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
        known = (
            f"not one of {', '.join(EXECUTORS)}, tcp://HOST:PORT, tls://HOST:PORT{did_you_mean(executor, EXECUTORS)}"
        )
        raise ConfigError([f"--executor: {executor!r} is {known}, use one of them"])
    return made[executor]()


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in vars(os) else os.cpu_count() or 1
