"""Executors of a sweep: this process, its threads, processes of this machine, a dask cluster."""

import asyncio
import gc
import logging
import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol

from experiments.processes import prepare_worker
from experiments.results import provenance
from experiments.sweep import worker
from experiments.sweep.messages import JobBatch, JobResult, SweepContext
from sim.errors import ConfigError, DeleverageError, OutputError, suggest_name

EXECUTORS = ("serial", "threads", "loky", "dask")
"""Names of executors; ``tcp://HOST:PORT`` or ``tls://HOST:PORT`` selects a dask scheduler."""

IN_PROCESS = ("serial", "threads")
"""Executors that use the sweep's own process."""

SCHEDULER_SCHEMES = ("tcp://", "tls://")

TLS_SETTINGS = ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
"""Settings of dask that a client needs for ``tls://``, as ends of environment variables."""

NO_SCHEDULER = "no dask scheduler answers there, start one with: dask scheduler"
OPEN_PORT_WARNING = "has no authentication, any program that can reach it can run code as its user"


class WorkerDiedError(Exception):
    """Error of a worker that ended before its batch was done."""


class SchedulerLostError(ConnectionError):
    """Error of a scheduler that no longer answers; its text is one line for the user."""


class WorkerPool(Protocol):
    """Interface of a pool of workers that execute batches."""

    @property
    def n_slots(self) -> int:
        """Number of batches executed at a time."""
        ...

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Start a batch."""
        ...

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """Return the results of a batch.

        Raises:
            WorkerDiedError: the worker ended.
        """
        ...

    def restart_workers(self) -> bool:
        """Restore the pool after a crash; return True if all running batches are lost."""
        ...

    def close(self) -> None:
        """Terminate all workers at once."""
        ...


class SerialPool:
    """Pool of this process.

    Existing objects are frozen, because scanning them in each garbage collection takes time.
    """

    n_slots: int = 1

    def __init__(self) -> None:
        gc.freeze()

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Execute the batch."""
        future: Future[list[JobResult]] = Future()
        future.set_result(worker.execute_batch(order))
        return future

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """Return the results of a batch."""
        return future.result()

    def restart_workers(self) -> bool:
        """Return False: this process is the only worker."""
        return False

    def close(self) -> None:
        """Release the frozen objects; there are no workers to terminate."""
        gc.unfreeze()


class ThreadPool(SerialPool):
    """Pool of threads of this process; compiled steps of several markets run at the same time.

    Args:
        jobs: number of threads.
    """

    def __init__(self, jobs: int) -> None:
        super().__init__()
        self.n_slots, self._stopped, self._context = jobs, threading.Event(), ExitStack()
        self._context.enter_context(worker.ignore_reported_warnings())  # filters are the process's
        self._pool = ThreadPoolExecutor(jobs)

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Submit a batch to the next free thread."""
        n_modules = len(sys.modules)
        worker.admit_worker(order.place)
        stoppable = order._replace(place=order.place._replace(stopped=self._stopped))
        return self._pool.submit(worker.execute_admitted, stoppable, n_modules)

    def close(self) -> None:
        """Stop all threads as soon as each has made the steps that it is making."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)
        self._context.close()
        super().close()


class LokyPool:
    """Pool of processes of this machine, each with one thread.

    Args:
        jobs: number of processes.
    """

    def __init__(self, jobs: int) -> None:
        provenance.pin_threads()  # processes inherit the setting before they import numpy
        self.n_slots = jobs
        self._pool = self._start_pool()

    def _start_pool(self) -> Any:
        import loky

        return loky.ProcessPoolExecutor(
            self.n_slots, initializer=prepare_worker, initargs=(os.getpid(),)
        )

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Submit a batch to the next free process."""
        return self._pool.submit(worker.execute_batch, order)

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """Return the results of a batch."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise WorkerDiedError from error

    def restart_workers(self) -> bool:
        """Start a new pool, because in loky one crash ends all processes."""
        self.close()
        self._pool = self._start_pool()
        return True

    def close(self) -> None:
        """Terminate all workers."""
        self._pool.shutdown(wait=True, kill_workers=True)


