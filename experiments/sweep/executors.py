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
from experiments.sweep.messages import JobBatch, JobResult, SweepContext
from sim.errors import ConfigError, DeleverageError, OutputError, suggest_name

EXECUTORS = ("serial", "loky", "dask")
"""Names; ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` is the dask scheduler there."""

SCHEDULER_SCHEMES = ("tcp://", "tls://")

TLS_SETTINGS = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
"""Settings of dask that a client needs for ``tls://``, as ends of environment variables."""

NO_SCHEDULER = "no dask scheduler answers there, start one with: dask scheduler"
OPEN_PORT_WARNING = "has no authentication, any program that can reach it can run code as its user"


class WorkerDiedError(Exception):
    """A worker that ended before its order was done."""


class SchedulerLostError(ConnectionError):
    """A scheduler that no longer answers. Its text is one line for the user."""


class WorkerPool(Protocol):
    """Workers that take orders."""

    @property
    def n_slots(self) -> int:
        """Orders done at a time."""
        ...

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Begin an order."""
        ...

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """What an order left behind.

        Raises:
            DeathError: its worker ended.
        """
        ...

    def restart_workers(self) -> bool:
        """After a death: make a pool that takes orders again; whether all orders under way are lost."""
        ...

    def close(self) -> None:
        """End all workers, at once."""
        ...


class SerialPool:
    """This process, in which what is there stays: looking through it after each run would take a while."""

    n_slots: int = 1

    def __init__(self) -> None:
        gc.freeze()

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Do it."""
        future: Future[list[JobResult]] = Future()
        future.set_result(worker.execute_batch(order))
        return future

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """What it left behind."""
        return future.result()

    def restart_workers(self) -> bool:
        """Nobody dies here."""
        return False

    def close(self) -> None:
        """Nothing to end."""
        gc.unfreeze()


class LokyPool:
    """Processes of this machine, each of one thread.

    Args:
        jobs: how many.
    """

    def __init__(self, jobs: int) -> None:
        provenance.pin_threads()  # processes inherit it before they import numpy
        self.n_slots = jobs
        self._pool = self._start_pool()

    def _start_pool(self) -> Any:
        import loky

        return loky.ProcessPoolExecutor(
            self.n_slots, initializer=worker.prepare_worker, initargs=(os.getpid(),)
        )

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """To the next that is free."""
        return self._pool.submit(worker.execute_batch, order)

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """What it left behind."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise WorkerDiedError from error

    def restart_workers(self) -> bool:
        """A new pool: in loky one death ends all."""
        self.close()
        self._pool = self._start_pool()
        return True

    def close(self) -> None:
        """Kill."""
        self._pool.shutdown(wait=True, kill_workers=True)


class DaskPool:
    """Workers of a dask cluster.

    Args:
        address: of the scheduler, whose certificates for ``tls://`` are those of dask's configuration; none = a cluster
            of this machine, over TCP on loopback.
        jobs: workers of the latter.
    """

    def __init__(self, address: str | None, jobs: int) -> None:
        distributed = _import_distributed()
        provenance.pin_threads()
        self._cluster = None
        if address is None:
            options: dict[str, Any] = {
                "n_workers": jobs,
                "threads_per_worker": 1,
                "processes": True,
            }
            self._cluster = distributed.LocalCluster(
                **options, dashboard_address=None, silence_logs=50
            )
        self._address = address or "dask"
        for name in [
            *logging.root.manager.loggerDict,
            "distributed",
            "tornado.application",
            "asyncio",
        ]:
            if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
                logging.getLogger(name).setLevel(
                    logging.CRITICAL + 1
                )  # a lost connection is reported in a line of ours
        if address is not None and address.startswith("tls://"):
            _check_certificates(address)
        try:
            self._client = distributed.Client(
                self._cluster or address, timeout=20, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:  # nobody is there, or it is no address
            raise ConfigError([f"--executor: {address}, {NO_SCHEDULER}"]) from error
        self._killed_error = distributed.scheduler.KilledWorker
        self._lost_errors = (
            CancelledError,
            distributed.comm.CommClosedError,
            distributed.client.ClosedClientError,
        )
        self._pool = self._client.get_executor(pure=False)
        self._has_checked_workers = False

    @contextmanager
    def _report_lost_connection(self) -> Iterator[None]:
        """Report a lost connection in one line.

        Raises:
            LostError: the scheduler no longer answers.
        """
        try:
            yield
        except self._lost_errors as error:
            rule = "all finished runs are kept, start a scheduler, then the same command again"
            raise SchedulerLostError(
                f"{self._address}: the connection to the dask scheduler was lost, {rule}"
            ) from error

    @property
    def n_slots(self) -> int:
        """As many as there are at the moment: workers may come and go."""
        with self._report_lost_connection():
            try:
                return max(1, sum(self._client.nthreads().values()))
            except (OSError, TimeoutError) as error:
                raise CancelledError from error

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """To the scheduler, which gives it to another worker when one is lost.

        Raises:
            OutputError: before the first order, why a worker may not take part; later ones check themselves.
        """
        with self._report_lost_connection():
            if not self._has_checked_workers:
                self._check_workers(order.place)
                self._has_checked_workers = True
            return self._pool.submit(worker.execute_batch, order)

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """What it left behind."""
        try:
            with self._report_lost_connection():
                return future.result()
        except self._killed_error as error:
            raise WorkerDiedError from error

    def _check_workers(self, place: SweepContext) -> None:
        """Ask each worker in a task of its own; refuse all of them with a line for each that may not take part."""
        known = list(self._client.nthreads())
        asked = {
            each: self._client.submit(worker.admit_worker, place, workers=[each], pure=False)
            for each in known
        }
        told = [_refusal_reason(address, future.exception()) for address, future in asked.items()]
        if problems := [line for line in told if line]:
            raise OutputError(*problems)

    def restart_workers(self) -> bool:
        """The scheduler does."""
        return False

    def close(self) -> None:
        """Leave the cluster; end it, if it is our own."""
        with suppress(OSError, TimeoutError, *self._lost_errors):
            self._pool.shutdown(wait=False)
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _refusal_reason(address: str, error: BaseException | None) -> str:
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
        names = ", ".join(f"DASK_DISTRIBUTED__COMM__TLS__{name}" for name in TLS_SETTINGS)
        rule = f"needs certificates, name their files in dask's configuration or in {names}"
        raise ConfigError([f"--executor: {address}, {rule}"])

    async def reach() -> None:
        comm = await connect(address, timeout=20, **security.get_connection_args("client"))
        comm.abort()

    try:
        asyncio.run(reach())
    except ValueError as error:
        raise ConfigError([f"--executor: {address}, {NO_SCHEDULER}"]) from error
    except OSError as error:
        causes = [error, error.__cause__, error.__context__]
        refused = [each for each in causes if isinstance(each, ssl.SSLError | FileNotFoundError)]
        rule = "name files that the scheduler's authority signed in dask's configuration"
        told = (
            f"its certificate or yours is refused ({refused[0]}), {rule}"
            if refused
            else NO_SCHEDULER
        )
        raise ConfigError([f"--executor: {address}, {told}"]) from error


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        rule = "dask is not installed, it comes with an extra, pip install 'deleverage[cluster]'"
        raise ConfigError([f"--executor: {rule}"]) from error
    return distributed


@contextmanager
def open_pool(executor: str, jobs: int) -> Iterator[WorkerPool]:
    """The pool of that name, ended at once by whatever ends the context.

    Raises:
        ConfigError: no such executor, fewer than one job, dask is missing or its scheduler does not answer.
        LostError: a scheduler that answered does so no longer.
    """
    if jobs < 1:
        raise ConfigError(
            [f"--jobs: {jobs}, must be at least 1, the default is one for each processor"]
        )
    pool = (
        DaskPool(executor, jobs)
        if executor.startswith(SCHEDULER_SCHEMES)
        else _make_pool(executor, jobs)
    )
    if isinstance(pool, DaskPool) and not executor.startswith("tls://"):
        own = executor == "dask"
        where = "the dask scheduler of this machine" if own else executor
        rule = "use loky, which opens no port" if own else "use a closed network, or tls://"
        sys.stderr.write(f"{where}: {OPEN_PORT_WARNING}; {rule}\n")
    try:
        yield pool
    finally:
        pool.close()


def _make_pool(executor: str, jobs: int) -> WorkerPool:
    made: dict[str, Callable[[], WorkerPool]] = {
        "serial": SerialPool,
        "loky": lambda: LokyPool(jobs),
        "dask": lambda: DaskPool(None, jobs),
    }
    if executor not in made:
        known = f"not one of {', '.join(EXECUTORS)}, tcp://HOST:PORT, tls://HOST:PORT{suggest_name(executor, EXECUTORS)}"
        raise ConfigError([f"--executor: {executor!r} is {known}, use one of them"])
    return made[executor]()


def count_processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in vars(os) else os.cpu_count() or 1