class DaskPool:
    """Pool of workers of a dask cluster.

    Args:
        address: address of the scheduler; None starts a cluster of this machine, over TCP on
            loopback. Certificates for ``tls://`` are those of dask's configuration.
        jobs: number of workers of a cluster of this machine.
    """

    def __init__(self, address: str | None, jobs: int) -> None:
        distributed = _import_distributed()
        provenance.pin_threads()
        self._cluster = None
        if address is None:
            self._cluster = distributed.LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=50,
            )
        self._address = address or "dask"
        quiet = ("distributed", "tornado", "asyncio")
        loggers = (*logging.root.manager.loggerDict, "distributed", "tornado.application")
        for name in (*loggers, "asyncio"):
            if name.partition(".")[0] in quiet:
                # The pool reports a lost connection on one line itself.
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        if address is not None and address.startswith("tls://"):
            _check_certificates(address)
        try:
            self._client = distributed.Client(
                self._cluster or address, timeout=20, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:  # no answer, or not an address
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
        """Report a lost connection on one line.

        Raises:
            SchedulerLostError: the scheduler no longer answers.
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
        """Number of current workers, which may come and go."""
        with self._report_lost_connection():
            try:
                return max(1, sum(self._client.nthreads().values()))
            except (OSError, TimeoutError) as error:
                raise CancelledError from error

    def submit(self, order: JobBatch) -> "Future[list[JobResult]]":
        """Submit a batch to the scheduler, which resubmits it if a worker is lost.

        Raises:
            OutputError: before the first batch, because a worker is refused; later workers check
                themselves.
        """
        with self._report_lost_connection():
            if not self._has_checked_workers:
                self._check_workers(order.place)
                self._has_checked_workers = True
            return self._pool.submit(worker.execute_batch, order)

    def collect_results(self, future: "Future[list[JobResult]]") -> list[JobResult]:
        """Return the results of a batch."""
        try:
            with self._report_lost_connection():
                return future.result()
        except self._killed_error as error:
            raise WorkerDiedError from error

    def _check_workers(self, place: SweepContext) -> None:
        """Check each worker in a task of its own; list every worker that is refused."""
        workers = list(self._client.nthreads())
        checks = {
            address: self._client.submit(worker.admit_worker, place, workers=[address], pure=False)
            for address in workers
        }
        reasons = [
            _refusal_reason(address, future.exception()) for address, future in checks.items()
        ]
        if problems := [line for line in reasons if line]:
            raise OutputError(*problems)

    def restart_workers(self) -> bool:
        """Return False: dask restarts lost workers itself."""
        return False

    def close(self) -> None:
        """Disconnect from the cluster; end it if this pool started it."""
        with suppress(OSError, TimeoutError, *self._lost_errors):
            self._pool.shutdown(wait=False)
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _refusal_reason(address: str, error: BaseException | None) -> str:
    """Return the reason for which a worker is refused; empty if it is accepted."""
    if error is None:
        return ""
    if isinstance(error, DeleverageError):
        return str(error)
    first_line = (str(error).strip().splitlines() or [""])[0]
    rule = "give it the same code and plug-ins, and start it again"
    return f"worker {address}: cannot take part ({type(error).__name__}: {first_line}), {rule}"


def _check_certificates(address: str) -> None:
    """Test the connection before a client exists, which would retry without end.

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
        refusals = [
            cause for cause in causes if isinstance(cause, ssl.SSLError | FileNotFoundError)
        ]
        rule = "name files that the scheduler's authority signed in dask's configuration"
        reason = (
            f"its certificate or yours is refused ({refusals[0]}), {rule}"
            if refusals
            else NO_SCHEDULER
        )
        raise ConfigError([f"--executor: {address}, {reason}"]) from error


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        rule = "dask is not installed, it comes with an extra, pip install 'deleverage[cluster]'"
        raise ConfigError([f"--executor: {rule}"]) from error
    return distributed


@contextmanager
def open_pool(executor: str, jobs: int) -> Iterator[WorkerPool]:
    """Open the pool of an executor; the pool is closed at once when the context ends.

    Raises:
        ConfigError: the executor is unknown, there is no job, dask is missing or its scheduler does
            not answer.
        SchedulerLostError: a connected scheduler no longer answers.
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
    factories: dict[str, Callable[[], WorkerPool]] = {
        "serial": SerialPool,
        "threads": lambda: ThreadPool(jobs),
        "loky": lambda: LokyPool(jobs),
        "dask": lambda: DaskPool(None, jobs),
    }
    if executor not in factories:
        hint = suggest_name(executor, EXECUTORS)
        known = f"not one of {', '.join(EXECUTORS)}, tcp://HOST:PORT, tls://HOST:PORT{hint}"
        raise ConfigError([f"--executor: {executor!r} is {known}, use one of them"])
    return factories[executor]()
